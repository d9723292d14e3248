"""Births in batches, as the store keeps them: one head a batch, and parts where members differ.

A head holds what the members share and who signed it. Members that are counted and have the same arguments need nothing
more: each certificate is made again from the head. Listed names and arguments of their own lie in parts of
`BIRTHS_A_PART` members, so that one member is read at the same cost from a small batch and from a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from queenright.core import BIRTHS_A_PART, BirthBatch, canonical, decode, digest
from queenright.errors import LedgerBroken, Unknown
from queenright.store import Record, Store
from queenright.wire.certificate import BatchStatement

__all__ = ["BATCHES", "PARTS", "Births", "Head"]

BATCHES = "birth.batch"  # root -> head
ENDED = "birth.ended"  # root -> when and why every member that had done nothing ended
PARTS = "birth.part"  # root + u32 part -> names and arguments of its members
_HEADS_KEPT = 64
_PARTS_KEPT = 16  # a member that wakes is looked at more than once


@dataclass(frozen=True, slots=True)
class Head:
    """One batch. `stem` is set if its members are counted, `args` if they are the same for all."""

    statement: BatchStatement
    family: str
    seed: bytes
    stem: str | None
    args: bytes | None
    own_cell: bool
    grant: dict[str, Any]  # the request each member was born with
    tops: bytes
    parent_signature: bytes
    parent_incarnation: bytes
    runtime_signature: bytes

    def encode(self) -> bytes:
        body = {name: getattr(self, name) for name in self.__slots__}
        return canonical(body | {"v": 1, "statement": self.statement.encode()})

    @classmethod
    def decode(cls, data: bytes) -> Head:
        body = decode(data)
        del body["v"]
        return cls(**body | {"statement": BatchStatement.decode(body["statement"])})


class Births:
    """All batches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._head = lru_cache(maxsize=_HEADS_KEPT)(self._read_head)
        self._part = lru_cache(maxsize=_PARTS_KEPT)(self._read_part)

    # --- writing --------------------------------------------------------------------------------------------------

    def records(self, head: Head, names: list[str] | None, args: list[bytes] | None) -> tuple[Record, ...]:
        """The rows of a new batch; inserting fails for one that is there."""
        root = head.statement.root
        records: list[Record] = [("insert", BATCHES, root, head.encode())]
        if names is not None or args is not None:
            for first in range(0, head.statement.count, BIRTHS_A_PART):
                part = {
                    "v": 1,
                    "names": None if names is None else names[first : first + BIRTHS_A_PART],
                    "args": None if args is None else args[first : first + BIRTHS_A_PART],
                }
                records.append(("insert", PARTS, _part_key(root, first // BIRTHS_A_PART), canonical(part)))
        return tuple(records)

    def end(self, root: bytes, now_ms: int, why: str) -> Record:
        """The row by which all members that never had a turn have ended."""
        return ("put", ENDED, root, canonical({"v": 1, "ended_ms": now_ms, "reason": why}))

    def all_ended(self) -> list[bytes]:
        return [root for root, _ in self._store.scan(ENDED)]

    def ended(self, root: bytes) -> dict[str, Any] | None:
        """When (`ended_ms`) and why (`reason`) the batch's sleepers ended, if they did."""
        value = self._store.get(ENDED, root)
        return None if value is None else decode(value)

    # --- reading --------------------------------------------------------------------------------------------------

    def find(self, root: bytes) -> Head | None:
        try:
            return self._head(root)
        except Unknown:
            return None

    def _read_head(self, root: bytes) -> Head:
        value = self._store.get(BATCHES, root)
        if value is None:
            raise Unknown(f"no batch of births {root.hex()[:12]}")
        return Head.decode(value)

    def load(self) -> Iterator[tuple[Head, BirthBatch]]:
        """Every batch with all its members made again. Raises LedgerBroken for one that was altered."""
        after = None
        while rows := self._store.scan(BATCHES, after=after, limit=_HEADS_KEPT):
            for root, value in rows:
                head = Head.decode(value)
                names, args = self._listed(head)
                batch = self._make(head, 0, head.statement.count, names, args)
                if batch.root != root or head.statement.root != root:
                    raise LedgerBroken(
                        f"the batch of births {root.hex()[:12]} in the store is not the one that was signed",
                        hint="restore a backup",
                    )
                yield head, batch
            after = rows[-1][0]

    def _listed(self, head: Head) -> tuple[list[str] | None, list[bytes] | None]:
        names: list[str] | None = [] if head.stem is None else None
        args: list[bytes] | None = [] if head.args is None else None
        if names is not None or args is not None:
            for _, value in self._store.scan(PARTS, head.statement.root):
                part = decode(value)
                if names is not None:
                    names += part["names"]
                if args is not None:
                    args += part["args"]
        return names, args

    def part(self, root: bytes, position: int) -> tuple[Head, BirthBatch, bytes]:
        """The head, the part the member is in, and the member's arguments. Raises Unknown."""
        number, within = divmod(position, BIRTHS_A_PART)
        head, made, args = self._part(root, number)
        return head, made, head.args if head.args is not None else (args or [])[within]

    def _read_part(self, root: bytes, number: int) -> tuple[Head, BirthBatch, list[bytes] | None]:
        head = self._head(root)
        first = number * BIRTHS_A_PART
        names: list[str] | None = None
        args: list[bytes] | None = None
        if head.stem is None or head.args is None:
            value = self._store.get(PARTS, _part_key(root, number))
            if value is None:
                raise Unknown(f"no part {number} of the batch of births {root.hex()[:12]}")
            part = decode(value)
            names, args = part["names"], part["args"]
        count = min(BIRTHS_A_PART, head.statement.count - first)
        return head, self._make(head, first, count, names, args), args

    @staticmethod
    def _make(
        head: Head, first: int, count: int, names: list[str] | None, args: list[bytes] | None
    ) -> BirthBatch:
        said = head.statement
        return said.members(
            family=head.family,
            seed=head.seed,
            names=(head.stem, count) if head.stem is not None else names or [],
            args=digest("args", head.args)
            if head.args is not None
            else [digest("args", one) for one in args or []],
            first=first,
        )

    def member(self, root: bytes, position: int) -> dict[str, Any]:
        """What one member was born with, by the names of an agent's row. Raises Unknown."""
        head, part, args = self.part(root, position)
        said = head.statement
        return {
            "name": part.name(position), "behaviour": said.behaviour, "package": said.package, "intent": said.intent,
            "parent": said.parent, "args": args, "born_ms": said.born_ms, "birth": part.certificate(position),
            "parent_signature": head.parent_signature, "runtime_signature": head.runtime_signature,
            "parent_incarnation": head.parent_incarnation, "own_cell": head.own_cell,
        }  # fmt: skip

    def proof(self, root: bytes, position: int) -> tuple[Head, list[bytes]]:
        """The head, and the path from the member's id to the root that was signed. Raises Unknown."""
        head, part, _ = self.part(root, position)
        return head, part.path(position, head.tops)


def _part_key(root: bytes, number: int) -> bytes:
    return root + number.to_bytes(4, "big")
