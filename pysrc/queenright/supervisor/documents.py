"""The signed documents in force: operators and resources, and the policy revision that names both.

The first operators document was written by `queenright init` beside the owner's pinned key; every later one follows the
version in force and is kept in the store. A document is checked again, signature included, each time it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from queenright.actions.resources import NAMESPACE as RESOURCES
from queenright.actions.resources import ResourceMap
from queenright.authority.document import OPERATORS
from queenright.authority.operators import Operators, Signer
from queenright.clock import Clock
from queenright.core import canonical, decode, digest, parse_key_line
from queenright.errors import NotEntitled
from queenright.paths import Paths
from queenright.store import Change, Store
from queenright.supervisor.founding import OPERATORS_DOCUMENT, OPERATORS_SIGNATURE, Pinned

__all__ = ["Documents", "SignedDocument"]

TABLE = "document"
_OPERATORS = b"operators/"  # + u32 version
_RESOURCES = b"resources"
_MAX_DOCUMENT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """Bytes and the armoured signature over them."""

    document: bytes
    signature: str

    def encode(self) -> bytes:
        return canonical({"v": 1, "document": self.document, "signature": self.signature})

    @classmethod
    def decode(cls, data: bytes) -> SignedDocument:
        body = decode(data)
        return cls(body["document"], body["signature"])


class Documents:
    """What owners signed, as it is in force."""

    def __init__(self, store: Store, paths: Paths, pinned: Pinned, clock: Clock) -> None:
        self._store = store
        self._paths = paths
        self._pinned = pinned
        self._clock = clock
        self.operators: Operators
        self.operators_signed: SignedDocument
        self.resources = ResourceMap()
        self.resources_signed: SignedDocument | None = None
        self.resources_signer = ""

    def load(self) -> None:
        """Check the chain of operators documents from the pinned owner on, then the resources document."""
        first = SignedDocument(
            _read(self._paths, OPERATORS_DOCUMENT), _read(self._paths, OPERATORS_SIGNATURE).decode("ascii")
        )
        operators = Operators.first(
            first.document, first.signature, self._pinned.owners, self._pinned.runtime
        )
        signed = first
        for _, row in self._store.scan(TABLE, _OPERATORS):
            signed = SignedDocument.decode(row)
            operators = operators.succeed(signed.document, signed.signature)
        self.operators, self.operators_signed = operators, signed
        mapped = self._store.get(TABLE, _RESOURCES)
        if mapped is not None:
            kept = SignedDocument.decode(mapped)
            signer = self._resources_signer(kept)
            self.resources = ResourceMap.decode(kept.document)
            self.resources_signed, self.resources_signer = kept, signer.person.name

    def _resources_signer(self, signed: SignedDocument) -> Signer:
        signer = self.operators.signer(RESOURCES, signed.document, signed.signature, self._clock.wall_ms())
        if not signer.owner:
            raise NotEntitled(
                f"{signer.person.name} is no owner: an owner signs resources", hint="queenright operator list"
            )
        return signer

    @property
    def policy_revision(self) -> bytes:
        """Digest of the operators and resources in force: an order and an ask name it."""
        return digest("policy", canonical([self.operators.digest, self.resources.digest]))

    def set_operators(self, document: bytes, signature: str) -> tuple[Operators, frozenset[str], Change]:
        """The next version, and the fingerprints it no longer knows. Raises as `Operators.succeed`."""
        after = self.operators.succeed(document, signature)
        gone = _fingerprints(self.operators) - _fingerprints(after)
        signed = SignedDocument(document, signature)
        key = _OPERATORS + after.version.to_bytes(4, "big")

        def applied() -> None:
            self.operators, self.operators_signed = after, signed

        return after, gone, Change((("insert", TABLE, key, signed.encode()),), applied)

    def operators_signer(self, document: bytes, signature: str) -> Signer:
        """Which owner of the version in force signed. Raises InvalidSignature."""
        return self.operators.signer(OPERATORS, document, signature, self._clock.wall_ms())

    def set_resources(self, document: bytes, signature: str) -> tuple[ResourceMap, Signer, Change]:
        """Another map, signed by an owner. Raises Malformed, InvalidSignature, NotEntitled."""
        signed = SignedDocument(document, signature)
        signer = self._resources_signer(signed)
        after = ResourceMap.decode(document)

        def applied() -> None:
            self.resources, self.resources_signed, self.resources_signer = after, signed, signer.person.name

        return after, signer, Change((("put", TABLE, _RESOURCES, signed.encode()),), applied)


def _fingerprints(operators: Operators) -> frozenset[str]:
    return frozenset(parse_key_line(line).fingerprint for person in operators.people for line in person.keys)


def _read(paths: Paths, name: str) -> bytes:
    with (paths.documents / name).open("rb") as file:
        return file.read(_MAX_DOCUMENT)
