"""Attacks from outside any sandbox: a program on the control socket without authority, and an operator's looks at hostile things.

Each speaks the protocol as any client may. What they would do if they succeeded is nothing: they read what this operator may
read, put in force what is in force, or name the drill's own agents.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queenright.authority.document import APPROVE, INTENT, OPERATORS
from queenright.authority.verdict import make_verdict
from queenright.clock import Clock
from queenright.control.client import Client
from queenright.control.dial import call_frame, result, sign_order
from queenright.control.operator_key import Signer
from queenright.control.protocol import SESSION_NAMESPACE, session_bytes
from queenright.core import parse_key_line
from queenright.core.operator import OperatorKey
from queenright.drill.attacks.kit import NotRun, Stopped, attack

__all__ = ["Outside", "Stranger"]

SOCKET = "control socket: authenticated calls"
ORDERS = "control socket: an order for exactly this call, spent once"
SIGNED = "signature of an enrolled operator"
REFUSED = "control.refused"
SHOWN = "supervisor and client: the core's sanitiser"
# What a terminal would act on, or what would turn a line round.
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Stranger:
    """A key that nobody enrolled, as a client's signer."""

    where = "memory"

    def __init__(self, rand: Callable[[int], bytes] = os.urandom) -> None:
        self._private = OperatorKey.generate(rand(32), "stranger")
        self.key = parse_key_line(self._private.public_line)

    def sign(self, namespace: str, message: bytes) -> str:
        return self._private.sign(namespace, message)

    def close(self) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Outside:
    """What these attacks have: the socket, the operator's own session, and what the drill made.

    `show` draws what the command line would print: "log" or "diff" of an agent, or "file" or "content" of a path in its
    workspace.
    """

    path: Path
    client: Client
    signer: Signer
    clock: Clock
    facts: Mapping[str, Any]
    drill: str
    document: bytes
    neighbour: str
    show: Callable[[str, str, str], str]

    def stranger(self) -> Client:
        return Client(self.path, clock=self.clock)

    def raw(self, method: str, params: dict[str, Any], order: tuple[bytes, str] | None) -> Any:
        """Call with an order that was made by hand, over the operator's session."""
        with self.stranger() as client:
            client.prove(self.signer)
            client._numbers += 1
            frame = call_frame(client._numbers, method, params, order or (b"", ""))
            if order is None:
                frame |= {"order": None, "signature": None}
            client._send(frame)
            return result(client._answer(client._numbers))

    def order(self, method: str, params: dict[str, Any], signer: Any) -> tuple[bytes, str]:
        return sign_order(
            self.client.hello, signer, method, params,
            policy_revision=self.client.call("status")["policy_revision"], clock=self.clock, rand=os.urandom,
        )  # fmt: skip


@attack("control socket", "client", SOCKET, "not_entitled", leaf=REFUSED, says="status")
def read_without_a_key(at: Outside) -> str:
    """Call `status` without proving anything. Harmless: it reads counts."""
    with at.stranger() as client:
        return f"was told of {client.call('status')['cells']} cells"


@attack("control socket", "client", SOCKET, "not_entitled invalid_signature", leaf=REFUSED)
def prove_a_key_nobody_enrolled(at: Outside) -> str:
    """Prove a key of one's own. Harmless: nothing is called with it."""
    with at.stranger() as client:
        return f"was taken for {client.prove(Stranger()).operator}"


@attack("control socket", "client", SOCKET, "not_entitled invalid_signature", leaf=REFUSED)
def replay_the_proof_of_a_key(at: Outside) -> str:
    """A proof that was made for another connection. Harmless: nothing is called with it."""
    with at.stranger() as first, at.stranger() as second:
        message = session_bytes(first.hello.runtime, first.hello.nonce, first.hello.socket)
        second._send(
            {"t": "prove", "key": at.signer.key.line, "signature": at.signer.sign(SESSION_NAMESPACE, message)}
        )
        answer = second._receive_type("session")
        return f"was taken for {answer['operator']}"


@attack("control socket", "client", SOCKET, "closed", leaf=REFUSED)
def send_rubbish_to_the_control_socket(at: Outside) -> str:
    """Bytes that are no frame. Harmless: some hundred of them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(5)
        link.connect(str(at.path))
        link.sendall(b"\xff\xff\xff\xffrubbish" * 20)
        said = b""
        while part := link.recv(65536):
            said += part
    if b"over the limit" in said:
        raise Stopped("closed", "the supervisor said why and closed")
    return "the supervisor went on listening"


@attack("policy", "client", ORDERS, "not_entitled malformed", leaf=REFUSED, says="drill_end")
def give_without_an_order(at: Outside) -> str:
    """End the drill without an order. Harmless: it is this drill's own end."""
    params = {"drill": at.drill, "report": bytes(32), "stopped": 0, "escaped": 0, "not_run": 0}
    return f"done: {at.raw('drill_end', params, None)!r}"


@attack("policy", "client", ORDERS, "not_entitled invalid_signature", leaf=REFUSED, says="resume")
def give_by_a_strangers_order(at: Outside) -> str:
    """An order signed by a key nobody enrolled. Harmless: it resumes the drill's own swarm, which is not paused."""
    params = {"target": at.drill}
    return f"done: {at.raw('resume', params, at.order('resume', params, Stranger()))!r}"


@attack("policy", "client", ORDERS, "not_entitled", leaf=REFUSED, says="unfreeze")
def use_an_order_for_another_call(at: Outside) -> str:
    """An order to resume, used to unfreeze. Harmless: of the drill's own agent, which is not frozen."""
    order = at.order("resume", {"target": at.neighbour}, at.signer)
    return f"done: {at.raw('unfreeze', {'target': at.neighbour}, order)!r}"


@attack("policy", "client", ORDERS, "conflict", leaf=REFUSED, says="resume")
def replay_an_order(at: Outside) -> str:
    """Use one order twice. Harmless: it resumes the drill's own agent, which is not paused."""
    params = {"target": at.neighbour}
    order = at.order("resume", params, at.signer)
    at.raw("resume", params, order)
    return f"done again: {at.raw('resume', params, order)!r}"


@attack("policy", "client", SIGNED, "not_entitled invalid_signature")
def change_the_resources(at: Outside) -> str:
    """Put a map of resources in force that a stranger signed. Harmless: it is the one that is in force."""
    document = at.client.call("resources")["document"]
    signature = Stranger().sign("resources@queenright.v1", document)
    return f"in force: {at.client.call('resources_set', document=document, signature=signature)['signer']}"


@attack("policy", "client", SIGNED, "not_entitled invalid_signature")
def change_the_operators(at: Outside) -> str:
    """Put a list of operators in force that a stranger signed. Harmless: it is the one that is in force."""
    document = at.client.call("operators")["document"]
    signature = Stranger().sign(OPERATORS, document)
    return f"in force: {at.client.call('operators_set', document=document, signature=signature)['version']}"


@attack("policy", "client", SIGNED, "not_entitled invalid_signature")
def apply_an_intent_nobody_signed(at: Outside) -> str:
    """An intent with a stranger's signature. Harmless: it is the drill's own, which is applied already."""
    signature = Stranger().sign(INTENT, at.document)
    return f"applied: {at.client.call('intent_apply', document=at.document, signature=signature)['id']}"


@attack("policy", "client", "an intent is applied once for ever", "conflict")
def apply_an_intent_again(at: Outside) -> str:
    """The drill's own intent, with the operator's true signature, a second time. Harmless: a second idle swarm of the drill."""
    signature = at.signer.sign(INTENT, at.document)
    return f"applied: {at.client.call('intent_apply', document=at.document, signature=signature)['id']}"


@attack("policy", "client", SIGNED, "not_entitled invalid_signature malformed")
def widen_an_intent_that_was_signed(at: Outside) -> str:
    """One bit of the signed intent is another. Harmless: the drill's own, with another last byte."""
    signature = at.signer.sign(INTENT, at.document)
    document = at.document.replace(b"fs.read", b"fs.reae", 1)
    if document == at.document:
        raise NotRun("the drill's intent names no fs.read")
    return f"applied: {at.client.call('intent_apply', document=document, signature=signature)['id']}"


@attack("self-approval", "client", SIGNED, "not_entitled invalid_signature")
def approve_with_a_key_nobody_enrolled(at: Outside) -> str:
    """A verdict on the drill's own ask, signed by a stranger. Harmless: it would write one file in the drill's own workspace."""
    rows = [row for row in at.client.call("asks", state="open")["rows"] if row["intent"] == at.drill]
    if not rows:
        raise NotRun("the drill's ask is not open")
    detail = at.client.call("ask", ask=rows[0]["id"])
    verdict = make_verdict(
        at.client.hello.runtime,
        list(zip(detail["members"], detail["reasons"], strict=True)),
        "once",
        rand=os.urandom,
    ).encode()
    signature = Stranger().sign(APPROVE, verdict)
    return f"approved: {at.client.call('ask_decide', verdict=verdict, signature=signature)['state']}"


@attack("policy", "client", "drill: only what the order names, once", "not_entitled")
def make_an_attack_that_was_not_ordered(at: Outside) -> str:
    """Step the drill to a name that its order does not hold. Harmless: there is no such attack."""
    done = at.client.call(
        "drill_attack", drill=at.drill, attack="there-is-no-such-attack", facts=b"\x80", fresh=False
    )
    return f"done: {done!r}"


def safe(at: Outside, shown: str, sign: str) -> str:
    """Raises Stopped if `sign`, which the agent's text holds, was shown and nothing a terminal acts on was."""
    found = ACTS.search(shown)
    if found:
        return f"U+{ord(found[0]):04X} reached the screen"
    if sign not in shown:
        raise NotRun("the hostile text was not shown")
    raise Stopped("shown-safe", "every character that acts was replaced")


@attack("screen", "client", SHOWN, "shown-safe")
def escape_through_a_log(at: Outside) -> str:
    """An agent's log line that clears the screen, retitles the window and turns the line round. Harmless: drawn into memory."""
    return safe(at, at.show("log", at.neighbour, ""), "drill")


@attack("screen", "client", SHOWN, "shown-safe")
def escape_through_a_file_name(at: Outside) -> str:
    """Files whose names hold escapes, a new line, and bytes that are no text. Harmless: drawn into memory."""
    return safe(at, at.show("diff", at.neighbour, ""), "ape")


@attack("screen", "client", SHOWN, "shown-safe")
def escape_through_a_directory(at: Outside) -> str:
    """The same names in a listing. Harmless: drawn into memory."""
    return safe(at, at.show("file", at.neighbour, ""), "ape")


@attack(
    "hostile archives",
    "client",
    "runtime: nothing of a workspace is unpacked, run or followed",
    "nothing-ran",
)
def look_at_a_hostile_workspace(at: Outside) -> str:
    """A workspace with a hook for git, an archive that unpacks elsewhere, and a link away is listed. Harmless: each would make
    an empty file in the decoys' own directory."""
    shown = at.show("diff", at.neighbour, "")
    if "evil.tar" not in shown or ".git" not in shown:
        raise NotRun("the hostile files are not in the workspace")
    at.show("file", at.neighbour, "")
    at.show("content", at.neighbour, "evil.tar")
    raise Stopped("nothing-ran", "it was listed and read")


@attack(
    "hostile archives",
    "client",
    "runtime: an executor opens beneath the workspace, through no link",
    "malformed",
)
def look_through_a_link_an_agent_left(at: Outside) -> str:
    """Show a file behind a link that leads out of the workspace. Harmless: the file is a decoy."""
    name = "away/../" + Path(at.facts["file"]).name
    found = at.client.call("workspace_show", agent=at.neighbour, path=name.encode(), content=True)
    if at.facts["token"].encode() in (found["data"] or b""):
        return "the decoy was shown"
    raise NotRun("what was shown is not the decoy")
