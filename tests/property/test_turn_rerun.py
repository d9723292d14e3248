"""A turn that dies and runs again, anywhere and as often as it likes, ends as if it had never died."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cells import Swarm
from hypothesis import given, settings
from hypothesis import strategies as st

from queenright.agent import Agent, Context, Message, handles
from queenright.core import decode

PLAN: list[str] = []
RAN: list[int] = []


class Go(Message):
    pass


class Note(Message):
    n: int


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)
    notes: list[int] = field(default_factory=list)


class Kid(Agent):
    @handles
    async def note(self, ctx: Context, message: Note) -> Note:
        return Note(message.n * 2)


class Walker(Agent):
    """Walks through PLAN, whose entries are kinds of steps and sends."""

    state: Diary

    @handles
    async def note(self, ctx: Context, message: Note) -> None:
        self.state.notes.append(message.n)

    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        kid = None
        for n, what in enumerate(PLAN):
            if what == "send":
                ctx.send(ctx.self, Note(n))
            elif what == "timer":
                ctx.after(10_000, Note(n))
            elif what == "now":
                self.state.lines.append(str(await ctx.now() > 0))
            elif what == "random":
                self.state.lines.append((await ctx.random(4)).hex())
            elif what == "act":
                self.state.lines.append(str(await ctx.act("metrics.read", "svc:x", n=n)))
            elif what == "run":
                self.state.lines.append(str(await ctx.run("r", lambda n=n: RAN.append(n) or n)))
            elif what == "spawn":
                kid = await ctx.spawn(Kid, name=f"kid-{n}")
            elif what == "many":
                kid = (await ctx.spawn_many(Kid, 2, stem=f"many-{n}"))[1]
            elif what == "call" and kid is not None:
                self.state.lines.append(str((await ctx.call(kid, Note(n))).n))
            elif what == "gather":
                both = await ctx.gather(
                    ctx.act("metrics.read", "svc:y", n=n), ctx.run("g", lambda n=n: RAN.append(n))
                )
                self.state.lines.append(str(both))
            elif what == "sleep":
                await ctx.sleep(1)


KINDS = ("send", "timer", "now", "random", "act", "run", "spawn", "many", "call", "gather", "sleep", "sleep")


def walk(plan: list[str], crashes: set[int]) -> tuple[Any, ...]:
    """Run the plan; the cell dies at those of its sleeps. What came of it."""
    PLAN[:], RAN[:] = plan, []
    swarm = Swarm(Walker, Kid)
    agent = swarm.start(Walker)
    swarm.send(agent, Go())
    sleeps = 0
    while agent.turn is not None:
        if sleeps in crashes:
            swarm.crash(agent.cell)
        sleeps += 1
        swarm.advance(1)
    diary = decode(agent.state) if agent.state else {"lines": [], "notes": []}
    kids = sorted(record.name for record in swarm.runtime.agents.values() if record.parent == agent.id)
    lines = ["random" if len(line) == 8 else line for line in diary["lines"]]
    acts = [request["args"] for request in agent.acts]
    return lines, diary["notes"], kids, acts, list(RAN), len(agent.timers), len(agent.sent), agent.errors


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(KINDS), max_size=14), st.sets(st.integers(0, 6)))
def test_a_crashed_turn_ends_as_if_it_had_never_crashed(plan: list[str], crashes: set[int]) -> None:
    assert walk(plan, crashes) == walk(plan, set())
