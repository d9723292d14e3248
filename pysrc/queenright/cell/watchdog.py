"""Interrupts a handler that holds the interpreter: an exception into the running turn, from a timer's signal.

It reaches everything that runs Python bytecode or a call that signals break. A C function that does neither is left to the
supervisor, which sees the same step in the shared page and ends the process.
"""

from __future__ import annotations

import signal
import types
from collections.abc import Callable
from typing import Any

__all__ = ["LIMIT_S", "TurnTimeout", "Watchdog"]

LIMIT_S = 1.0  # design section 6, point 5
_TICKS = 4  # looks a limit


class TurnTimeout(BaseException):
    """The handler held the interpreter for too long. No Exception: a behaviour's `except Exception` lets it pass."""


class Watchdog:
    """`progress` gives the number of the step in progress, 0 outside of runs. On while agents run, off while the cell waits."""

    def __init__(self, progress: Callable[[], int], limit_s: float = LIMIT_S) -> None:
        self._progress = progress
        self._limit_s = limit_s
        self._seen = 0
        self._ticks = 0
        self._on = False
        signal.signal(signal.SIGALRM, self._tick)

    def limit(self, limit_ms: int) -> None:
        """From now on a handler may hold the interpreter this long."""
        self.off()
        self._limit_s = limit_ms / 1000

    def on(self) -> None:
        """Look from now on. Costs nothing if it does already: the cell's loop says so between any two runs."""
        if not self._on:
            self._on = True
            self._ticks = 0
            signal.setitimer(signal.ITIMER_REAL, self._limit_s / _TICKS, self._limit_s / _TICKS)

    def off(self) -> None:
        """Nobody runs: an idle cell is not woken to look."""
        if self._on:
            self._on = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _tick(self, signum: int, frame: types.FrameType | None) -> Any:
        step = self._progress()
        if step == 0 or step != self._seen:
            self._seen, self._ticks = step, 0
            return
        self._ticks += 1
        if self._ticks >= _TICKS:
            self._ticks = 0
            raise TurnTimeout(
                f"the handler held the interpreter for {self._limit_s:g} s: await a step, or do less at once"
            )
