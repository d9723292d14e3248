"""What a drill found: one row an attack, and whether everything else still works. Drawn for people, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from queenright.core import digest

__all__ = ["Report", "Row", "Use"]

Outcome = Literal["stopped", "ESCAPED", "not run"]
NOT_OBSERVABLE = "not observable"
WIDTH = 80
_NAME, _BY = 44, 18


@dataclass(frozen=True, slots=True)
class Row:
    """One attack. `by`: what stood in its way; `evidence`: errno, refusal or observation; `leaf`: index of its ledger entry."""

    attack: str
    group: str
    place: str
    outcome: Outcome
    by: str
    evidence: str
    attributed: str
    leaf: int | None = None
    code: str = ""

    @property
    def short(self) -> str:
        """In one column: the wall, and the errno or code by which it was recognised."""
        if self.outcome != "stopped":
            return ""
        wall = re.split("[;:]| with ", self.by)[0].replace(" namespace", " ns")
        return f"{wall[: _BY - len(self.code) - 1]} {self.code}"[:_BY]


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that must go on working."""

    name: str
    works: bool
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """`tier` and `memory` are what stood around the cells; `wanted`: how many attacks and controls there should be."""

    version: str
    tier: str
    memory: str
    rows: tuple[Row, ...]
    uses: tuple[Use, ...]
    interrupted: str = ""

    def count(self, outcome: Outcome) -> int:
        return sum(row.outcome == outcome for row in self.rows)

    @property
    def passed(self) -> bool:
        """All stopped, none not run, every control works; and there was something to stop."""
        return (
            bool(self.rows)
            and not self.interrupted
            and self.count("stopped") == len(self.rows)
            and bool(self.uses)
            and all(use.works for use in self.uses)
        )

    def body(self) -> dict[str, Any]:
        """As it is printed with `--json`, and what its digest is over."""
        return {
            "version": self.version,
            "tier": self.tier,
            "memory": self.memory,
            "attacks": [asdict(row) for row in self.rows],
            "controls": [asdict(use) for use in self.uses],
            "stopped": self.count("stopped"),
            "escaped": self.count("ESCAPED"),
            "not_run": self.count("not run"),
            "interrupted": self.interrupted,
            "passed": self.passed,
        }

    @property
    def digest(self) -> bytes:
        """Of the JSON with sorted keys and no spaces: the ledger's `drill.ended` holds it."""
        return digest("drill-report", json.dumps(self.body(), sort_keys=True, separators=(",", ":")).encode())

    def lines(self) -> Iterator[str]:
        """For people, at most 80 columns: what was not stopped has its evidence below it."""
        yield f"{'ATTACK':{_NAME}} {'RESULT':8} {'STOPPED BY':{_BY}} LEDGER"
        group = ""
        for row in self.rows:
            if row.group != group:
                group = row.group
                yield f"-- {group}"
            mark = f"#{row.leaf}" if row.leaf is not None else "-"
            yield f"{row.attack[:_NAME]:{_NAME}} {row.outcome:8} {row.short:{_BY}} {mark}".rstrip()
            if row.outcome != "stopped":
                yield from (f"   {part}" for part in _fold(f"{row.place}: {row.evidence}"))
        yield ""
        yield "STILL WORKS"
        for use in self.uses:
            yield f"{use.name:{_NAME}} {'yes' if use.works else 'NO'}"
            if not use.works:
                yield from (f"   {part}" for part in _fold(use.text))
        yield ""
        yield (
            f"{len(self.rows)} attacks: {self.count('stopped')} stopped, {self.count('ESCAPED')} ESCAPED, "
            f"{self.count('not run')} not run"
        )
        seen = sum(row.leaf is not None for row in self.rows)
        yield f"{seen} are told of in the ledger; of the others nothing can be observed outside"
        if self.interrupted:
            yield f"interrupted: {self.interrupted}"


def _fold(text: str) -> list[str]:
    step = WIDTH - 3
    return [text[start : start + step] for start in range(0, len(text), step)] or [""]
