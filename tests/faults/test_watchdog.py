"""A handler that loops for ever in a shared cell is found, named, and costs its own message: the others' are handled once."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from supervised import Supervised

from queenright.errors import QueenrightError

PACKAGE = """
import itertools
from dataclasses import dataclass
from queenright.agent import Agent, Allow, Context, Message, handles

GOOD = 4
EACH = 3

class Go(Message):
    pass

class Count(Message):
    n: int

@dataclass
class Kept:
    seen: int = 0

class Parent(Agent):
    async def on_start(self, ctx: Context) -> None:
        rights = [Allow("fs.read", "ws:self")]
        bad = await ctx.spawn(Bad, name="bad", exercise=rights)
        goods = [await ctx.spawn(Good, name=f"good-{n}", exercise=rights) for n in range(GOOD)]
        ctx.send(bad, Go())  # first, so that what follows waits behind it
        for n in range(EACH):
            for good in goods:
                ctx.send(good, Count(n))

class Good(Agent):
    state: Kept

    @handles
    async def count(self, ctx: Context, message: Count) -> None:
        self.state.seen += 1
        ctx.log(f"count {message.n} is the {self.state.seen}.")

class Bad(Agent):
    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        %s
"""
INTENT = """
[intent]
purpose = "bad company"
swarm = "w"
for = "10m"
depth = 1
max_agents = 8

[run]
start = "company.Parent"
packages = ["company"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""
GOODS = [f"w/parent/good-{n}" for n in range(4)]
BAD = "w/parent/bad"
WITHIN_S = 120.0  # two deaths of some seconds each, and then a shared machine's delays

# Neither ends nor looks for signals, so that nothing inside the cell can break it; and one that breaks off and goes on.
HOLDS = {
    "a call in C that holds the interpreter": "sum(itertools.repeat(0))",
    "a loop that catches its own interruption": """while True:
            try:
                while True:
                    pass
            except BaseException:
                pass""",
}


class Incidents:
    """What a person watching would be shown, from before the swarm begins."""

    def __init__(self, supervised: Supervised) -> None:
        self.seen: list[dict[str, Any]] = []
        self._client = supervised.client()
        client = self._client.__enter__()
        events = client.watch(["incidents"], idle_s=WITHIN_S)
        self._thread = threading.Thread(target=self._follow, args=(events,), daemon=True)
        self._thread.start()

    def _follow(self, events: Any) -> None:
        with contextlib.suppress(QueenrightError, OSError):  # the supervisor goes down at the end of the test
            for event in events:
                self.seen.append(event["data"])

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in list(self.seen) if one["kind"] == kind]


def counted(supervised: Supervised, name: str) -> list[str]:
    return [line for line in supervised.log(name) if line.startswith("count ")]


def buried(supervised: Supervised) -> list[dict[str, Any]]:
    return [entry for entry in supervised.entries() if entry["kind"] == "message.dead"]


def each_was_handled_once(supervised: Supervised) -> None:
    wanted = [f"count {n} is the {n + 1}." for n in range(3)]
    supervised.until(
        "the others' messages", lambda: all(len(counted(supervised, name)) >= 3 for name in GOODS), WITHIN_S
    )
    assert {name: counted(supervised, name) for name in GOODS} == dict.fromkeys(GOODS, wanted)


@pytest.mark.parametrize("what", list(HOLDS))
def test_what_cannot_be_interrupted_is_named_and_its_cell_restarted_with_the_others_messages(
    supervised: Supervised, what: str
) -> None:
    supervised.up()
    supervised.add("company", PACKAGE % HOLDS[what], classes='"Parent", "Good", "Bad"')
    incidents = Incidents(supervised)
    supervised.apply(INTENT)

    stuck = supervised.until("an incident", lambda: incidents.of("cell.stuck"), WITHIN_S)
    assert BAD in stuck[0]["text"]
    supervised.until("burial", lambda: buried(supervised), WITHIN_S)
    each_was_handled_once(supervised)

    assert all(BAD in one["text"] for one in incidents.of("cell.stuck")), "somebody else was named"
    killed = [entry for entry in supervised.entries() if entry["kind"] == "cell.killed"]
    assert len(killed) == 2, "two deaths, then a dead letter"
    assert all(BAD in entry["facts"]["how"] for entry in killed), "the record names the culprit"
    assert [entry["agent"] for entry in buried(supervised)] == [supervised.agents()[BAD]["id"]]
    # They waited behind the loop, in the cell that died: so it was the next one that handled them.
    with supervised.client() as client:
        for name in GOODS:
            lines = client.call("agent_log", agent=name)["lines"]
            assert all(
                line["at_ms"] >= stuck[0]["at_ms"] for line in lines if line["text"].startswith("count ")
            )


def test_a_loop_in_python_is_interrupted_named_and_costs_no_cell(supervised: Supervised) -> None:
    supervised.up()
    supervised.add("company", PACKAGE % "while True: pass", classes='"Parent", "Good", "Bad"')
    supervised.apply(INTENT)
    supervised.until("burial", lambda: buried(supervised), WITHIN_S)
    each_was_handled_once(supervised)
    assert any("held the interpreter" in line for line in supervised.log(BAD))
    assert [entry["agent"] for entry in buried(supervised)] == [supervised.agents()[BAD]["id"]]
    assert not [entry for entry in supervised.entries() if entry["kind"] == "cell.killed"]
