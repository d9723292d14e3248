"""Mail that leaves or enters the cell: sealing for receivers elsewhere, signing, and opening what came sealed.

A record (the ops of a turn with its step or end) leaves whole and in order. If a receiver's key or this agent's
certificate is not here yet, the record waits in its agent's outbox and everything of that agent behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from queenright.agent.message import Message, body_of, type_name
from queenright.cell.keys import Keys
from queenright.core import digest, verify
from queenright.core.cell import open_sealed, seal
from queenright.errors import InvalidSignature, Malformed, Unknown
from queenright.wire.certificate import IncarnationCertificate
from queenright.wire.envelope import SEAL_INFO, SEALED, Batch, leaf, salted_digest, seal_aad
from queenright.wire.link import Certified, Frame, NeedSealKey, OpenKey, SealKey, Start

__all__ = ["MAX_BODY", "MAX_WAITING", "Parcel", "Post", "Record", "address"]

MAX_BODY = 256 * 1024  # one message; larger things belong in files
SALT = 16
# Volatile messages of one agent that wait for a key; more means that nobody answers.
MAX_WAITING = 1000


@dataclass(slots=True)
class Parcel:
    """A message on its way: `place` is the map that gets its body or seal. `always`: sealed even if its receiver lives here."""

    place: dict[str, Any]
    to: bytes
    kind: str
    body: bytes
    always: bool = False


@dataclass(slots=True)
class Record:
    """What leaves together. `frame` is made once every parcel has its body or seal."""

    parcels: list[Parcel]
    frame: Callable[[], Frame]
    after: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Desk:
    """One agent's side of the post."""

    keys: Keys
    outbox: deque[Record] = field(default_factory=deque)
    asked: set[bytes] = field(default_factory=set)


def address(place: dict[str, Any], to: bytes, message: Message) -> Parcel:
    """Write a message's receiver-independent part into `place`. Raises Malformed above MAX_BODY."""
    body = body_of(message)
    if len(body) > MAX_BODY:
        raise Malformed(
            f"a message of {len(body)} bytes is over the limit of {MAX_BODY}", hint="write a file instead"
        )
    kind = type_name(type(message))
    place |= {"type": kind, "body": None, "sealed": None, "plain_digest": digest("plaintext", body)}
    return Parcel(place, to, kind, body)


class Post:
    """The cell's post office. `lives_here` says whether a receiver needs no seal."""

    def __init__(
        self,
        start: Start,
        send: Callable[[Frame], None],
        lives_here: Callable[[bytes], bool],
        rand: Callable[[int], bytes],
    ) -> None:
        self._start = start
        self._runtime_key = start.runtime_key
        self._send = send
        self._lives_here = lives_here
        self._rand = rand
        self._desks: dict[bytes, _Desk] = {}

    def _desk(self, agent: bytes) -> _Desk:
        """The agent's desk, set up when it first has something to do with keys."""
        desk = self._desks.get(agent)
        if desk is None:
            desk = self._desks[agent] = _Desk(Keys(agent, self._start, self._rand))
        return desk

    def keys(self, agent: bytes) -> Keys:
        return self._desk(agent).keys

    def rest(self, agent: bytes) -> None:
        """The agent sleeps: a desk that holds no key of this life is cleared away."""
        desk = self._desks.get(agent)
        if desk is not None and desk.keys.signing is None and not desk.keys.open_keys and not desk.outbox:
            del self._desks[agent]

    def remove(self, agent: bytes) -> None:
        self._desks.pop(agent, None)

    # --- out -------------------------------------------------------------------------------------------------------

    def submit(self, agent: bytes, record: Record) -> None:
        """Send the record when its turn has come and its keys are here. Raises Unknown if the agent is gone."""
        if not self._lives_here(agent):
            raise Unknown("the agent has left this cell")
        desk = self._desk(agent)
        desk.outbox.append(record)
        self._flush(desk)

    def waiting(self, agent: bytes) -> int:
        """How many records of the agent wait for keys."""
        desk = self._desks.get(agent)
        return len(desk.outbox) if desk is not None else 0

    def claim(self, agent: bytes) -> Keys:
        """The agent's keys with a signing key in them, claimed at the runtime."""
        desk = self._desk(agent)
        frame = desk.keys.claim()
        if frame is not None:
            self._send(frame)
        return desk.keys

    def certified(self, frame: Certified) -> None:
        desk = self._desks.get(frame.agent)
        if desk is not None:
            desk.keys.certify(frame)
            self._flush(desk)

    def seal_key(self, frame: SealKey) -> None:
        desk = self._desks.get(frame.sender)
        if desk is not None:
            desk.keys.learn(frame)
            desk.asked.discard(frame.agent)
            self._flush(desk)

    def open_key(self, frame: OpenKey) -> None:
        if self._lives_here(frame.agent):
            self._desk(frame.agent).keys.open_keys[frame.generation] = frame.private_key

    def _flush(self, desk: _Desk) -> None:
        while desk.outbox:
            record = desk.outbox[0]
            if not self._ready(desk, record):
                return
            desk.outbox.popleft()
            for parcel in record.parcels:
                if self._needs_seal(parcel):
                    parcel.place["sealed"] = self._seal(desk.keys, parcel)
                else:
                    parcel.place["body"] = parcel.body
            self._send(record.frame())
            record.after()

    def _needs_seal(self, parcel: Parcel) -> bool:
        return parcel.always or not self._lives_here(parcel.to)

    def _ready(self, desk: _Desk, record: Record) -> bool:
        """Ask for every key that is missing; whether none is."""
        away = {parcel.to for parcel in record.parcels if self._needs_seal(parcel)}
        if not away:
            return True
        self.claim(desk.keys.agent)
        missing = away - desk.keys.receivers.keys()
        for receiver in sorted(missing - desk.asked):
            desk.asked.add(receiver)
            self._send(NeedSealKey(desk.keys.agent, receiver))
        return not missing and bool(desk.keys.certificate)

    def _seal(self, keys: Keys, parcel: Parcel) -> dict[str, Any]:
        receiver = keys.receivers[parcel.to]
        sequence = receiver.sequence
        receiver.sequence += 1
        salt = self._rand(SALT)
        aad = seal_aad(keys.agent, parcel.to, sequence, parcel.kind)
        enc, ct = seal(receiver.public_key, SEAL_INFO, aad, salt + parcel.body, self._rand(32))
        salted = salted_digest(salt, parcel.body)
        batch = Batch(
            runtime=self._runtime_key, sender=keys.agent, incarnation=keys.start.number, first=sequence, count=1,
            previous=keys.previous, root=leaf(parcel.to, sequence, parcel.kind, ct, salted),
        )  # fmt: skip
        sealed = {
            "generation": receiver.generation, "enc": enc, "counter": 0, "ct": ct, "salted": salted,
            "sequence": sequence, "incarnation": keys.start.number, "previous": keys.previous,
            "signature": keys.sign(batch.signed_bytes()), "certificate": keys.certificate, "certified": keys.certified,
        }  # fmt: skip
        keys.previous = batch.digest
        return sealed

    # --- in --------------------------------------------------------------------------------------------------------

    def open(self, agent: bytes, sender: bytes, kind: str, sealed: dict[str, Any]) -> bytes:
        """The body, once the sender's certificate, signature and seal hold. Raises Malformed, InvalidSignature, Unknown."""
        if sealed.keys() != SEALED.keys() or any(type(sealed[name]) is not of for name, of in SEALED.items()):
            raise Malformed("a sealed message has other fields than the envelope's")
        certificate = IncarnationCertificate.verify(
            sealed["certificate"], sealed["certified"], self._runtime_key
        )
        if (certificate.agent, certificate.number) != (sender, sealed["incarnation"]):
            raise InvalidSignature("the sender's certificate is of another agent or life")
        sequence = sealed["sequence"]
        batch = Batch(
            runtime=self._runtime_key, sender=sender, incarnation=certificate.number, first=sequence, count=1,
            previous=sealed["previous"], root=leaf(agent, sequence, kind, sealed["ct"], sealed["salted"]),
        )  # fmt: skip
        verify(certificate.public_key, batch.signed_bytes(), sealed["signature"])
        if sealed["counter"] != 0:
            raise Malformed("each message is its own HPKE context; its counter is 0")
        private_key = self._desk(agent).keys.open_keys.get(sealed["generation"])
        if private_key is None:
            raise Unknown(f"this cell was not given the sealing key of generation {sealed['generation']}")
        aad = seal_aad(sender, agent, sequence, kind)
        plaintext = open_sealed(private_key, sealed["enc"], SEAL_INFO, aad, sealed["ct"])
        salt, body = plaintext[:SALT], plaintext[SALT:]
        if len(salt) != SALT or salted_digest(salt, body) != sealed["salted"]:
            raise InvalidSignature("the signed digest is not of this plaintext")
        return body
