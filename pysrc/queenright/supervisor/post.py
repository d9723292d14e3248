"""Routing: what a turn wants sent is checked here against reach, room and seals, and becomes changes of one commit.

A send is never refused as a record: what cannot be delivered comes back to its sender as `Undelivered` in the reserved
lane, in the same commit. What a cell may never do (send as another, reuse a sequence, break a seal's signature) raises
`Malformed` or `InvalidSignature`, and the caller ends the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queenright.clock import Clock
from queenright.core import canonical, verify
from queenright.errors import Malformed
from queenright.store import Change, Store
from queenright.supervisor.agents import Agent, Agents
from queenright.supervisor.mail import RUNTIME, Mail
from queenright.supervisor.reach import Reach
from queenright.wire.certificate import IncarnationCertificate
from queenright.wire.envelope import SEALED, Batch, leaf

__all__ = ["SEQUENCES", "Post", "runtime_mail"]

SEQUENCES = "mail.sequence"  # sender + receiver -> the last sequence accepted, u64; outlives incarnations
MAX_BODY = 256 * 1024  # one message; larger things belong in files


def runtime_mail(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A message of the runtime's own."""
    return {
        "id": b"",
        "sender": RUNTIME,
        "sender_name": "runtime",
        "type": kind,
        "body": canonical(body),
        "sealed": None,
        "call": None,
        "chain": [],
    }


class Post:
    """Turns sends into mailbox changes."""

    def __init__(
        self, store: Store, clock: Clock, agents: Agents, mail: Mail, reach: Reach, runtime_key: bytes
    ) -> None:
        self._clock = clock
        self._store = store
        self._agents = agents
        self._mail = mail
        self._reach = reach
        self._runtime_key = runtime_key
        self._sequences: dict[bytes, int] = {}

    def last_sequence(self, sender: bytes, receiver: bytes) -> int:
        """The pair's watermark."""
        pair = sender + receiver
        if pair not in self._sequences:
            stored = self._store.get(SEQUENCES, pair)
            self._sequences[pair] = int.from_bytes(stored, "big") if stored else 0
        return self._sequences[pair]

    def open_envelope(self, sender: Agent, receiver: bytes, kind: str, sealed: Any) -> list[Change]:
        """Check a sealed message's signature, chain and sequence. Its body stays closed to everybody but the receiver."""
        if not isinstance(sealed, dict) or sealed.keys() != SEALED.keys():
            raise Malformed("a sealed message has other fields than the envelope's")
        for name, kind_of in SEALED.items():
            if type(sealed[name]) is not kind_of:
                raise Malformed(f"sealed message: field `{name}` has the wrong type")
        ours = (sender.certificate, sender.certificate_signature)
        if not sender.certificate or (sealed["certificate"], sealed["certified"]) != ours:
            raise Malformed(
                "a sealed message does not carry the certificate of the sender's present incarnation"
            )
        key = IncarnationCertificate.verify(
            sender.certificate, sender.certificate_signature, self._runtime_key
        ).public_key
        if sealed["incarnation"] != sender.incarnation or sealed["previous"] != sender.batch:
            raise Malformed("a sealed message does not follow the sender's previous batch")
        sequence = sealed["sequence"]
        if sequence <= self.last_sequence(sender.id, receiver):
            raise Malformed(f"sequence {sequence} of this pair was used before")
        batch = Batch(
            runtime=self._runtime_key,
            sender=sender.id,
            incarnation=sender.incarnation,
            first=sequence,
            count=1,
            previous=sender.batch,
            root=leaf(receiver, sequence, kind, sealed["ct"], sealed["salted"]),
        )
        verify(key, batch.signed_bytes(), sealed["signature"])
        sender.batch = batch.digest
        pair = sender.id + receiver

        def applied() -> None:
            self._sequences[pair] = sequence

        return [Change((("put", SEQUENCES, pair, sequence.to_bytes(8, "big")),), applied)]

    def refusal(self, sender: Agent, target: Agent | None, size: int, now_boot: int) -> str:
        """Why a message may not be queued for the target, or nothing."""
        if target is None:
            return "no such agent"
        if target.status in ("ended", "stopping"):
            return "the agent has ended"
        if not self._reach.allows(sender, target, now_boot):
            return "out of reach"
        if not self._mail.has_room(target.id, size):
            return "mailbox full"
        return ""

    def volatile(
        self, sender: Agent, op: dict[str, Any], deliver: Callable[[Agent, dict[str, Any]], None]
    ) -> None:
        """A volatile message for another cell: checked like any other, then handed over or dropped, never kept."""
        to, kind, sealed = op.get("to"), op.get("type"), op.get("sealed")
        if (
            op.get("op") != "send"
            or not isinstance(to, bytes)
            or not isinstance(kind, str)
            or op.get("body") is not None
        ):
            raise Malformed("a volatile message for another cell is a sealed send")
        changes = self.open_envelope(sender, to, kind, sealed)
        if len(op["sealed"]["ct"]) > MAX_BODY:
            raise Malformed(f"a message of {len(op['sealed']['ct'])} bytes is over the limit of {MAX_BODY}")
        now_boot = self._clock.boot_ms()
        target = self._agents.find(to)
        # The watermark is kept in memory and written with the pair's next durable message; a sequence that was used for
        # a lost volatile message may then come again in another incarnation, whose batch chain starts anew.
        for change in changes:
            change.applied()
        if target is None or self.refusal(sender, target, len(op["sealed"]["ct"]), now_boot):
            return
        self._reach.heard(target, sender, now_boot)
        deliver(
            target,
            {
                "id": b"",
                "sender": sender.id,
                "sender_name": sender.name,
                "type": kind,
                "body": None,
                "sealed": sealed,
                "call": None,
                "chain": [],
            },
        )

    def send(
        self,
        sender: Agent,
        op: dict[str, Any],
        *,
        call: bytes | None = None,
        chain: list[bytes] | None = None,
    ) -> tuple[list[Change], bytes, str]:
        """Changes of one send, who to wake, and why it was refused ("" if it was queued)."""
        to, kind, body, sealed = op.get("to"), op.get("type"), op.get("body"), op.get("sealed")
        if not (isinstance(to, bytes) and len(to) == 32 and isinstance(kind, str) and 0 < len(kind) <= 128):
            raise Malformed("a send names a 32-byte agent and a type")
        if (body is None) == (sealed is None) or not isinstance(body, bytes | None):
            raise Malformed("a send has a body or a seal, not both or none")
        changes = self.open_envelope(sender, to, kind, sealed) if sealed is not None else []
        now, now_boot = self._clock.wall_ms(), self._clock.boot_ms()
        size = len(body) if body is not None else len(sealed["ct"])  # type: ignore[index]
        if size > MAX_BODY:
            raise Malformed(f"a message of {size} bytes is over the limit of {MAX_BODY}")
        target = self._agents.find(to)
        why = self.refusal(sender, target, size, now_boot)
        if not why and target is not None and body is not None and target.cell not in (sender.cell, None):
            # It moved while the message was under way; nothing unsealed goes to another cell.
            why = "the agent has moved to another cell: send it again"
        if why or target is None:
            undelivered = {"to": to, "type": kind, "body": body or b"", "reason": why}
            back = self._mail.put(
                sender.id, runtime_mail("queenright.Undelivered", undelivered), now, reserved=True
            )
            return [*changes, back], sender.id, why
        mail = {
            "id": b"",
            "sender": sender.id,
            "sender_name": sender.name,
            "type": kind,
            "body": body,
            "sealed": sealed,
            "call": call,
            "chain": chain or [],
        }
        changes.append(self._mail.put(target.id, mail, now))
        receiver = target
        changes.append(Change((), lambda: self._reach.heard(receiver, sender, now_boot)))
        return changes, target.id, ""
