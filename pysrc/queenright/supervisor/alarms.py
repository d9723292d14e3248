"""Things that fall due: one heap on boot time, one waiter. Callbacks run on the supervisor's loop and must not block."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from queenright.clock import Clock

__all__ = ["Alarm", "Alarms"]


class Alarm:
    """One due callback; `cancel()` makes it never fire."""

    __slots__ = ("callback", "cancelled", "due")

    def __init__(self, due: int, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Alarms:
    """Fires callbacks in order of due time, against the clock it was given."""

    def __init__(self, clock: Clock, failed: Callable[[Exception], None]) -> None:
        """`failed`: told of a callback that raised; the others fire all the same."""
        self._clock = clock
        self._failed = failed
        self._heap: list[tuple[int, int, Alarm]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()

    def at_boot(self, due_ms: int, callback: Callable[[], None]) -> Alarm:
        """Fire at a boot time."""
        alarm = Alarm(due_ms, callback)
        heapq.heappush(self._heap, (due_ms, next(self._order), alarm))
        self._changed.set()
        return alarm

    def after(self, delay_ms: int, callback: Callable[[], None]) -> Alarm:
        return self.at_boot(self._clock.boot_ms() + max(0, delay_ms), callback)

    def at_wall(self, due_ms: int, callback: Callable[[], None]) -> Alarm:
        """Fire when the wall clock, as it stands now, would read `due_ms`; a later step of the wall clock is ignored."""
        return self.after(due_ms - self._clock.wall_ms(), callback)

    def fire_due(self) -> None:
        """Run what is due by now."""
        now = self._clock.boot_ms()
        while self._heap and self._heap[0][0] <= now:
            alarm = heapq.heappop(self._heap)[2]
            if alarm.cancelled:
                continue
            try:
                alarm.callback()
            except Exception as error:  # a full disk under one timer must not stop all the others
                self._failed(error)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            self.fire_due()
            wait = None
            if self._heap:
                wait = max(0.001, (self._heap[0][0] - self._clock.boot_ms()) / 1000)
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue
