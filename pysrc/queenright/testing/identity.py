"""The runtime key of a test and what it vouches for: incarnations, sealing keys, births; and what it checks of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queenright.core import BirthBatch, Letter, SigningKey, canonical, digest, verify
from queenright.core.host import Packet, sealing_keypair, verify_record
from queenright.errors import Malformed
from queenright.testing.records import AgentRecord, CellEnd
from queenright.wire.certificate import (
    BIRTH,
    INCARNATION,
    SEALING,
    BatchStatement,
    Birth,
    IncarnationCertificate,
    SealingCertificate,
    incarnation_claim,
)
from queenright.wire.link import Certified, Incarnation, OpenKey, SealKey

__all__ = ["Identity"]


class Identity:
    """Checks as strictly as the product's supervisor does: Malformed or InvalidSignature for what a cell of ours never sends."""

    def __init__(self, rand: Callable[[int], bytes]) -> None:
        self._key = SigningKey.from_seed(rand(32))
        self._subkey = rand(32)
        self.sequences: dict[tuple[bytes, bytes], int] = {}

    @property
    def public_key(self) -> bytes:
        return self._key.public_key

    def certify(self, agent: AgentRecord, cell: CellEnd, claim: Incarnation) -> Certified:
        """A certificate for a key that claimed itself."""
        signed = incarnation_claim(agent.id, cell.number, cell.id, cell.nonce, claim.public_key)
        verify(claim.public_key, signed, claim.signature)
        certificate = IncarnationCertificate(
            runtime=self.public_key, agent=agent.id, number=cell.number, cell=cell.id, shared=True,
            public_key=claim.public_key,
        ).encode()  # fmt: skip
        agent.certificate = certificate
        agent.certified = self._key.sign(digest(INCARNATION, certificate))
        return Certified(agent.id, agent.certificate, agent.certified)

    def seal_key(self, sender: bytes, receiver: bytes, generation: int) -> SealKey:
        """What `sender` needs to seal for `receiver`."""
        _, public_key = sealing_keypair(self._subkey, receiver, generation)
        certificate = SealingCertificate(
            runtime=self.public_key, agent=receiver, generation=generation, public_key=public_key
        ).encode()
        signature = self._key.sign(digest(SEALING, certificate))
        sequence = self.sequences.get((sender, receiver), 0) + 1
        return SealKey(receiver, sender, sequence, generation, certificate, signature)

    def open_key(self, agent: bytes, generation: int) -> OpenKey:
        """The private half, for the agent's own cell."""
        private_key, _ = sealing_keypair(self._subkey, agent, generation)
        return OpenKey(agent, generation, private_key)

    def _incarnation_key(self, agent: AgentRecord) -> bytes:
        return IncarnationCertificate.verify(agent.certificate, agent.certified, self.public_key).public_key

    def check_birth(self, parent: AgentRecord, intent: bytes, request: dict[str, Any]) -> Birth:
        """A child's certificate, signed by the parent's live incarnation over what the request says."""
        verify(self._incarnation_key(parent), digest(BIRTH, request["certificate"]), request["signature"])
        birth = Birth.decode(request["certificate"])
        if (birth.runtime, birth.intent, birth.parent) != (self.public_key, intent, parent.id):
            raise Malformed("the birth certificate names another runtime, intent or parent")
        if birth.args != digest("args", request["args"]):
            raise Malformed("the birth certificate's arguments are not those of the request")
        if birth.grant != digest("grant", canonical(request["grant"])):
            raise Malformed("the birth certificate's grant is not that of the request")
        return birth

    def check_births(self, parent: AgentRecord, intent: bytes, request: dict[str, Any]) -> BirthBatch:
        """A batch of children, signed by the parent's live incarnation over what the request says."""
        names, args = request["names"], request["args"]
        counted = isinstance(names, dict)
        said = BatchStatement(
            runtime=self.public_key, intent=intent, parent=parent.id, behaviour=request["behaviour"],
            package=request["package"], grant=digest("grant", canonical(request["grant"])), born_ms=request["born_ms"],
            count=names["count"] if counted else len(names), root=request["root"],
        )  # fmt: skip
        verify(self._incarnation_key(parent), said.signed_bytes, request["signature"])
        members = said.members(
            family=parent.name,
            seed=request["seed"],
            names=(names["stem"], names["count"]) if counted else names,
            args=digest("args", args) if isinstance(args, bytes) else [digest("args", one) for one in args],
        )
        if members.root != said.root:
            raise Malformed("the root that was signed is not that of these births")
        return members

    def check_record(self, sender: AgentRecord, places: list[tuple[bytes | None, dict[str, Any]]]) -> None:
        """The letters of one record of this sender: shape, chain, sequences, signature. Each map gets what is handed on."""
        letters = [(to, place, Letter.parse(place["sealed"])) for to, place in places]
        for to, place, letter in letters:
            if letter.kind != place["type"] or to not in (None, letter.receiver):
                raise Malformed("a letter stands under another receiver or type")
            self._check_sequence(sender, letter.receiver, letter.sequence, letter.sequence)
        if not letters:
            return
        self._check_chain(sender, letters[0][2])
        key = self._incarnation_key(sender)
        sender.batch = verify_record([letter for _, _, letter in letters], self.public_key, key)
        sender.signed += len(letters)
        for _, place, _ in letters:
            place["sealed"] = {
                "letter": place["sealed"], "certificate": sender.certificate, "certified": sender.certified
            }  # fmt: skip

    def check_packet(self, sender: AgentRecord, packet: Packet) -> None:
        """A batch of volatile mail of this sender."""
        self._check_chain(sender, packet)
        for receiver, _, _, _, first, last in packet.pairs:
            self._check_sequence(sender, receiver, first, last)
        sender.batch = packet.verify(self.public_key, self._incarnation_key(sender))
        sender.signed += packet.count

    def _check_chain(self, sender: AgentRecord, batch: Letter | Packet) -> None:
        if (batch.sender, batch.incarnation) != (sender.id, sender.incarnation):
            raise Malformed("a batch of another sender or life")
        if (batch.first, batch.previous) != (sender.signed, sender.batch):
            raise Malformed("a batch does not follow the sender's previous one")

    def _check_sequence(self, sender: AgentRecord, receiver: bytes, first: int, last: int) -> None:
        if first <= self.sequences.get((sender.id, receiver), 0):
            raise Malformed(f"sequence {first} of this pair was used before")
        self.sequences[sender.id, receiver] = last
