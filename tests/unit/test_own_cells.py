"""Places for agents with cells of their own: bounded, given in turn, taken back from the idle, asked for again when refused."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from queenright.clock import ManualClock
from queenright.errors import Conflict, QueenrightError, SandboxRefused
from queenright.supervisor.alarms import Alarms
from queenright.supervisor.own_cells import A_SECOND, AGAIN_MS, AT_ONCE, HOLD_MS, OwnCells

FULL = SandboxRefused("no more processes", step="clone", errno=errno.EAGAIN, hint="wait")


class Agent(SimpleNamespace):
    def __init__(self, number: int, intent: int = 0) -> None:
        super().__init__(
            id=number.to_bytes(32, "big"),
            intent=bytes([intent]) * 32,
            name=f"agent {number}",
            wants=True,
            cell=None,
        )


class Cell(SimpleNamespace):
    def __init__(self, agent: Agent, now: int) -> None:
        super().__init__(agent=agent, state="starting", reason="", idle_since=None, started_ms=now, busy=True)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class World:
    """Cells that start when they are told to, on a clock that only moves by hand."""

    def __init__(self, most: int) -> None:
        self.clock = ManualClock()
        self.alarms = Alarms(self.clock, self._raise)
        self.agents: dict[bytes, Agent] = {}
        self.cells: list[Cell] = []
        self.refusals: list[QueenrightError] = []
        self.told: list[str] = []
        self.given_up: list[str] = []
        log = SimpleNamespace(error=self._log, warning=self._log)
        runtime: Any = SimpleNamespace(
            clock=self.clock, alarms=self.alarms, log=log, soon=lambda do: do(),
            agents=SimpleNamespace(find=self.agents.get),
            turns=SimpleNamespace(wants_cell=lambda agent: agent.wants and agent.cell is None, pump=lambda agent: None),
            swarms=SimpleNamespace(cell_refused=lambda agent, error: self.given_up.append(agent.name)),
            incident=lambda kind, name, text: self.told.append(f"{kind} {name}: {text}"),
        )  # fmt: skip
        cells: Any = SimpleNamespace(
            start=self._start, host=self._host, put_away=self._put_away, busy=lambda cell: cell.busy,
            starter=SimpleNamespace(pool=SimpleNamespace(refused="", __len__=lambda: 0)),
        )  # fmt: skip
        cells.starter.pool = _NoPool()
        self.own = OwnCells(runtime, cells, most)

    def _raise(self, error: Exception) -> None:
        raise error

    def _log(self, event: str, **facts: Any) -> None:
        return

    async def _start(self, agent: Agent, shared: bool) -> Cell:
        assert not shared
        if self.refusals:
            raise self.refusals.pop(0)
        self.cells.append(Cell(agent, self.clock.boot_ms()))
        return self.cells[-1]

    def _host(self, cell: Cell, agent: Agent) -> None:
        agent.cell = cell

    def _put_away(self, cell: Cell, why: str) -> None:
        cell.reason = why

    async def want(self, *agents: Agent) -> None:
        for agent in agents:
            self.agents[agent.id] = agent
            self.own.want(agent)  # type: ignore[arg-type]
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            self.alarms.fire_due()
            await asyncio.sleep(0)

    async def ready(self, idle: bool = False) -> None:
        """Every cell that is starting has imported its package."""
        for cell in list(self.cells):
            if cell.state == "starting":
                cell.state, cell.busy = "ready", not idle
                self.own.ready(cell)  # type: ignore[arg-type]
        await self.settle()

    async def end(self, cell: Cell) -> None:
        cell.state = "ended"
        cell.agent.cell = None
        cell.agent.wants = False
        self.own.ended(cell)  # type: ignore[arg-type]
        await self.settle()

    def served(self) -> list[str]:
        return [cell.agent.name for cell in self.cells]


class _NoPool:
    refused = ""

    def __len__(self) -> int:
        return 0


def run(test: Callable[[World], Awaitable[None]], most: int = 2) -> None:
    async def whole() -> None:
        world = World(most)
        await test(world)
        await world.own.close()

    asyncio.run(whole())


def test_no_more_are_alive_than_there_are_places_and_the_others_wait_visibly() -> None:
    async def test(world: World) -> None:
        await world.want(*(Agent(n) for n in range(5)))
        await world.ready()
        assert world.served() == ["agent 0", "agent 1"]
        assert world.own.counts() == {"alive": 2, "most": 2, "waiting": 3, "pool": 0, "refused": ""}
        await world.end(world.cells[0])
        assert world.served() == ["agent 0", "agent 1", "agent 2"]

    run(test)


def test_places_that_come_free_go_to_the_intents_in_turn() -> None:
    async def test(world: World) -> None:
        await world.want(*(Agent(n) for n in range(4)), Agent(100, 1), Agent(101, 1))
        for _ in range(5):
            await world.ready()
            await world.end(next(cell for cell in world.cells if cell.state != "ended"))
        assert world.served() == ["agent 0", "agent 1", "agent 100", "agent 2", "agent 101", "agent 3"]

    run(test, 1)


def test_who_waits_costs_the_idle_their_place_and_nobody_who_works() -> None:
    async def test(world: World) -> None:
        await world.want(Agent(0), Agent(1), Agent(2))
        await world.ready()
        assert [cell.reason for cell in world.cells] == ["", ""]
        world.cells[1].busy = False
        world.own.rested()
        assert [cell.reason for cell in world.cells] == ["", "others wait for a cell"]
        world.cells[0].busy = False
        world.own.rested()
        assert world.cells[0].reason == ""  # one waits, and one place is coming

    run(test)


def test_the_longest_idle_goes_first() -> None:
    async def test(world: World) -> None:
        await world.want(Agent(0), Agent(1))
        await world.ready(idle=True)
        world.cells[0].idle_since, world.cells[1].idle_since = 70, 30
        await world.want(Agent(2))
        assert [bool(cell.reason) for cell in world.cells] == [False, True]

    run(test)


def test_one_that_works_without_end_makes_room_between_two_turns_after_its_time() -> None:
    async def test(world: World) -> None:
        await world.want(Agent(0))
        await world.ready()
        (cell,) = world.cells
        world.clock.advance(HOLD_MS)
        assert not world.own.must_yield(cell)  # type: ignore[arg-type]
        await world.want(Agent(1))
        assert world.own.must_yield(cell)  # type: ignore[arg-type]
        cell.started_ms += 1
        assert not world.own.must_yield(cell)  # type: ignore[arg-type]

    run(test, 1)


def test_a_full_machine_is_asked_again_less_and_less_with_the_same_agent_first() -> None:
    async def test(world: World) -> None:
        world.refusals = [FULL, FULL]
        await world.want(Agent(0), Agent(1))
        assert world.served() == []
        assert world.own.counts()["waiting"] == 2
        assert world.own.counts()["refused"] == "no more processes"
        assert len(world.told) == 1
        world.clock.advance(AGAIN_MS * 2 - 1)
        await world.settle()
        assert world.served() == []
        world.clock.advance(1)
        await world.settle()
        assert sorted(world.served()) == ["agent 0", "agent 1"]
        assert world.own.counts()["refused"] == ""
        assert world.given_up == []

    run(test)


def test_what_a_person_has_to_mend_is_an_incident_and_holds_nobody_up() -> None:
    async def test(world: World) -> None:
        world.refusals = [Conflict("package `x` was altered in the store")]
        await world.want(Agent(0), Agent(1))
        assert world.given_up == ["agent 0"]
        assert world.served() == ["agent 1"]
        assert "altered" not in world.own.counts()["refused"]

    run(test)


def test_an_agent_that_needs_no_cell_any_more_takes_no_place() -> None:
    async def test(world: World) -> None:
        gone = Agent(1)
        await world.want(Agent(0), gone, Agent(2))
        await world.ready()
        gone.wants = False
        await world.end(world.cells[0])
        assert world.served() == ["agent 0", "agent 2"]

    run(test, 1)


def test_few_are_between_start_and_ready_and_not_too_many_begin_in_a_second() -> None:
    async def test(world: World) -> None:
        await world.want(*(Agent(n) for n in range(A_SECOND + 50)))
        assert len(world.cells) == AT_ONCE
        for _ in range(A_SECOND // AT_ONCE + 2):
            await world.ready()
        assert len(world.cells) == A_SECOND
        world.clock.advance(1000)
        await world.settle()
        assert len(world.cells) > A_SECOND

    run(test, 10_000)


def test_nothing_starts_after_closing() -> None:
    async def test(world: World) -> None:
        await world.own.close()
        await world.want(Agent(0))
        assert world.served() == []

    run(test)
