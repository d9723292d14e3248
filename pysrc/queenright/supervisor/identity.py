"""The runtime's side of identity: births, incarnations, sealing keys (design section 5).

The runtime key signs; what it may sign is checked here first. It never sees an incarnation's private key, and it holds the
sealing subkey, so sealing protects mail against other cells and copies of the disk, not against the supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass

from queenright.core import SigningKey, digest, verify
from queenright.core.host import sealing_keypair
from queenright.errors import InvalidSignature, Malformed
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

__all__ = ["Identity", "Sealing"]


@dataclass(frozen=True, slots=True)
class Sealing:
    """One generation of an agent's sealing key: the certificate for senders, the private half for its own cell."""

    certificate: bytes
    signature: bytes
    private_key: bytes


class Identity:
    """What the runtime key says about agents."""

    def __init__(self, runtime: SigningKey, sealing_subkey: bytes) -> None:
        self._runtime = runtime
        self._sealing_subkey = sealing_subkey

    @property
    def runtime_key(self) -> bytes:
        return self._runtime.public_key

    def sign_birth(self, certificate: bytes) -> bytes:
        """The runtime's signature over a birth it has checked (the first agent's, or a countersignature)."""
        return self._runtime.sign(digest(BIRTH, certificate))

    def check_parent_signature(self, certificate: bytes, signature: bytes, parent_key: bytes) -> Birth:
        """A birth proposed by a live incarnation of the parent. Raises InvalidSignature or Malformed."""
        verify(parent_key, digest(BIRTH, certificate), signature)
        return Birth.decode(certificate)

    def check_batch_signature(self, said: BatchStatement, signature: bytes, parent_key: bytes) -> None:
        """Births proposed together by a live incarnation of the parent. Raises InvalidSignature or Malformed."""
        verify(parent_key, said.signed_bytes, signature)

    def sign_batch(self, said: BatchStatement) -> bytes:
        """The runtime's countersignature over births it has checked."""
        return self._runtime.sign(said.signed_bytes)

    def certify_incarnation(
        self,
        *,
        agent: bytes,
        number: int,
        cell: str,
        shared: bool,
        nonce: bytes,
        public_key: bytes,
        signature: bytes,
    ) -> tuple[bytes, bytes]:
        """Certificate and signature for a key that claimed itself. Raises InvalidSignature if it did not."""
        if len(public_key) != 32 or len(signature) != 64:
            raise Malformed("an incarnation key has 32 bytes and its signature 64")
        verify(public_key, incarnation_claim(agent, number, cell, nonce, public_key), signature)
        if public_key == self.runtime_key:
            raise InvalidSignature("an incarnation cannot use the runtime's key")
        certificate = IncarnationCertificate(
            runtime=self.runtime_key,
            agent=agent,
            number=number,
            cell=cell,
            shared=shared,
            public_key=public_key,
        ).encode()
        return certificate, self._runtime.sign(digest(INCARNATION, certificate))

    def sealing(self, agent: bytes, generation: int) -> Sealing:
        """The sealing key of that generation, derived, never stored."""
        private_key, public_key = sealing_keypair(self._sealing_subkey, agent, generation)
        certificate = SealingCertificate(
            runtime=self.runtime_key, agent=agent, generation=generation, public_key=public_key
        ).encode()
        return Sealing(certificate, self._runtime.sign(digest(SEALING, certificate)), private_key)
