"""The figures of a run, kept as JSON under bench/results/: machine, versions, revision, parameters, every sample."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.contestants import ROOT
from bench.run import Outcome
from bench.table import number

__all__ = ["RESULTS", "compare", "place", "read", "write"]

RESULTS = ROOT / "bench" / "results"
VERSION = 1


def place(machine: dict[str, Any], directory: Path) -> Path:
    """Where a run that begins now is kept: named after the time and the revision."""
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{machine['revision'][:8]}.json"


def write(path: Path, machine: dict[str, Any], outcomes: list[Outcome]) -> None:
    """The run as far as it has come, whole or not at all."""
    run = {
        "v": VERSION,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "questions": [outcome.to_json() for outcome in outcomes],
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(run, indent=1) + "\n")
    part.replace(path)


def read(path: Path) -> dict[str, Any]:
    """A run. Raises ValueError if the file is none of ours."""
    run = json.loads(path.read_text())
    if not isinstance(run, dict) or run.get("v") != VERSION or not isinstance(run.get("questions"), list):
        raise ValueError(f"{path} is not the result of a run (version {VERSION})")
    return run


def compare(one: dict[str, Any], two: dict[str, Any]) -> str:
    """Medians of both side by side, for every figure that either has. Sizes that differ are said."""
    lines = []
    for name, run in (("A", one), ("B", two)):
        machine = run["machine"]
        changed = " with changes" if machine["changed"] else ""
        load = machine["load_before"][0]
        lines.append(f"{name}: {run['at']} {machine['revision'][:8]}{changed}, {machine['cpu']}, load {load}")
    by_id = [{question["id"]: question for question in run["questions"]} for run in (one, two)]
    for key in dict.fromkeys([*by_id[0], *by_id[1]]):
        a, b = by_id[0].get(key), by_id[1].get(key)
        lines += _question(key, a, b)
    return "\n".join(lines)


def _question(key: str, a: dict[str, Any] | None, b: dict[str, Any] | None) -> list[str]:
    if a is None or b is None:
        return [f"{key}: only in {'B' if a is None else 'A'}"]
    lines = [f"{key} {a['title']}"]
    for rival in dict.fromkeys([*a["samples"], *b["samples"]]):
        if rival not in a["samples"] or rival not in b["samples"]:
            lines.append(f"  {rival}: only in {'B' if rival not in a['samples'] else 'A'}")
            continue
        if a["params"][rival] != b["params"][rival]:
            lines.append(f"  {rival}: sizes differ, A {a['params'][rival]}, B {b['params'][rival]}")
        for measure in dict.fromkeys([*a["samples"][rival], *b["samples"][rival]]):
            if measure not in a["samples"][rival] or measure not in b["samples"][rival]:
                lines.append(
                    f"  {rival:<24} {measure:<16} only in {'B' if measure in b['samples'][rival] else 'A'}"
                )
            else:
                before, after = median(a["samples"][rival][measure]), median(b["samples"][rival][measure])
                ratio = f"{after / before:.2f}" if before else "-"
                lines.append(
                    f"  {rival:<24} {measure:<16} {number(before):>9} {number(after):>9}  B/A {ratio}"
                )
    return lines
