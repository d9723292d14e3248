"""What a room wants written, and what memory does once it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "Receipt", "Record", "join"]

Record = tuple[Any, ...]
"""One record of a submission; the kinds and their parts are in ARCHITECTURE.md under "Store"."""


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Change:
    """Records of one atomic write, and `applied`, called once they are durable to bring memory up to them.

    `applied` takes nothing, must not fail and must not write: it is the only place where a room's cache
    changes. `refused`, under the same rules, is called instead when nothing stands: it gives back what was
    held for this write (a budget, a place in the swarm).
    """

    records: tuple[Record, ...] = ()
    applied: Callable[[], None] = _nothing
    refused: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Receipt:
    """A commit that stands. Its leaves have the ledger indexes first_leaf .. first_leaf + leaves - 1."""

    first_leaf: int
    leaves: int


def join(changes: Iterable[Change]) -> Change:
    """Several changes as one: their records and their `applied` in order, their `refused` from the last."""
    parts = tuple(changes)

    def applied() -> None:
        for part in parts:
            part.applied()

    def refused() -> None:
        for part in reversed(parts):
            part.refused()

    return Change(tuple(record for part in parts for record in part.records), applied, refused)
