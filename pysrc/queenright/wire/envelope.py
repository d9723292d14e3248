"""Mail between cells: what crosses, what is signed, and how anybody checks one message (design: the life of a message, 2).

A body is sealed to its receiver (HPKE base mode) and a batch of messages signed once by the sender's incarnation, over a
Merkle root. The bytes are the core's: `core-rs/queenright-core/src/batch.rs` lists what is signed and both formats.

- A packet is a batch of volatile mail; forwarded to a cell it holds that cell's messages and the other leaves' hashes.
- A letter is one message with its path to the signed root. Durable mail is stored as letters, each with its sender's
  certificate, so that the receiver's next life, or an auditor, needs nothing else but the runtime's key.
"""

from __future__ import annotations

from typing import Any

from queenright.core import Letter
from queenright.errors import InvalidSignature, Malformed
from queenright.wire.certificate import IncarnationCertificate

__all__ = ["SALT", "SEALED", "check_sealed", "generation_of", "prove"]

SALT = 16  # bytes sealed in front of each body

# A sealed message as it is stored and handed over. `certificate` is the sender's incarnation certificate, `certified` the
# runtime's signature over it, so that the receiver's cell takes nobody's word for the key.
SEALED: dict[str, type] = {"letter": bytes, "certificate": bytes, "certified": bytes}


def check_sealed(sealed: Any) -> dict[str, Any]:
    """The map, if it has a sealed message's fields. Raises Malformed."""
    if (
        not isinstance(sealed, dict)
        or sealed.keys() != SEALED.keys()
        or any(type(sealed[name]) is not of for name, of in SEALED.items())
    ):
        raise Malformed("a sealed message has other fields than the envelope's")
    return sealed


def generation_of(sealed: dict[str, Any]) -> int:
    """The generation of the receiver's key that opens it."""
    return Letter.parse(sealed["letter"]).generation


def prove(sealed: dict[str, Any], runtime_key: bytes) -> Letter:
    """The letter, once it is certain who signed it: runtime's key, certificate, signature, path. Its body stays closed.

    Raises Malformed, InvalidProof or InvalidSignature.
    """
    check_sealed(sealed)
    certificate = IncarnationCertificate.verify(sealed["certificate"], sealed["certified"], runtime_key)
    letter = Letter.parse(sealed["letter"])
    if (certificate.agent, certificate.number) != (letter.sender, letter.incarnation):
        raise InvalidSignature("the certificate is of another agent or life than the letter's sender")
    letter.verify(runtime_key, certificate.public_key)
    return letter
