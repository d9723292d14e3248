"""What the demo claims at its end: a row for each fault, judged against what was promised. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["PROMISED", "Closing", "Promise", "Row", "as_data", "problems", "render"]


@dataclass(frozen=True, slots=True)
class Promise:
    """What must be true of a fault's row. `severity`: one of these, as the numbers have it; none: no incident."""

    severity: tuple[str, ...]
    alone: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


# The least and the most agents at once that a severity is worth, the watcher included.
STAFF = 3  # watcher, commander, remedy: the others look at a piece each
SIZE = {"": (1, 1), "small": (2, 6), "severe": (40, 60)}
PROMISED = {
    "bad-release": Promise(("small",), alone=("release.rollback",)),
    "dead-worker": Promise(("small",), alone=("svc.restart",)),
    # How slow full scans are depends on the machine: where they pile up, customers really fail.
    "missing-index": Promise(("small", "severe"), alone=("db.index.create",)),
    "bad-config": Promise(("severe",), alone=("config.restore",)),
    "stuck-sessions": Promise(("severe",), asked=("db.session.kill",)),
    "false-alarm": Promise(()),
}


@dataclass(slots=True)
class Row:
    """One fault, as it went. Times in seconds after the injection; None: it did not happen."""

    fault: str
    hurt: str = ""  # the worst second that customers had, in words
    severity: str = ""
    why: str = ""  # from which measured numbers
    detected_s: float | None = None
    agents: int = 0  # the most at once
    pieces: list[str] = field(
        default_factory=list
    )  # what each investigating agent looked at: signal, target, window
    blind: list[str] = field(default_factory=list)  # those of them that read nothing
    alone: list[str] = field(default_factory=list)  # acts that ended well, within the intent
    asked: list[str] = field(default_factory=list)
    decided_by: str = ""
    verdict: str = ""  # approved, denied, expired
    healthy_s: float | None = None
    agents_after: int = 0


@dataclass(slots=True)
class Closing:
    """What holds of the whole run."""

    leases_left: int
    entries: int
    verified: bool
    verifier: str  # what the second process said
    seconds: float
    left_running: int = 0


def problems(rows: list[Row], closing: Closing) -> list[str]:
    """Every promise that was not kept; the demo succeeds only if there is none."""
    found: list[str] = []
    for row in rows:
        promise = PROMISED[row.fault]
        least, most = SIZE.get(row.severity, (0, 0))
        told = [
            (bool(row.hurt), "customers were not hurt, so nothing was shown"),
            (row.severity in (promise.severity or ("",)), f"severity {row.severity or 'none'}"),
            (least <= row.agents <= most, f"{row.agents} agents at once, not {least} to {most}"),
            (tuple(row.alone) == promise.alone, f"did alone: {', '.join(row.alone) or 'nothing'}"),
            (tuple(row.asked) == promise.asked, f"asked for: {', '.join(row.asked) or 'nothing'}"),
            (bool(row.decided_by) == bool(promise.asked), f"decided by: {row.decided_by or 'nobody'}"),
            (not promise.asked or row.verdict == "approved", f"the verdict was: {row.verdict or 'none'}"),
            ((row.detected_s is not None) == bool(promise.severity), f"detected after: {_s(row.detected_s)}"),
            (row.healthy_s is not None, "not healthy by measurement"),
            (len(set(row.pieces)) == len(row.pieces), "two agents had the same piece"),
            (
                len(row.pieces) == max(0, row.agents - STAFF),
                f"{len(row.pieces)} pieces for {row.agents} agents",
            ),
            (not row.blind, f"read nothing: {'; '.join(row.blind)}"),
            (row.agents_after == 1, f"{row.agents_after} agents left, not the watcher alone"),
        ]
        found += [f"{row.fault}: {what}" for good, what in told if not good]
    if closing.leases_left:
        found.append(f"{closing.leases_left} leases left")
    if not closing.verified:
        found.append(f"the ledger does not verify: {closing.verifier}")
    if closing.left_running:
        found.append(f"{closing.left_running} processes left running")
    return found


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


HEAD = (
    "fault",
    "severity",
    "detected after",
    "agents (peak)",
    "acts alone",
    "asked",
    "decided by",
    "healthy after",
)


def render(rows: list[Row], closing: Closing) -> str:
    """The table as text, one line a fault, and what holds of the whole under it."""
    lines = [HEAD] + [
        (
            row.fault,
            row.severity or "none",
            _s(row.detected_s),
            str(row.agents),
            ", ".join(row.alone) or "-",
            ", ".join(row.asked) or "-",
            row.decided_by or "-",
            _s(row.healthy_s),
        )
        for row in rows
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text.insert(1, "  ".join("─" * width for width in widths))
    text += [f"{row.fault}: {row.severity}: {row.why}" for row in rows if row.why]
    text += [f"{row.fault}: customers' worst second: {row.hurt}" for row in rows if row.hurt]
    text.append(f"leases left      {closing.leases_left}")
    text.append(f"ledger verified  {'yes' if closing.verified else 'NO'}: {closing.verifier}")
    text.append(f"took             {closing.seconds:.0f} s")
    return "\n".join(text)


def as_data(rows: list[Row], closing: Closing) -> dict[str, Any]:
    """The same as data, with every broken promise in words."""
    return {"faults": [asdict(row) for row in rows], **asdict(closing), "problems": problems(rows, closing)}
