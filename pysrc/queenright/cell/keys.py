"""An agent's keys in this life: the signing key made here, its certificate, and the private halves mail is sealed to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from queenright.core import SigningKey
from queenright.errors import InvalidSignature, Malformed
from queenright.wire.certificate import IncarnationCertificate, SealingCertificate, incarnation_claim
from queenright.wire.link import Certified, Incarnation, SealKey, Start

__all__ = ["Keys", "Receiver"]


@dataclass(slots=True)
class Receiver:
    """What one sender needs to seal for one receiver: the certified key and the pair's next sequence."""

    public_key: bytes
    generation: int
    sequence: int


@dataclass(slots=True)
class Keys:
    """Keys of one agent. The signing key never leaves this process and is made only when something must be signed."""

    agent: bytes
    start: Start
    rand: Callable[[int], bytes]
    signing: SigningKey | None = None
    certificate: bytes = b""
    certified: bytes = b""
    previous: bytes = bytes(32)  # digest of the last batch this incarnation signed
    open_keys: dict[int, bytes] = field(default_factory=dict)  # generation -> private X25519 key
    receivers: dict[bytes, Receiver] = field(default_factory=dict)

    def claim(self) -> Incarnation | None:
        """Make the signing key; the frame that claims it, or None if it was made before."""
        if self.signing is not None:
            return None
        self.signing = SigningKey.from_seed(self.rand(32))
        public_key = self.signing.public_key
        claim = incarnation_claim(
            self.agent, self.start.number, self.start.cell, self.start.nonce, public_key
        )
        return Incarnation(self.agent, public_key, self.signing.sign(claim))

    def sign(self, message: bytes) -> bytes:
        """Raises Malformed before `claim`."""
        if self.signing is None:
            raise Malformed("this incarnation has no key yet")
        return self.signing.sign(message)

    def certify(self, frame: Certified) -> None:
        """Take the runtime's certificate. Raises InvalidSignature or Malformed if it is not over this key and life."""
        found = IncarnationCertificate.verify(frame.certificate, frame.signature, self.start.runtime_key)
        mine = self.signing.public_key if self.signing is not None else b""
        if (found.agent, found.number, found.public_key) != (self.agent, self.start.number, mine):
            raise InvalidSignature("the certificate is over another agent, life or key")
        self.certificate, self.certified = frame.certificate, frame.signature

    def learn(self, frame: SealKey) -> None:
        """Take a receiver's key. Raises InvalidSignature or Malformed if the runtime did not certify it for that agent."""
        found = SealingCertificate.verify(frame.certificate, frame.signature, self.start.runtime_key)
        if (found.agent, found.generation) != (frame.agent, frame.generation):
            raise InvalidSignature("the sealing key is certified for another agent or generation")
        known = self.receivers.get(frame.agent)
        # The pair's sequence only rises: an answer that was under way may know less than this cell.
        sequence = max(frame.sequence, known.sequence if known is not None else 0)
        self.receivers[frame.agent] = Receiver(found.public_key, found.generation, sequence)
