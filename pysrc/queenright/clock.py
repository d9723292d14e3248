"""Time, handed in. Nothing in queenright reads a clock that it was not given.

Wall time is for people, providers and signed documents; boot time is for enforcement while a process lives, because
CLOCK_MONOTONIC stops when the machine sleeps and CLOCK_BOOTTIME does not.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Two readings, both in whole milliseconds."""

    def wall_ms(self) -> int: ...

    def boot_ms(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def boot_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class ManualClock:
    """A clock that stands still until it is told: for tests and the harness of `queenright.testing`."""

    def __init__(self, wall_ms: int = 1_800_000_000_000, boot_ms: int = 1_000_000) -> None:
        self._wall = wall_ms
        self._boot = boot_ms

    def wall_ms(self) -> int:
        return self._wall

    def boot_ms(self) -> int:
        return self._boot

    def advance(self, ms: int) -> None:
        """Let both clocks run on by `ms` milliseconds."""
        self._wall += ms
        self._boot += ms

    def step_wall(self, ms: int) -> None:
        """Set the wall clock forward or back, as an administrator or NTP would; boot time does not move."""
        self._wall += ms
