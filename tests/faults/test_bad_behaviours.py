"""Behaviours that raise, loop for ever, eat memory or die: named, retried, buried, and nobody else is disturbed."""

from __future__ import annotations

from supervised import Supervised

PACKAGE = """
from dataclasses import dataclass
from queenright.agent import Agent, Allow, Context, Message, handles

class Go(Message):
    pass

class Tick(Message):
    n: int

@dataclass
class Count:
    n: int = 0

class Parent(Agent):
    async def on_start(self, ctx: Context) -> None:
        good = await ctx.spawn(Good, name="good", exercise=[Allow("fs.read", "ws:self")])
        bad = await ctx.spawn(Bad, name="bad", exercise=[Allow("fs.read", "ws:self")])
        ctx.send(bad, Go())
        ctx.send(good, Go())

class Good(Agent):
    state: Count

    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        ctx.every(0.1, Tick(1))

    @handles
    async def tick(self, ctx: Context, message: Tick) -> None:
        self.state.n += 1
        ctx.log(f"tick {self.state.n}")

class Bad(Agent):
    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        %s
"""
INTENT = """
[intent]
purpose = "bad company"
swarm = "c"
for = "10m"
depth = 1
max_agents = 4

[run]
start = "company.Parent"
packages = ["company"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def run(supervised: Supervised, body: str, extra: str = "") -> None:
    supervised.up()
    supervised.add("company", PACKAGE % body, classes='"Parent", "Good", "Bad"', extra=extra)
    supervised.apply(INTENT)


def ticks(supervised: Supervised) -> int:
    lines = [line for line in supervised.log("c/parent/good") if line.startswith("tick ")]
    return int(lines[-1].split()[1]) if lines else 0


def good_goes_on(supervised: Supervised) -> None:
    before = ticks(supervised)
    supervised.until("the good one goes on", lambda: ticks(supervised) >= before + 5)


def buried(supervised: Supervised) -> bool:
    return any(entry["kind"] == "message.dead" for entry in supervised.entries())


def test_a_behaviour_that_raises_is_retried_then_its_message_is_buried(supervised: Supervised) -> None:
    run(supervised, 'raise RuntimeError("no")')
    supervised.until("burial", lambda: buried(supervised))
    assert any("RuntimeError: no" in line for line in supervised.log("c/parent/bad"))
    assert "c/parent/bad" in supervised.agents()
    good_goes_on(supervised)


def test_a_behaviour_that_loops_for_ever_is_interrupted_and_named(supervised: Supervised) -> None:
    run(supervised, "while True: pass")
    supervised.until("burial", lambda: buried(supervised))
    assert any("c/parent/bad" in row for row in supervised.agents())
    good_goes_on(supervised)


def test_a_behaviour_that_eats_memory_or_dies_costs_its_own_message_only(supervised: Supervised) -> None:
    run(supervised, "import os; os._exit(7)", extra='[class.Bad]\ncell = "own"')
    supervised.until("burial", lambda: buried(supervised))
    killed = [entry for entry in supervised.entries() if entry["kind"] == "cell.killed"]
    assert len(killed) == 2  # two deaths, then a dead letter
    good_goes_on(supervised)


def test_a_memory_hog_meets_its_cells_limit(supervised: Supervised) -> None:
    run(supervised, "hog = [bytearray(64 << 20) for _ in range(200)]", extra='[class.Bad]\ncell = "own"')
    supervised.until("burial", lambda: buried(supervised))
    good_goes_on(supervised)


def test_a_cell_shared_with_a_killer_comes_back_with_the_others_messages(supervised: Supervised) -> None:
    run(supervised, "import os; os._exit(7)")
    supervised.until("burial", lambda: buried(supervised))
    good_goes_on(supervised)


def test_a_behaviour_may_want_a_person_when_a_message_fails_for_good(supervised: Supervised) -> None:
    run(supervised, 'raise RuntimeError("no")', extra='[class.Bad]\non_failure = "escalate"')
    supervised.until("paused", lambda: supervised.agents().get("c/parent/bad", {}).get("state") == "paused")
    good_goes_on(supervised)
    supervised.call(
        "resume", target="agent-" + supervised.agents()["c/parent/bad"]["id"].removeprefix("agent-")
    )
    assert supervised.agents()["c/parent/bad"]["state"] == "wait"
