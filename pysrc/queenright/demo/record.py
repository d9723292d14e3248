"""What the ledger says of one fault: who was alive, what was done alone, what was asked, who decided. Pure.

The table is made of this record, not of what agents or events said; and the record is verified at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Record", "entries", "summarise"]

COMMANDER = "sre.Commander"
INVESTIGATORS = frozenset({"sre.MetricAgent", "sre.LogAgent"})


@dataclass(slots=True)
class Record:
    """`detected_ms`: when a commander was born. `peak`: the most agents alive at once. `after`: alive at the end.

    `alone`, `asked`: verbs, in their order: acts that ended well without a person, and what a person was asked for.
    """

    detected_ms: int | None = None
    investigators: list[str] = field(default_factory=list)  # ids of the agents that were given a piece
    peak: int = 0
    after: int = 0
    alone: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    unwell: list[str] = field(
        default_factory=list
    )  # acts that failed, were denied, or ended nobody knows how
    decided_by: str = ""
    verdict: str = ""  # approved, denied, expired
    done_ms: int | None = None  # when the last act ended well


def entries(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of ledger rows, in the ledger's order."""
    return [json.loads(row["entry"]) for row in sorted(rows, key=lambda row: int(row["index"]))]


def summarise(ledger: Iterable[dict[str, Any]], since_ms: int) -> Record:
    """The record of what happened from `since_ms` on (wall ms), out of all entries of the ledger."""
    found = Record()
    alive: set[str] = set()
    asked: set[str] = set()  # acts that a verdict allowed
    for entry in ledger:
        kind, facts = entry["kind"], entry.get("facts", {})
        if kind == "agent.born":
            alive.add(entry["agent"])
        elif kind == "agent.ended":
            alive.discard(entry["agent"])
        if entry["t"] < since_ms:
            found.peak = len(alive)
            continue
        found.peak = max(found.peak, len(alive))
        if kind == "agent.born":
            if facts["behaviour"] in INVESTIGATORS:
                found.investigators.append(entry["agent"])
            elif facts["behaviour"] == COMMANDER and found.detected_ms is None:
                found.detected_ms = entry["t"]
        elif kind == "ask.raised":
            found.asked.append(entry["action"]["verb"])
        elif kind == "ask.decided":
            found.decided_by = entry["actor"]["name"]
            found.verdict = "denied" if facts["answer"] == "deny" else "approved"
        elif kind == "ask.expired":
            found.verdict = "expired"
        elif kind.startswith("action.") and "action" in entry and entry["action"]["class"] != "read":
            _act(found, entry, asked)
    found.after = len(alive)
    return found


def _act(found: Record, entry: dict[str, Any], asked: set[str]) -> None:
    act, verb = entry["action"]["id"], entry["action"]["verb"]
    if "verdict" in entry or "ask" in entry:
        asked.add(act)
    if entry["kind"] == "action.done":
        found.done_ms = entry["t"]
        if act not in asked:
            found.alone.append(verb)
    elif entry["kind"] != "action.started":
        found.unwell.append(f"{verb}: {entry['kind'].removeprefix('action.')}")
