"""How bad is it, from the measured numbers alone; and how many agents that is worth."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .detect import CONFIRM
from .measure import Sample

SEVERE_RATIO = 0.30  # of the requests failing: customers cannot do what they came for
SEVERE_P95_MS = 2_000.0  # past this, customers leave

Level = Literal["small", "severe"]


class Severity(NamedTuple):
    """`sent`, `bad` over the last bad samples; the first one is left out, it may be half good."""

    level: Level
    sent: int
    bad: int
    p95_ms: float
    down: tuple[str, ...]
    why: str


def severity(evidence: tuple[Sample, ...]) -> Severity:
    """The severity of a confirmed detection. ValueError without evidence: nothing is severe by default."""
    if not evidence:
        raise ValueError("no measured sample: no severity")
    late = evidence[1 - CONFIRM :]
    sent, bad = sum(s.sent for s in late), sum(s.bad for s in late)
    p95 = max(s.p95_ms for s in late)
    down = late[-1].down
    ratio = bad / sent if sent else 0.0
    numbers = f"{bad} of {sent} requests failed ({ratio:.1%}), p95 {p95:.0f} ms, {len(down)} processes down"
    if ratio >= SEVERE_RATIO:
        return Severity("severe", sent, bad, p95, down, f"{numbers}: at least {SEVERE_RATIO:.0%} fail")
    if p95 >= SEVERE_P95_MS:
        return Severity("severe", sent, bad, p95, down, f"{numbers}: p95 of at least {SEVERE_P95_MS:.0f} ms")
    return Severity("small", sent, bad, p95, down, f"{numbers}: below {SEVERE_RATIO:.0%} failing")
