"""Cells of their own for agents: how many at once, who is next, and who makes room.

An agent wakes when something waits for it. Beyond the bounds wakes queue, fairly by intent (`Wakes`); while somebody waits
for a place, a cell that is idle is put away at once, and one that is never idle after HOLD_MS, between two turns.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

from queenright.control.protocol import OwnCellCounts
from queenright.errors import QueenrightError, SandboxRefused
from queenright.supervisor.agents import Agent
from queenright.supervisor.cell_process import CellProcess
from queenright.supervisor.wakes import Wakes

if TYPE_CHECKING:
    from queenright.supervisor.cells import Cells
    from queenright.supervisor.runtime import Runtime

__all__ = ["OwnCells", "default_most"]

CELL_BYTES = (
    24 * 1024 * 1024
)  # of memory for one, with a package that imports something: three times what an empty one has
CELLS_A_CORE = 128
AT_ONCE = max(
    4, 2 * (os.cpu_count() or 1)
)  # between their start and being ready: more would only slow each other
A_SECOND = 200  # begun in any second, from the pool or cold
HOLD_MS = 1_000  # what one with work without end keeps its cell while others wait
AGAIN_MS = 250  # after the machine had no room for a sandbox; twice as long after each further time
AGAIN_MOST_MS = 10_000
# What the kernel says when it has no more of something just now.
FULL = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOBUFS})


def default_most() -> int:
    """Own cells alive at once where nobody has said how many: a quarter of the memory, and what the cores can serve."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(8, min(memory // 4 // CELL_BYTES, CELLS_A_CORE * (os.cpu_count() or 1)))


class OwnCells:
    """`most` own cells are alive at once, those that are leaving among them. The pool's are not: they are nobody's yet."""

    def __init__(self, rt: Runtime, cells: Cells, most: int) -> None:
        self._rt = rt
        self._cells = cells
        self.most = most
        self._wakes = Wakes()
        self._alive: set[CellProcess] = set()
        self._opening: dict[bytes, asyncio.Task[None]] = {}  # agents whose cell is being started
        self._coming: set[CellProcess] = set()  # started, not ready
        self._second = 0
        self._begun = 0
        self._failures = 0
        self._paused_until = 0
        self._refused = ""
        self._looking = False
        self._closing = False

    def counts(self) -> OwnCellCounts:
        """For `status` and `health`."""
        return {
            "alive": len(self._alive) + len(self._opening),
            "most": self.most,
            "waiting": len(self._wakes),
            "pool": len(self._cells.starter.pool),
            "refused": self._refused or self._cells.starter.pool.refused,
        }

    # --- waking -------------------------------------------------------------------------------------------------------

    def want(self, agent: Agent) -> None:
        """The agent needs a cell: it waits for its turn, which may be now. Once it has one, it is pumped."""
        if agent.id not in self._opening and not self._closing:
            self._wakes.add(agent.intent, agent.id)
            self._serve()

    def _serve(self) -> None:
        """Start cells for those who wait, as far as the bounds go."""
        now = self._rt.clock.boot_ms()
        if now // 1000 != self._second:
            self._second, self._begun = now // 1000, 0
        while len(self._wakes) and not self._closing:
            if len(self._opening) + len(self._coming) >= AT_ONCE:
                return  # `ready` and `ended` look again
            if now < self._paused_until:
                self._look_again(self._paused_until)
                return
            if self._begun >= A_SECOND:
                self._look_again((self._second + 1) * 1000)
                return
            if len(self._alive) + len(self._opening) >= self.most:
                self._make_room(now)
                return
            agent_id = self._wakes.next()
            agent = self._rt.agents.find(agent_id) if agent_id is not None else None
            if agent is None or not self._rt.turns.wants_cell(agent):
                continue  # it ended, or its swarm was frozen, while it waited
            self._begun += 1
            self._opening[agent.id] = asyncio.create_task(
                self._open(agent), name=f"start own cell for {agent.name}"
            )

    def _look_again(self, at_ms: int) -> None:
        if not self._looking:
            self._looking = True
            self._rt.alarms.at_boot(at_ms, self._looked)

    def _looked(self) -> None:
        self._looking = False
        self._serve()

    async def _open(self, agent: Agent) -> None:
        try:
            cell = await self._cells.start(agent, shared=False)
        except QueenrightError as error:
            del self._opening[agent.id]
            self._failed(agent, error)
            self._serve()
            return
        except BaseException:
            del self._opening[agent.id]
            raise
        del self._opening[agent.id]
        self._failures, self._refused = 0, ""
        if cell.state != "ended":
            self._alive.add(cell)
            self._coming.add(cell)
            if self._rt.turns.wants_cell(agent):
                self._cells.host(cell, agent)
            else:
                cell.kill("its agent needs no cell any more", wanted=True)  # nobody is in it
        self._rt.turns.pump(agent.id)
        self._serve()

    def _failed(self, agent: Agent, error: QueenrightError) -> None:
        """A machine that is full now is asked again, with its agent first in line; anything else a person has to mend."""
        full = isinstance(error, SandboxRefused) and (error.step == "cell" or error.errno in FULL)
        self._refused = f"{error.message}"
        if not full:
            self._rt.log.error("cell.refused", agent=agent.name, error=error.message, hint=error.hint)
            self._rt.swarms.cell_refused(agent, error)
            return
        wait = min(AGAIN_MS << min(self._failures, 16), AGAIN_MOST_MS)
        if not self._failures:
            self._rt.incident("cell.waits", agent.name, f"{error.message} {error.hint}".strip())
        self._failures += 1
        self._paused_until = self._rt.clock.boot_ms() + wait
        self._rt.log.warning("cell.waits", agent=agent.name, error=error.message, again_ms=wait)
        self._wakes.again(agent.intent, agent.id)

    # --- making room --------------------------------------------------------------------------------------------------

    def must_yield(self, cell: CellProcess) -> bool:
        """Whether its agent, between two turns, has to make room: it has had its time, and others wait for the place."""
        full = len(self._wakes) > 0 and len(self._alive) + len(self._opening) >= self.most
        return full and self._rt.clock.boot_ms() - cell.started_ms >= HOLD_MS

    def rested(self) -> None:
        """An agent has ended a turn, or waits in one for somebody else: its cell may be the place that is waited for."""
        if len(self._wakes):
            self._rt.soon(self._serve)

    def _make_room(self, now: int) -> None:
        """Put away as many idle cells as are waited for, those that are idle longest first."""
        wanted = len(self._wakes) - sum(1 for cell in self._alive if cell.reason)
        if wanted <= 0:
            return
        idle = [
            cell
            for cell in self._alive
            if cell.state == "ready" and not cell.reason and not self._cells.busy(cell)
        ]
        idle.sort(key=lambda cell: now if cell.idle_since is None else cell.idle_since)
        for cell in idle[:wanted]:
            self._cells.put_away(cell, "others wait for a cell")

    # --- what becomes of them -----------------------------------------------------------------------------------------

    def forget(self, agent: Agent) -> None:
        """The agent ended, or may not run: it waits no more."""
        self._wakes.discard(agent.id)

    def ready(self, cell: CellProcess) -> None:
        """It has imported its package."""
        self._coming.discard(cell)
        self._serve()

    def ended(self, cell: CellProcess) -> None:
        """The kernel says that nothing of it is left."""
        self._alive.discard(cell)
        self._coming.discard(cell)
        self._serve()

    def opening(self, agent: bytes) -> asyncio.Task[None] | None:
        """What is starting this agent's cell just now; the cell ends by itself if its agent may not run by then."""
        return self._opening.get(agent)

    def stop(self) -> None:
        """Nothing is started any more."""
        self._closing = True
        for task in self._opening.values():
            task.cancel()

    async def close(self) -> None:
        """The same, and wait until what was being started is gone."""
        self.stop()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
