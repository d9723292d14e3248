"""Routing: what a turn wants sent is checked here against reach, room and seals, and becomes changes of one commit.

A send is never refused as a record: what cannot be delivered comes back to its sender as `Undelivered` in the reserved
lane, in the same commit. What a cell may never do (send as another, reuse a sequence, leave its chain) raises `Malformed`, and
the caller ends the cell; a signature that does not hold raises `InvalidSignature`, and the caller takes the sender out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from queenright.clock import Clock
from queenright.core import Letter, canonical
from queenright.core.host import Packet, verify_record
from queenright.errors import Malformed
from queenright.store import Change, Store
from queenright.supervisor.agents import Agent, Agents
from queenright.supervisor.mail import RUNTIME, Mail
from queenright.supervisor.reach import Reach
from queenright.wire.certificate import IncarnationCertificate
from queenright.wire.envelope import check_sealed
from queenright.wire.ids import short

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


@dataclass(slots=True)
class _Chain:
    """What one incarnation signed so far: its key, how many messages, and the digest of its last batch."""

    incarnation: int
    public_key: bytes
    first: int = 0
    previous: bytes = bytes(32)


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
        self._chains: dict[bytes, _Chain] = {}

    def last_sequence(self, sender: bytes, receiver: bytes) -> int:
        """The pair's watermark."""
        pair = sender + receiver
        if pair not in self._sequences:
            stored = self._store.get(SEQUENCES, pair)
            self._sequences[pair] = int.from_bytes(stored, "big") if stored else 0
        return self._sequences[pair]

    def forget(self, agent: bytes) -> None:
        """The agent's incarnation is over: the next one starts a chain of its own."""
        self._chains.pop(agent, None)

    def _chain(self, sender: Agent) -> _Chain:
        """The chain of the sender's present incarnation. Raises Malformed if that has no certificate."""
        chain = self._chains.get(sender.id)
        if chain is None or chain.incarnation != sender.incarnation:
            if not sender.certificate:
                raise Malformed(f"{self._who(sender)} sends sealed mail before its key is certified")
            key = IncarnationCertificate.verify(
                sender.certificate, sender.certificate_signature, self._runtime_key
            ).public_key
            chain = self._chains[sender.id] = _Chain(sender.incarnation, key)
        return chain

    @staticmethod
    def _who(sender: Agent) -> str:
        return f"{sender.name} ({short('agent', sender.id)})"

    def _follows(self, sender: Agent, chain: _Chain, batch: Letter | Packet) -> None:
        """Raises Malformed unless the batch is the sender's, of this life, and the next of its chain."""
        who = self._who(sender)
        if batch.sender != sender.id:
            raise Malformed(f"{who} sends a batch of {short('agent', batch.sender)}")
        if batch.incarnation != chain.incarnation:
            raise Malformed(f"{who} is in life {chain.incarnation} and sends a batch of {batch.incarnation}")
        if (batch.first, batch.previous) != (chain.first, chain.previous):
            raise Malformed(f"a batch of {who} does not follow its last one: replayed, or one is missing")

    def _rising(self, sender: Agent, pairs: Iterable[tuple[bytes, int]]) -> None:
        """Raises Malformed for a sequence at or below its pair's watermark."""
        for receiver, first in pairs:
            if first <= self.last_sequence(sender.id, receiver):
                raise Malformed(
                    f"{self._who(sender)} used sequence {first} to {short('agent', receiver)} before"
                )

    def accept_batch(self, sender: Agent, packet: Packet) -> None:
        """Check a batch of volatile mail: chain, sequences, and its one signature. Raises Malformed or InvalidSignature.

        The watermarks are kept in memory and written with the pair's next durable message: a sequence that was used for lost
        volatile mail may come again in another incarnation, whose chain starts anew.
        """
        chain = self._chain(sender)
        self._follows(sender, chain, packet)
        pairs = packet.pairs
        self._rising(sender, [(receiver, first) for receiver, _, _, _, first, _ in pairs])
        digest = packet.verify(self._runtime_key, chain.public_key)
        chain.first, chain.previous = chain.first + packet.count, digest
        for receiver, _, _, _, _, last in pairs:
            self._sequences[sender.id + receiver] = last

    def accept_record(self, sender: Agent, places: list[tuple[bytes | None, dict[str, Any]]]) -> list[Change]:
        """Check the letters of one record: one batch, signed once. `places`: (receiver, or None where only the letter knows it,
        the map that has "type" and "sealed"), in the record's order; each map's letter becomes what is stored and handed on.

        The changes write the pairs' watermarks. Raises Malformed or InvalidSignature.
        """
        letters: list[Letter] = []
        last: dict[bytes, int] = {}
        for to, place in places:
            if not isinstance(place["sealed"], bytes):
                raise Malformed("what a record has sealed is a letter")
            letter = Letter.parse(place["sealed"])
            if letter.kind != place.get("type") or to not in (None, letter.receiver):
                raise Malformed(f"{self._who(sender)} puts a letter under another receiver or type")
            if letter.sequence <= last.get(letter.receiver, 0):
                raise Malformed(f"{self._who(sender)} uses sequence {letter.sequence} twice in a record")
            last[letter.receiver] = letter.sequence
            letters.append(letter)
        if not letters:
            return []
        chain = self._chain(sender)
        self._follows(sender, chain, letters[0])
        first = {letter.receiver: letter.sequence for letter in reversed(letters)}
        self._rising(sender, first.items())
        digest = verify_record(letters, self._runtime_key, chain.public_key)
        chain.first, chain.previous = chain.first + letters[0].count, digest
        for _, place in places:
            place["sealed"] = {
                "letter": place["sealed"], "certificate": sender.certificate,
                "certified": sender.certificate_signature,
            }  # fmt: skip
        return [self._mark(sender.id + receiver, sequence) for receiver, sequence in last.items()]

    def _mark(self, pair: bytes, sequence: int) -> Change:
        return Change(
            (("put", SEQUENCES, pair, sequence.to_bytes(8, "big")),),
            lambda: self._sequences.__setitem__(pair, max(sequence, self._sequences.get(pair, 0))),
        )

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

    def send(
        self,
        sender: Agent,
        op: dict[str, Any],
        *,
        call: bytes | None = None,
        chain: list[bytes] | None = None,
    ) -> tuple[list[Change], bytes, str]:
        """Changes of one send, who to wake, and why it was refused ("" if it was queued). A seal was accepted with its record."""
        to, kind, body, sealed = op.get("to"), op.get("type"), op.get("body"), op.get("sealed")
        if not (isinstance(to, bytes) and len(to) == 32 and isinstance(kind, str) and 0 < len(kind) <= 128):
            raise Malformed("a send names a 32-byte agent and a type")
        if (body is None) == (sealed is None) or not isinstance(body, bytes | None):
            raise Malformed("a send has a body or a seal, not both or none")
        changes: list[Change] = []
        now, now_boot = self._clock.wall_ms(), self._clock.boot_ms()
        size = len(body) if body is not None else len(check_sealed(sealed)["letter"])
        if body is not None and size > MAX_BODY:
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
