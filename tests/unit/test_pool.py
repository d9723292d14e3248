"""The pool of empty cells: filled while own cells are in use, slowly, and never with one that was somebody's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from queenright.clock import ManualClock
from queenright.errors import SandboxRefused
from queenright.supervisor.alarms import Alarms
from queenright.supervisor.launcher import Exit
from queenright.supervisor.pool import FAILED_MS, GAP_MS, KEPT, LATELY_MS, MOST, Pool


class Sandbox:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()

    async def wait(self) -> Exit:
        await self.ended.wait()
        return Exit(None, 9)


class Empty:
    def __init__(self, pid: int) -> None:
        self.sandbox = Sandbox(pid)
        self.discarded = 0

    def discard(self) -> None:
        self.discarded += 1
        self.sandbox.ended.set()


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))

    warning = error


class World:
    """A pool whose starts are counted, on a clock that only moves by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = Log()
        self.started: list[Empty] = []
        self.refusal: Exception | None = None
        self.alarms = Alarms(self.clock, self._raise)
        starting: Any = self._start
        log: Any = self.log
        self.pool = Pool(starting, self.clock, self.alarms, log)

    def _raise(self, error: Exception) -> None:
        raise error

    async def _start(self) -> Empty:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(Empty(len(self.started)))
        return self.started[-1]

    async def settle(self) -> None:
        """Let every task that can run do so; the clock stands."""
        for _ in range(10):
            self.alarms.fire_due()
            await asyncio.sleep(0)

    async def pass_ms(self, ms: int) -> None:
        for _ in range(ms):
            self.clock.advance(1)
            await self.settle()


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World()
        await test(world)
        await world.pool.close()

    asyncio.run(whole())


def test_nothing_is_started_before_the_first_own_cell_is_wanted() -> None:
    async def test(world: World) -> None:
        world.pool.fill()
        await world.pass_ms(1000)
        assert world.started == []

    run(test)


def test_it_is_filled_one_by_one_with_a_gap_and_no_further_than_its_bound() -> None:
    async def test(world: World) -> None:
        assert world.pool.take() is None
        await world.pass_ms(GAP_MS)
        assert len(world.started) <= 2
        await world.pass_ms(GAP_MS * 2 * MOST)
        assert len(world.started) == len(world.pool) == MOST

    run(test)


def test_one_that_was_taken_is_never_given_again_and_is_replaced() -> None:
    async def test(world: World) -> None:
        world.pool.take()
        await world.pass_ms(GAP_MS * 2 * MOST)
        taken = [world.pool.take() for _ in range(MOST)]
        assert len(set(taken)) == MOST
        assert None not in taken
        await world.pass_ms(GAP_MS * 2 * MOST)
        again = [world.pool.take() for _ in range(MOST)]
        assert set(again).isdisjoint(taken)

    run(test)


def test_a_swarm_that_sleeps_keeps_few() -> None:
    async def test(world: World) -> None:
        world.pool.take()
        await world.pass_ms(GAP_MS * 2 * MOST)
        world.clock.advance(LATELY_MS)
        world.pool.fill()
        await world.settle()
        assert len(world.pool) == KEPT
        assert sum(empty.discarded for empty in world.started) == MOST - KEPT

    run(test)


def test_one_that_dies_in_the_pool_is_told_of_and_replaced() -> None:
    async def test(world: World) -> None:
        world.pool.take()
        await world.pass_ms(GAP_MS * 2 * MOST)
        world.started[0].sandbox.ended.set()
        await world.settle()
        assert len(world.pool) == MOST - 1
        assert ("pool.died", {"pid": 0, "code": None, "signal": 9}) in world.log.lines
        await world.pass_ms(GAP_MS * 2)
        assert len(world.pool) == MOST
        assert world.pool.take() is world.started[1]

    run(test)


def test_a_machine_that_refuses_is_asked_less_and_less_and_says_why() -> None:
    async def test(world: World) -> None:
        world.refusal = SandboxRefused("no room", step="clone", hint="wait")
        world.pool.take()
        await world.pass_ms(FAILED_MS // 2)
        assert len(world.log.lines) == 1
        assert "no room" in world.pool.refused
        await world.pass_ms(FAILED_MS * 3)
        assert [facts["again_ms"] for _, facts in world.log.lines] == [
            FAILED_MS,
            2 * FAILED_MS,
            4 * FAILED_MS,
        ]
        world.refusal = None
        await world.pass_ms(4 * FAILED_MS + GAP_MS * 2 * MOST)
        assert len(world.pool) == MOST
        assert world.pool.refused == ""

    run(test)


def test_closing_ends_all_of_them() -> None:
    async def test(world: World) -> None:
        world.pool.take()
        await world.pass_ms(GAP_MS * 2 * MOST)
        await world.pool.close()
        assert [empty.discarded for empty in world.started] == [1] * MOST
        world.pool.fill()
        await world.pass_ms(GAP_MS)
        assert len(world.started) == MOST

    run(test)
