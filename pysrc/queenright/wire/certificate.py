"""Birth, incarnation and sealing-key certificates: canonical maps and the digests that are signed.

An agent's id is the digest of its birth certificate. The chain goes: operator's SSH signature over the intent, which names
the runtime key; the runtime key signs the first birth; each later birth is signed by the parent's live incarnation and
countersigned by the runtime; the runtime certifies each incarnation's key after the key signed its own claim.
Births in a batch are signed once for all, over a statement that holds the root of the hash tree over the members' ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.core import BirthBatch, canonical, decode, digest, leaf_hash, verify, verify_inclusion
from queenright.errors import Malformed

__all__ = [
    "BATCH",
    "BIRTH",
    "INCARNATION",
    "SEALING",
    "BatchStatement",
    "Birth",
    "IncarnationCertificate",
    "SealingCertificate",
    "incarnation_claim",
]

BATCH = "birth-batch"
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


@dataclass(frozen=True, slots=True)
class BatchStatement:
    """What the parent's incarnation and the runtime sign for a batch of births: `count` members under `root`, the RFC 9162
    tree over their ids, all of one behaviour and each with the grant of that digest."""

    runtime: bytes
    intent: bytes
    parent: bytes
    behaviour: str
    package: bytes
    grant: bytes
    born_ms: int
    count: int
    root: bytes

    def encode(self) -> bytes:
        return canonical({"v": 1} | {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, data: bytes) -> BatchStatement:
        shape = {
            "runtime": bytes, "intent": bytes, "parent": bytes, "behaviour": str, "package": bytes, "grant": bytes,
            "born_ms": int, "count": int, "root": bytes,
        }  # fmt: skip
        return cls(**_fields(data, BATCH, shape))

    @property
    def signed_bytes(self) -> bytes:
        return digest(BATCH, self.encode())

    def members(
        self,
        *,
        family: str,
        seed: bytes,
        names: tuple[str, int] | list[str],
        args: bytes | list[bytes],
        first: int = 0,
    ) -> BirthBatch:
        """The members, or the part of them from `first` on, made again: `family` is the parent's name, `args` digests.

        Raises Malformed. Whether they are those that were signed is told by the root.
        """
        return BirthBatch(
            runtime=self.runtime, intent=self.intent, parent=self.parent, package=self.package, grant=self.grant,
            family=family, behaviour=self.behaviour, born_ms=self.born_ms, seed=seed, names=names, args=args, first=first,
        )  # fmt: skip

    def prove(self, agent: bytes, position: int, path: list[bytes]) -> None:
        """That the agent is the member at that position. Raises InvalidProof."""
        verify_inclusion(position, self.count, leaf_hash(agent), path, self.root)


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
