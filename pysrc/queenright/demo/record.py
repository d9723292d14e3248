"""What the ledger says of one fault: who was alive, what was done alone, what was asked, who decided. Pure.

The table is made of this record, not of what agents or events said; and the record is verified at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Record", "entries", "summarise"]

READS = frozenset({"metrics.read", "logs.read"})


@dataclass(slots=True)
class Record:
    """`detected_ms`: when a commander was born. `peak`: the most agents alive at once. `after`: alive at the end."""

    detected_ms: int | None = None
    peak: int = 0
    after: int = 0
    alone: list[str] = field(default_factory=list)
    done_ms: int | None = None  # when the last act ended well
    asked: list[str] = field(default_factory=list)
    decided_by: str = ""
    verdict: str = ""
    failed: list[str] = field(default_factory=list)


def entries(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of ledger rows, in the ledger's order."""
    return [json.loads(row["entry"]) for row in sorted(rows, key=lambda row: int(row["index"]))]


def summarise(ledger: Iterable[dict[str, Any]], since_ms: int) -> Record:
    """The record of what happened after `since_ms`, from all entries of the ledger."""
    found, alive = Record(), set[str]()
    for entry in ledger:
        kind, at, facts = entry["kind"], entry["at"], entry.get("facts", {})
        if kind == "agent.born":
            alive.add(entry["agent"])
        elif kind == "agent.ended":
            alive.discard(entry["agent"])
        if at < since_ms:
            found.peak = len(alive)
            continue
        found.peak = max(found.peak, len(alive))
        if kind == "agent.born" and facts["behaviour"] == "sre.Commander" and found.detected_ms is None:
            found.detected_ms = at
    found.after = len(alive)
    return found
