"""Dormancy in a cell: an object is made on its agent's first message and let go when it is idle and its state is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from cells import Swarm

from queenright.agent import Agent, Context, Message, handles
from queenright.cell.process import REST_EVERY_MS, REST_MS
from queenright.core import decode
from queenright.wire.link import Deliver, Incarnation, Rest, Talk


class Add(Message, volatile=True):
    n: int


class Spoil(Message, volatile=True):
    pass


class Keep(Message):
    n: int


@dataclass
class Sum:
    total: int = 0


MADE: list[str] = []


class Adder(Agent):
    state: Sum

    @handles
    async def add(self, ctx: Context, message: Add) -> None:
        MADE.append(f"{ctx.self.name} {id(self)}")
        self.state.total += message.n

    @handles
    async def spoil(self, ctx: Context, message: Spoil) -> None:
        self.state.total = object()  # type: ignore[assignment]

    @handles
    async def keep(self, ctx: Context, message: Keep) -> None:
        self.state.total += message.n
        if message.n < 0:
            await ctx.sleep(3600)


@pytest.fixture
def swarm() -> Any:
    MADE.clear()
    return Swarm(Adder)


def volatile(swarm: Swarm, agent: Any, message: Message) -> None:
    swarm.process(agent.cell).receive(Deliver(agent.id, 0, 1, swarm.mail(message, agent), []))
    swarm.run()


def rest(swarm: Swarm, agent: Any) -> int:
    """Time passes with nothing to do. How many fell asleep."""
    swarm.clock.advance(REST_MS + REST_EVERY_MS)
    process = swarm.process(agent.cell)
    count = process.rest()
    swarm.run()
    return count


def test_what_volatile_turns_made_of_the_state_is_saved_when_the_object_goes(swarm: Swarm) -> None:
    agent = swarm.start(Adder)
    volatile(swarm, agent, Add(2))
    volatile(swarm, agent, Add(3))
    assert decode(agent.state) == {"total": 0}, "a volatile turn leaves no record"
    assert rest(swarm, agent) == 1
    assert decode(agent.state) == {"total": 5}
    volatile(swarm, agent, Add(4))
    assert len(set(MADE)) == 2, "another object"
    swarm.send(agent, Keep(1))
    assert decode(agent.state) == {"total": 10}


def test_an_agent_that_changed_nothing_leaves_no_frame_when_it_rests(swarm: Swarm) -> None:
    agent = swarm.start(Adder)
    swarm.send(agent, Keep(1))
    assert rest(swarm, agent) == 1
    assert [frame for frame in swarm.runtime.frames if isinstance(frame, Rest)] == []
    swarm.send(agent, Keep(1))
    assert decode(agent.state) == {"total": 2}


def test_nobody_rests_who_has_worked_lately_or_has_a_turn_open(swarm: Swarm) -> None:
    agent = swarm.start(Adder)
    process = swarm.process(agent.cell)
    swarm.send(agent, Keep(1))
    assert process.rest() == 0
    swarm.send(agent, Keep(-1))  # sleeps in its turn
    assert rest(swarm, agent) == 0
    swarm.clock.advance(3_600_000)
    swarm.runtime.fire_due()
    swarm.run()
    assert rest(swarm, agent) == 1


def test_its_incarnation_and_its_key_outlive_its_object(swarm: Swarm) -> None:
    agent = swarm.start(Adder)
    elsewhere = swarm.start(Adder, swarm.cell(), name="elsewhere")
    swarm.process(agent.cell).receive(Talk([["pkg.Adder", "pkg.Adder"]]))

    def claims() -> list[bytes]:
        return [frame.agent for frame in swarm.runtime.frames if isinstance(frame, Incarnation)]

    process = swarm.process(agent.cell)
    process.post.claim(agent.id)
    swarm.run()
    assert claims() == [agent.id]
    key = process.post.keys(agent.id)
    volatile(swarm, agent, Add(1))
    assert rest(swarm, agent) == 1
    volatile(swarm, agent, Add(1))
    assert process.post.keys(agent.id) is key
    assert claims() == [agent.id]
    assert elsewhere.certificate == b""


def test_a_state_that_cannot_be_written_is_dropped_with_a_line_and_the_agent_goes_on(swarm: Swarm) -> None:
    agent = swarm.start(Adder)
    swarm.send(agent, Keep(7))
    volatile(swarm, agent, Spoil())
    assert rest(swarm, agent) == 1
    assert any("state in memory is dropped" in text for _, text in agent.logs)
    swarm.send(agent, Keep(1))
    assert decode(agent.state) == {"total": 8}


def test_a_cell_whose_agents_all_sleep_has_nothing_to_look_at(swarm: Swarm) -> None:
    agent = swarm.start(Adder)
    process = swarm.process(agent.cell)
    volatile(swarm, agent, Add(1))
    assert process.rest_in() is not None
    rest(swarm, agent)
    process.rest()
    assert process.rest_in() is None
