"""The pool of empty cells: started, sandboxed, up, and nobody's. A waking agent takes one, and it is never given back.

It is filled only while own cells are in use, or were within LATELY_MS; a swarm that sleeps keeps KEPT of them.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable

from queenright.clock import Clock
from queenright.errors import QueenrightError
from queenright.supervisor.alarms import Alarms
from queenright.supervisor.empty_cell import EmptyCell
from queenright.supervisor.logs import Log

__all__ = ["KEPT", "LATELY_MS", "MOST", "Pool"]

MOST = max(
    4, 2 * (os.cpu_count() or 1)
)  # while agents wake: what the cores can start in the time of a few wakes
KEPT = 1  # while nobody has woken for LATELY_MS: 8 MiB of memory that is shared with no other process, as measured
LATELY_MS = 60_000
GAP_MS = 20  # between two starts in the background: 50 a second is more than any core does, and leaves the loop free
FAILED_MS = 500  # after a start that failed; twice as long after each further one
FAILED_MOST_MS = 30_000


class Pool:
    """`start` makes an empty cell and returns it once it is up."""

    def __init__(
        self, start: Callable[[], Awaitable[EmptyCell]], clock: Clock, alarms: Alarms, log: Log
    ) -> None:
        self._start = start
        self._clock = clock
        self._alarms = alarms
        self._log = log
        self._ready: deque[EmptyCell] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._watching: dict[EmptyCell, asyncio.Task[None]] = {}
        self._used_ms: int | None = None
        self._next_ms = 0
        self._failures = 0
        self._due = False
        self._closed = False
        self.refused = ""
        """Why the last start failed; empty since one succeeded."""

    def __len__(self) -> int:
        """Empty cells that are up."""
        return len(self._ready)

    def take(self) -> EmptyCell | None:
        """The one that is up longest, for good; None if there is none. Counts as use: the pool is filled again."""
        self._used_ms = self._clock.boot_ms()
        empty = self._ready.popleft() if self._ready else None
        if empty is not None:
            self._watching.pop(empty).cancel()
        self.fill()
        return empty

    @property
    def wanted(self) -> int:
        """How many there should be now: none before the first own cell was wanted."""
        if self._closed or self._used_ms is None:
            return 0
        return MOST if self._clock.boot_ms() - self._used_ms < LATELY_MS else KEPT

    def fill(self) -> None:
        """Start what is missing, one at a time and not at once; end what is too much."""
        while len(self._ready) > self.wanted:
            self._drop(self._ready[-1])
        if len(self._ready) + len(self._starting) >= self.wanted or self._due:
            return
        self._due = True
        self._alarms.at_boot(max(self._next_ms, self._clock.boot_ms() + 1), self._start_one)

    def _start_one(self) -> None:
        self._due = False
        if self._clock.boot_ms() < self._next_ms:  # the start before this one has failed meanwhile
            self.fill()
        elif len(self._ready) + len(self._starting) < self.wanted:
            self._next_ms = self._clock.boot_ms() + GAP_MS
            task = asyncio.create_task(self._add(), name="start empty cell")
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
            self.fill()

    async def _add(self) -> None:
        try:
            empty = await self._start()
        except (QueenrightError, OSError) as error:
            wait = min(FAILED_MS << min(self._failures, 16), FAILED_MOST_MS)
            self._failures += 1
            self._next_ms = self._clock.boot_ms() + wait
            self.refused = str(error)
            self._log.error("pool.refused", error=str(error), again_ms=wait)
        else:
            self._failures, self.refused = 0, ""
            if self._closed:
                empty.discard()
                return
            self._ready.append(empty)
            self._watching[empty] = asyncio.create_task(self._watch(empty), name="watch empty cell")
        self._alarms.after(0, self.fill)

    async def _watch(self, empty: EmptyCell) -> None:
        """One that ends unasked is replaced."""
        how = await empty.sandbox.wait()
        self._ready.remove(empty)
        del self._watching[empty]
        empty.discard()
        self._log.warning("pool.died", pid=empty.sandbox.pid, code=how.code, signal=how.signal)
        self.fill()

    def _drop(self, empty: EmptyCell) -> None:
        self._ready.remove(empty)
        self._watching.pop(empty).cancel()
        empty.discard()

    async def close(self) -> None:
        """End every empty cell; nothing is started any more."""
        self._closed = True
        for task in list(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        ending = [empty.sandbox for empty in self._ready]
        for empty in list(self._ready):
            self._drop(empty)
        await asyncio.gather(*(sandbox.wait() for sandbox in ending), return_exceptions=True)
