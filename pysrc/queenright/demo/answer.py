"""Answering an ask as any operator does: fetch its bytes, check them, sign a verdict over what was seen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from queenright.authority.ask import Ask
from queenright.authority.document import APPROVE
from queenright.authority.verdict import make_verdict
from queenright.control.client import Client
from queenright.control.operator_key import Signer

__all__ = ["Seen", "approve_once", "fetch", "open_asks"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One ask as this client decoded it from its canonical bytes. `reason` is the agent's own text: untrusted."""

    id: str
    ask: Ask
    data: bytes
    reason: str
    effect: str
    undo: str


def open_asks(client: Client) -> list[dict[str, Any]]:
    """Rows of the asks that wait for a person."""
    return list(client.call("asks", state="open")["rows"])


def fetch(client: Client, ask: str) -> Seen:
    """The ask, from the bytes that a verdict would cover."""
    detail = client.call("ask", ask=ask)
    context = detail["context"]
    return Seen(
        detail["row"]["id"], Ask.decode(detail["bytes"]), detail["bytes"], context["reason"], context["effect"],
        context["undo"],
    )  # fmt: skip


def approve_once(client: Client, signer: Signer, seen: Seen) -> dict[str, Any]:
    """Sign exactly what was seen, for one use, and hand it in. Raises what the supervisor refuses."""
    verdict = make_verdict(client.hello.runtime, [(seen.data, seen.reason)], "once", rand=os.urandom).encode()
    decided: dict[str, Any] = client.call(
        "ask_decide", verdict=verdict, signature=signer.sign(APPROVE, verdict)
    )
    return decided
