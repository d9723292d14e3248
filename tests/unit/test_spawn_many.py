"""`ctx.spawn_many`: children in one step, under the real grant tree, without a supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from queenright.agent import Agent, Allow, Context, Denied, Message, handles
from queenright.core import canonical, digest
from queenright.errors import Malformed, QueenrightError
from queenright.testing import Harness
from queenright.wire.certificate import BIRTH, Birth
from queenright.wire.step import step_digest

INTENT = """
[intent]
purpose = "test"
swarm = "test"
for = "1h"
depth = 1
max_agents = 11
[run]
start = "test_spawn_many.Mother"
packages = ["test_spawn_many"]
[[allow]]
do = ["metrics.read"]
on = "**"
"""
ALLOW = [Allow("metrics.read", "svc:a")]


class Go(Message):
    what: str


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)


class Mother(Agent):
    state: Diary

    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        try:
            await self.spawn(ctx, message.what)
        except QueenrightError as refused:
            self.state.lines.append(f"{type(refused).__name__}: {refused}")

    async def spawn(self, ctx: Context, what: str) -> None:
        match what:
            case "counted":
                born = await ctx.spawn_many(Kid, 3, stem="k", exercise=ALLOW)
            case "listed":
                born = await ctx.spawn_many(Kid, ["ada", "bea"], args=[{"n": 1}, {"n": 2}], exercise=ALLOW)
            case "unnamed":
                born = await ctx.spawn_many(Kid, 2)
            case "too many":
                born = await ctx.spawn_many(Kid, 11)
            case "greedy":
                born = await ctx.spawn_many(Kid, 2, exercise=[Allow("secret.reveal", "**")])
            case "all there is room for":
                born = await ctx.spawn_many(Kid, 10, exercise=ALLOW)
            case "text":
                born = await ctx.spawn_many(Kid, "ada")
            case "none":
                born = await ctx.spawn_many(Kid, [])
            case "uneven":
                born = await ctx.spawn_many(Kid, 3, args=[{}])
            case _:
                raise ValueError(what)
        self.state.lines.append(" ".join(ref.name for ref in born))
        self.state.lines.append(" ".join(ref.name for ref in (born[-1], *born[:1])))


class Kid(Agent):
    state: Diary

    async def on_start(self, ctx: Context) -> None:
        self.state.lines.append(f"{ctx.args.get('n', 0)} of {ctx.parent.name if ctx.parent else ''}")


@pytest.fixture
def harness() -> Iterator[Harness]:
    found = Harness(intent=INTENT)
    yield found
    found.close()


def told(harness: Harness, what: str) -> list[str]:
    mother = harness.start(Mother)
    harness.send(mother, Go(what))
    assert not harness.errors(mother)
    return list(harness.state(mother).lines)


def test_counted_listed_and_unnamed_children_are_called_as_asked(harness: Harness) -> None:
    mother = harness.start(Mother)
    for what in ("counted", "listed", "unnamed"):
        harness.send(mother, Go(what))
    assert harness.state(mother).lines == [
        "mother/k-0 mother/k-1 mother/k-2", "mother/k-2 mother/k-0",
        "mother/ada mother/bea", "mother/bea mother/ada",
        "mother/kid-4.0-0 mother/kid-4.0-1", "mother/kid-4.0-1 mother/kid-4.0-0",
    ]  # fmt: skip


def test_each_child_starts_with_its_own_arguments_and_a_certificate_that_is_its_id(harness: Harness) -> None:
    mother = harness.start(Mother)
    harness.send(mother, Go("listed"))
    children = harness.children(mother)
    assert [harness.state(child).lines for child in children] == [["1 of mother"], ["2 of mother"]]
    for child, n in zip(children, (1, 2), strict=True):
        birth = Birth.decode(harness.runtime.agents[child.id].birth)
        assert birth.agent == child.id == digest(BIRTH, birth.encode())
        assert (birth.name, birth.parent) == (child.name, mother.id)
        assert birth.args == digest("args", canonical({"n": n}))


@pytest.mark.parametrize("what", ["too many", "greedy"])
def test_a_batch_that_one_bound_forbids_is_refused_whole(harness: Harness, what: str) -> None:
    mother = harness.start(Mother)
    harness.send(mother, Go(what))
    [line] = harness.state(mother).lines
    assert line.startswith(Denied.__name__)
    assert harness.children(mother) == []
    harness.send(mother, Go("all there is room for"))
    assert len(harness.children(mother)) == 10


@pytest.mark.parametrize("what", ["text", "none", "uneven"])
def test_what_is_no_batch_is_refused_before_it_leaves(harness: Harness, what: str) -> None:
    assert told(harness, what)[0].startswith(Malformed.__name__)


def test_a_run_of_the_same_turn_may_have_another_seed_and_time_and_nothing_else() -> None:
    request = {
        "behaviour": "p.Kid", "package": bytes(32), "names": {"stem": "k", "count": 3}, "grant": {}, "args": b"",
        "born_ms": 1, "seed": bytes(12), "root": bytes(32), "signature": bytes(64),
    }  # fmt: skip
    first = step_digest("spawn_many", canonical(request))
    again = request | {"born_ms": 2, "seed": b"x" * 12, "root": b"x" * 32, "signature": b"x" * 64}
    assert step_digest("spawn_many", canonical(again)) == first
    proposed = {name: request[name] for name in ("behaviour", "package", "names", "grant", "args")}
    assert step_digest("spawn_many", canonical(proposed)) == first
    for name, other in (("names", {"stem": "k", "count": 4}), ("args", b"x"), ("behaviour", "p.Cat")):
        assert step_digest("spawn_many", canonical(request | {name: other})) != first
