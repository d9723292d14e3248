"""The signed envelope of a message that crosses cells (design: the life of a message, point 2).

The body is sealed to the receiver (HPKE base mode) and the envelope signed by the sender's incarnation. One signature
covers a batch of messages through a Merkle root; a batch of one is the simplest batch and is what is made today.
"""

from __future__ import annotations

from dataclasses import dataclass

from queenright.core import canonical, digest, leaf_hash

__all__ = ["SEALED", "SEAL_INFO", "Batch", "leaf", "salted_digest", "seal_aad"]

DOMAIN = "queenright-batch/v1"
SEAL_INFO = b"queenright/seal/v1"

# The fields of a sealed message and their types. `certificate` is the sender's incarnation certificate, `certified` the
# runtime's signature over it, so that the receiver's cell takes nobody's word for the key.
SEALED: dict[str, type] = {
    "generation": int, "enc": bytes, "counter": int, "ct": bytes, "salted": bytes, "sequence": int,
    "incarnation": int, "previous": bytes, "signature": bytes, "certificate": bytes, "certified": bytes,
}  # fmt: skip


def salted_digest(salt: bytes, body: bytes) -> bytes:
    """Commits to a plaintext without letting anyone guess it: the salt travels inside the seal."""
    return digest("plaintext", salt + body)


def seal_aad(sender: bytes, receiver: bytes, sequence: int, kind: str) -> bytes:
    """What a seal is bound to besides its key: nobody can move a ciphertext to another pair, place or type."""
    return canonical([sender, receiver, sequence, kind])


def leaf(receiver: bytes, sequence: int, kind: str, ciphertext: bytes, salted: bytes) -> bytes:
    """The Merkle leaf of one message."""
    return leaf_hash(canonical([receiver, sequence, kind, digest("ciphertext", ciphertext), salted]))


@dataclass(frozen=True, slots=True)
class Batch:
    """What one signature covers: `count` messages from `first` on, chained to the sender's previous batch."""

    runtime: bytes
    sender: bytes
    incarnation: int
    first: int
    count: int
    previous: bytes
    root: bytes

    def signed_bytes(self) -> bytes:
        return canonical(
            [
                DOMAIN,
                self.runtime,
                self.sender,
                self.incarnation,
                self.first,
                self.count,
                self.previous,
                self.root,
            ]
        )

    @property
    def digest(self) -> bytes:
        """What the next batch of this sender names as its previous."""
        return digest("batch", self.signed_bytes())
