"""Time that never goes back and never runs slower than the machine, over steps of the wall clock and restarts.

A deadline kept in this time is never lengthened: stepping the wall clock back changes nothing, stepping it forward ends
things early, suspend counts (CLOCK_BOOTTIME), and a restart begins no earlier than the last time written down.
"""

from __future__ import annotations

import threading

from queenright.clock import Clock
from queenright.core import canonical, decode
from queenright.store import Change, Store

__all__ = ["ALARM_MS", "SAVE_MS", "Timekeeper"]

SAVE_MS = 5_000
"""How often the supervisor commits `save()`; so much may be lived twice after a crash under a stepped clock."""
ALARM_MS = 30_000
"""A jump of the wall clock beyond this is shown to people."""
_TABLE, _KEY = "clock", b"high-water"


class Timekeeper:
    """`now_ms` is wall milliseconds, made monotonic. Safe to use from several threads."""

    def __init__(self, clock: Clock, store: Store) -> None:
        """Begins at the later of the wall clock and the stored high-water mark."""
        kept = store.get(_TABLE, _KEY)
        self._clock = clock
        self._lock = threading.Lock()
        self._boot = clock.boot_ms()
        self._now = max(clock.wall_ms(), decode(kept) if kept is not None else 0)

    def now_ms(self) -> int:
        """The present, never earlier than any answer before it."""
        with self._lock:
            boot, wall = self._clock.boot_ms(), self._clock.wall_ms()
            self._now = max(wall, self._now + max(0, boot - self._boot))
            self._boot = max(self._boot, boot)
            return self._now

    def ahead_ms(self) -> int:
        """How far this time is ahead of the wall clock: beyond ALARM_MS, the wall clock was stepped back."""
        return self.now_ms() - self._clock.wall_ms()

    def save(self) -> Change:
        """Write the high-water mark."""
        return Change((("put", _TABLE, _KEY, canonical(self.now_ms())),))
