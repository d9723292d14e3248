"""What every contestant written in Python shares: parameters, the order of a ring, pacing, and reading /proc.

Imports nothing of queenright, so that peers in an environment of their own can use it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass

__all__ = [
    "START_IN_S", "Params", "cpu_seconds", "end_in_order", "next_link", "percent_cpu", "pick", "rss_bytes", "spaced", "until",
]  # fmt: skip

START_IN_S = 0.5  # between making the frames of an open loop and the first of them
WARM_PART = 10  # a run is done once with a tenth of its messages before it is measured
_SPIN_NS = 300_000  # before an intended time: sleeping is not exact enough


@dataclass(frozen=True, slots=True)
class Params:
    """`key=value` words of a command line."""

    words: dict[str, str]

    @classmethod
    def of_argv(cls, argv: list[str]) -> Params:
        return cls(dict(word.split("=", 1) for word in argv))

    def whole(self, name: str) -> int:
        return int(self.words[name])

    def real(self, name: str) -> float:
        return float(self.words[name])

    def text(self, name: str) -> str:
        return self.words[name]

    def flag(self, name: str) -> bool:
        """Raises ValueError for anything but 0 and 1."""
        if self.words[name] not in ("0", "1"):
            raise ValueError(f"{name} is 0 or 1, not {self.words[name]!r}")
        return self.words[name] == "1"

    def warm(self, name: str) -> list[int]:
        """The warm-up's size and the run's. Sizes are multiples of 1,000 (or of 10, for hops), so a tenth is whole."""
        full = self.whole(name)
        if full % WARM_PART:
            raise ValueError(f"{name} is a multiple of {WARM_PART}, not {full}")
        return [full // WARM_PART, full]


def next_link(at: int, agents: int) -> int:
    """The ring's order: a full-period congruential walk, so that neighbours are far apart. Every peer has this formula.

    It is one cycle over all if `agents` has no prime factor but 2 and 5.
    """
    return (4221 * at + 7919) % agents


def spaced(agents: int, tokens: int) -> list[int]:
    """Where tokens enter: `tokens` places, evenly over the numbers (which are not neighbours in the ring)."""
    return [n * agents // tokens for n in range(tokens)]


def pick(turn: int, agents: int) -> int:
    """Whom the wake number `turn` is for: pseudo-random, the same for every contestant."""
    mixed = (turn * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 31)) % agents


def until(at_ns: int) -> None:
    """Return at that wall time in nanoseconds, or at once if it is past."""
    while (left := at_ns - time.time_ns()) > 0:
        if left > _SPIN_NS:
            time.sleep((left - _SPIN_NS) / 1e9)


def end_in_order() -> None:
    """Make SIGTERM an exception, so that `finally` and context managers end what was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def rss_bytes(pid: int) -> int:
    """Resident bytes, from smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise ValueError(f"no Rss of process {pid}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads; exact to a clock tick (10 ms)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percent_cpu(pid: int, seconds: float) -> float:
    """How much of one core the process takes while nobody asks anything of it."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / seconds
