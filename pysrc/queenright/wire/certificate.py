"""Birth, incarnation and sealing-key certificates: canonical maps and the digests that are signed.

An agent's id is the digest of its birth certificate. The chain goes: operator's SSH signature over the intent, which names
the runtime key; the runtime key signs the first birth; each later birth is signed by the parent's live incarnation and
countersigned by the runtime; the runtime certifies each incarnation's key after the key signed its own claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.core import canonical, decode, digest, verify
from queenright.errors import Malformed

__all__ = [
    "BIRTH",
    "INCARNATION",
    "SEALING",
    "Birth",
    "IncarnationCertificate",
    "SealingCertificate",
    "incarnation_claim",
]

BIRTH = "birth"
INCARNATION = "incarnation"
SEALING = "sealing"
NO_PARENT = bytes(32)


def _fields(data: bytes, kind: str, shape: dict[str, type]) -> dict[str, Any]:
    body = decode(data)
    if not isinstance(body, dict) or body.keys() != shape.keys() | {"v"} or body["v"] != 1:
        raise Malformed(f"not a {kind} certificate of version 1")
    for name, kind_of in shape.items():
        if type(body[name]) is not kind_of:
            raise Malformed(f"{kind} certificate: field `{name}` has the wrong type")
    del body["v"]
    return body


@dataclass(frozen=True, slots=True)
class Birth:
    """Who an agent is, said once. `grant` is the digest of the grant it was born with."""

    runtime: bytes
    intent: bytes
    parent: bytes
    name: str
    behaviour: str
    package: bytes
    grant: bytes
    args: bytes  # digest of its arguments
    born_ms: int
    nonce: bytes

    def encode(self) -> bytes:
        return canonical({"v": 1} | {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, data: bytes) -> Birth:
        shape = {
            "runtime": bytes, "intent": bytes, "parent": bytes, "name": str, "behaviour": str, "package": bytes,
            "grant": bytes, "args": bytes, "born_ms": int, "nonce": bytes,
        }  # fmt: skip
        return cls(**_fields(data, BIRTH, shape))

    @property
    def agent(self) -> bytes:
        """The agent's id."""
        return digest(BIRTH, self.encode())


def incarnation_claim(agent: bytes, number: int, cell: str, nonce: bytes, public_key: bytes) -> bytes:
    """What a fresh incarnation key signs to claim itself, as bytes to sign."""
    claim = {"v": 1, "agent": agent, "number": number, "cell": cell, "nonce": nonce, "public_key": public_key}
    return digest("incarnation-claim", canonical(claim))


@dataclass(frozen=True, slots=True)
class IncarnationCertificate:
    """The runtime's word that `public_key` signs for life `number` of `agent`, in `cell`."""

    runtime: bytes
    agent: bytes
    number: int
    cell: str
    shared: bool
    public_key: bytes

    def encode(self) -> bytes:
        return canonical({"v": 1} | {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, data: bytes) -> IncarnationCertificate:
        shape = {
            "runtime": bytes,
            "agent": bytes,
            "number": int,
            "cell": str,
            "shared": bool,
            "public_key": bytes,
        }
        return cls(**_fields(data, INCARNATION, shape))

    @classmethod
    def verify(cls, data: bytes, signature: bytes, runtime_key: bytes) -> IncarnationCertificate:
        """Decode after the runtime's signature holds. Raises InvalidSignature or Malformed."""
        verify(runtime_key, digest(INCARNATION, data), signature)
        return cls.decode(data)


@dataclass(frozen=True, slots=True)
class SealingCertificate:
    """The runtime's word that mail for `agent` of this generation is sealed to `public_key` (X25519)."""

    runtime: bytes
    agent: bytes
    generation: int
    public_key: bytes

    def encode(self) -> bytes:
        return canonical({"v": 1} | {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, data: bytes) -> SealingCertificate:
        return cls(
            **_fields(
                data, SEALING, {"runtime": bytes, "agent": bytes, "generation": int, "public_key": bytes}
            )
        )

    @classmethod
    def verify(cls, data: bytes, signature: bytes, runtime_key: bytes) -> SealingCertificate:
        """Decode after the runtime's signature holds. Raises InvalidSignature or Malformed."""
        verify(runtime_key, digest(SEALING, data), signature)
        return cls.decode(data)
