"""What a program asks: one workload, its sizes, what is measured, against whom, and the bar."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "FULL", "MODES", "QUICK", "RATE", "ROUTER", "TINY", "WAKE", "Bar", "Measure", "Question", "Rival",
]  # fmt: skip

FULL, QUICK, TINY = "full", "quick", "tiny"
MODES = (FULL, QUICK, TINY)  # tiny is for the tests: does it run, is the work the same


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a run. `more` says whether more of it is better."""

    key: str
    title: str
    more: bool = True


ROUTER = Measure("supervisor_us", "supervisor's CPU us/message", False)
RATE = Measure("rate", "messages/s")
WAKE = (
    Measure("p50_us", "p50 us", False),
    Measure("p99_us", "p99 us", False),
    Measure("max_us", "max us", False),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """What the figure of `ours` is to be: at least or at most `factor` times that of `peer` in the same run, or, with
    `peer` None, `factor` itself."""

    measure: str
    factor: float
    peer: str | None
    at_least: bool
    aim: float | None = None
    ours: str = "ours"


@dataclass(frozen=True, slots=True)
class Rival:
    """A contestant of this question: whose program (`contestants.py`), under what name, with what added to the sizes.

    `part`: the share of the messages a slow peer is given in a full run, so that it ends; the figure is a rate."""

    program: str
    name: str = ""
    extra: dict[str, object] = field(default_factory=dict)
    part: int = 1
    quick: bool = True

    @property
    def label(self) -> str:
        return self.name or self.program


@dataclass(frozen=True, slots=True)
class Question:
    """`sizes` are the workload's parameters by mode; `scaled` names those that `Rival.part` divides."""

    id: str
    title: str
    workload: str
    measures: tuple[Measure, ...]
    sizes: dict[str, dict[str, object]]
    rivals: tuple[Rival, ...]
    bars: tuple[Bar, ...] = ()
    scaled: tuple[str, ...] = ()
    notes: str = ""

    def params(self, mode: str, rival: Rival) -> dict[str, object]:
        """The words a contestant is run with."""
        params = self.sizes[mode] | rival.extra
        if mode == FULL and rival.part > 1:
            for name in self.scaled:
                size = params[name]
                assert isinstance(size, int)
                params[name] = size // rival.part
        return params
