"""Mail that leaves or enters the cell: sealing for receivers elsewhere, signing, and opening what came sealed.

A record (the ops of a turn with its step or end) leaves whole and in order, under one signature over what of it is sealed.
Volatile messages collect in a bag and leave once a turn of the cell's loop, as one batch of their sender. If a receiver's key
or this agent's certificate is not here yet, the record or bag waits in its agent's outbox and everything of that agent behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from queenright.agent.message import Message, body_of, find_type, type_name
from queenright.cell.keys import BAG, Keys
from queenright.core import digest
from queenright.core.cell import Arrival, Opener, Scheduler
from queenright.errors import InvalidSignature, Malformed, Unknown
from queenright.wire.certificate import IncarnationCertificate
from queenright.wire.envelope import SALT, check_sealed
from queenright.wire.link import Batch, Certified, Credit, Frame, NeedSealKey, OpenKey, Peer, SealKey, Start

__all__ = ["MAX_BODY", "Parcel", "Post", "Record", "address"]

MAX_BODY = 256 * 1024  # one message; larger things belong in files
MAX_TYPE = 128  # bytes of a type's name


@dataclass(slots=True)
class Parcel:
    """A message on its way: `place` is the map that gets its body or seal."""

    place: dict[str, Any]
    to: bytes
    kind: str
    body: bytes


@dataclass(slots=True)
class Record:
    """What leaves together. `frame` is made once every parcel has its body or seal."""

    parcels: list[Parcel]
    frame: Callable[[], Frame]
    after: Callable[[], None] = lambda: None


class _Bag:
    """Stands in an outbox for the sealer's next bag of volatile messages."""


_BAG: Final = _Bag()


@dataclass(slots=True)
class _Desk:
    """One agent's side of the post."""

    keys: Keys
    outbox: deque[Record | _Bag] = field(default_factory=deque)
    asked: set[bytes] = field(default_factory=set)


def address(place: dict[str, Any], to: bytes, message: Message) -> Parcel:
    """Write a message's receiver-independent part into `place`. Raises Malformed above MAX_BODY or MAX_TYPE."""
    body = body_of(message)
    if len(body) > MAX_BODY:
        raise Malformed(
            f"a message of {len(body)} bytes is over the limit of {MAX_BODY}", hint="write a file instead"
        )
    kind = type_name(type(message))
    if len(kind.encode()) > MAX_TYPE:
        raise Malformed(
            f"the type name `{kind[:32]}…` is over the limit of {MAX_TYPE} bytes", hint="shorten it"
        )
    place |= {"type": kind, "body": None, "sealed": None, "plain_digest": digest("plaintext", body)}
    return Parcel(place, to, kind, body)


def _volatile_type(name: str) -> type[Message] | None:
    cls = find_type(name)
    return cls if cls is not None and cls.__volatile__ else None


class Post:
    """The cell's post office. `lives_here` says whether a receiver needs no seal. While an agent's bag is open, what it sends
    elsewhere joins the bag in the core, without a call here.
    """

    def __init__(
        self,
        start: Start,
        send: Callable[[Frame], None],
        lives_here: Callable[[bytes], bool],
        scheduler: Scheduler,
        rand: Callable[[int], bytes],
    ) -> None:
        self._start = start
        self._runtime_key = start.runtime_key
        self._send = send
        self._lives_here = lives_here
        self._scheduler = scheduler
        self._rand = rand
        self._desks: dict[bytes, _Desk] = {}
        self._bags: set[bytes] = set()  # agents with something in their open bag
        self._opener = Opener(start.runtime_key)
        # Sender -> its certificate that was verified last: a letter carries its own, and most carry the same.
        self._senders: dict[bytes, tuple[bytes, bytes, IncarnationCertificate]] = {}

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
        if desk is not None and desk.keys.signing is None and not desk.outbox:
            del self._desks[agent]

    def remove(self, agent: bytes) -> None:
        self._desks.pop(agent, None)
        self._bags.discard(agent)
        self._opener.forget(agent)

    # --- out -------------------------------------------------------------------------------------------------------

    def submit(self, agent: bytes, record: Record) -> None:
        """Send the record when its turn has come and its keys are here. Raises Unknown if the agent is gone."""
        if not self._lives_here(agent):
            raise Unknown("the agent has left this cell")
        desk = self._desk(agent)
        self._cut(desk)  # what was sent before leaves before
        desk.outbox.append(record)
        self._flush(desk)

    def volatile(self, agent: bytes, to: bytes, message: Message) -> None:
        """Into the agent's bag. Raises MailboxFull, with the message, when too much of it is under way."""
        desk = self._desk(agent)
        waiting = desk.keys.sealer.add(to, message)
        if waiting == 1:
            self._bags.add(agent)
            self._scheduler.seal_with(agent, desk.keys.sealer)
        if waiting >= BAG:
            self._cut(desk)
            self._flush(desk)

    def leave(self) -> None:
        """Send every bag: called once a turn of the cell's loop."""
        for agent in list(self._bags):
            desk = self._desks[agent]
            self._cut(desk)
            self._flush(desk)

    def waiting(self, agent: bytes) -> int:
        """How many records and bags of the agent have not left yet."""
        desk = self._desks.get(agent)
        return (len(desk.outbox) if desk is not None else 0) + (agent in self._bags)

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

    def credit(self, frame: Credit) -> None:
        """Raises Malformed for more than was sent."""
        desk = self._desks.get(frame.agent)
        if desk is not None:
            desk.keys.sealer.credit(frame.messages, frame.size)

    def _cut(self, desk: _Desk) -> None:
        """Close the agent's open bag, so that what comes later leaves later."""
        if desk.keys.agent in self._bags:
            self._bags.discard(desk.keys.agent)
            desk.keys.sealer.cut()
            desk.outbox.append(_BAG)

    def _flush(self, desk: _Desk) -> None:
        while desk.outbox:
            record = desk.outbox[0]
            sent = self._send_bag(desk) if isinstance(record, _Bag) else self._send_record(desk, record)
            if not sent:
                return

    def _send_bag(self, desk: _Desk) -> bool:
        keys = desk.keys
        if not self._ready(desk, keys.sealer.missing()):
            return False
        packet = keys.sealer.seal_bag(keys.signer, self._rand(SALT * keys.sealer.waiting()))
        desk.outbox.popleft()
        self._send(Batch(keys.agent, packet))
        return True

    def _send_record(self, desk: _Desk, record: Record) -> bool:
        away: list[Parcel] = []
        for parcel in record.parcels:
            if self._lives_here(parcel.to):
                parcel.place["body"] = parcel.body
                parcel.place["sealed"] = None
            else:
                away.append(parcel)
        if away:
            keys = desk.keys
            receivers = {parcel.to for parcel in away}
            if not self._ready(desk, [to for to in sorted(receivers) if not keys.sealer.knows(to)]):
                return False
            drafts = [(parcel.to, parcel.kind, parcel.body) for parcel in away]
            letters = keys.sealer.seal_letters(keys.signer, drafts, self._rand(SALT * len(away)))
            for parcel, letter in zip(away, letters, strict=True):
                parcel.place["body"], parcel.place["sealed"] = None, letter
        desk.outbox.popleft()
        self._send(record.frame())
        record.after()
        return True

    def _ready(self, desk: _Desk, missing: list[bytes]) -> bool:
        """Ask for every key that is missing; whether none is."""
        self.claim(desk.keys.agent)
        for receiver in missing:
            if receiver not in desk.asked:
                desk.asked.add(receiver)
                self._send(NeedSealKey(desk.keys.agent, receiver))
        return not missing and bool(desk.keys.certificate)

    # --- in --------------------------------------------------------------------------------------------------------

    def open_key(self, frame: OpenKey) -> None:
        if self._lives_here(frame.agent):
            self._opener.give_key(frame.agent, frame.generation, frame.private_key)

    def peer(self, frame: Peer) -> None:
        """A sender's certificate. Raises InvalidSignature, Malformed, or Conflict for one of an earlier life."""
        certificate = self._certificate(frame.agent, frame.certificate, frame.signature)
        self._opener.introduce(frame.agent, certificate.number, certificate.public_key)

    def batch(self, frame: Batch) -> Arrival:
        """Its messages. Raises if it is refused as a whole."""
        arrival = self._opener.open_packet(frame.packet, _volatile_type)
        if arrival.sender != frame.agent:
            raise InvalidSignature("a batch of another sender than its frame says")
        return arrival

    def open(self, agent: bytes, sender: bytes, kind: str, sealed: dict[str, Any]) -> bytes:
        """The body, once the sender's certificate, signature and seal hold. Raises Malformed, InvalidProof, InvalidSignature,
        Unknown.
        """
        check_sealed(sealed)
        certificate = self._certificate(sender, sealed["certificate"], sealed["certified"])
        return self._opener.open_letter(
            sealed["letter"], receiver=agent, sender=sender, incarnation=certificate.number, kind=kind,
            public_key=certificate.public_key,
        )  # fmt: skip

    def _certificate(self, sender: bytes, data: bytes, signature: bytes) -> IncarnationCertificate:
        known = self._senders.get(sender)
        if known is not None and known[:2] == (data, signature):
            return known[2]
        certificate = IncarnationCertificate.verify(data, signature, self._runtime_key)
        if certificate.agent != sender:
            raise InvalidSignature("the sender's certificate is of another agent")
        self._senders[sender] = (data, signature, certificate)
        return certificate
