"""An agent's keys in this life: the signing key made here, its certificate, and the sealer of what leaves the cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from queenright.core import SigningKey
from queenright.core.cell import Sealer
from queenright.errors import InvalidSignature, Malformed
from queenright.wire.certificate import IncarnationCertificate, SealingCertificate, incarnation_claim
from queenright.wire.link import Certified, Incarnation, SealKey, Start

__all__ = ["BAG", "WINDOW_BYTES", "WINDOW_MESSAGES", "Keys"]

# Volatile mail of one agent that may be under way between cells: half of a mailbox, so that one flooding sender fills nobody's.
WINDOW_MESSAGES = 512
WINDOW_BYTES = 1024 * 1024
BAG = 256  # volatile messages that leave before the loop's turn is over: the other end has work meanwhile


@dataclass(slots=True)
class Keys:
    """Keys of one agent. The signing key never leaves this process and is made only when something must be signed."""

    agent: bytes
    start: Start
    rand: Callable[[int], bytes]
    signing: SigningKey | None = None
    certificate: bytes = b""
    _sealer: Sealer | None = None

    @property
    def sealer(self) -> Sealer:
        """Made when the first message leaves: most agents of a large cell never write to another."""
        if self._sealer is None:
            start = self.start
            self._sealer = Sealer(
                start.runtime_key, self.agent, start.number, WINDOW_MESSAGES, WINDOW_BYTES, BAG
            )
        return self._sealer

    @property
    def signer(self) -> SigningKey:
        """Raises Malformed before `claim`."""
        if self.signing is None:
            raise Malformed("this incarnation has no key yet")
        return self.signing

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
        return self.signer.sign(message)

    def certify(self, frame: Certified) -> None:
        """Take the runtime's certificate. Raises InvalidSignature or Malformed if it is not over this key and life."""
        found = IncarnationCertificate.verify(frame.certificate, frame.signature, self.start.runtime_key)
        mine = self.signing.public_key if self.signing is not None else b""
        if (found.agent, found.number, found.public_key) != (self.agent, self.start.number, mine):
            raise InvalidSignature("the certificate is over another agent, life or key")
        self.certificate = frame.certificate

    def learn(self, frame: SealKey) -> None:
        """Take a receiver's key. Raises InvalidSignature or Malformed if the runtime did not certify it for that agent."""
        found = SealingCertificate.verify(frame.certificate, frame.signature, self.start.runtime_key)
        if (found.agent, found.generation) != (frame.agent, frame.generation):
            raise InvalidSignature("the sealing key is certified for another agent or generation")
        self.sealer.learn(frame.agent, found.public_key, found.generation, frame.sequence, self.rand(32))
