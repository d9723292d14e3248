"""A full mailbox hands the message back to its sender, and everybody else goes on."""

from __future__ import annotations

from supervised import Supervised

FLOOD = """
from dataclasses import dataclass
from queenright.agent import Agent, Allow, Context, Message, Undelivered, handles

class Drop(Message):
    n: int

@dataclass
class Back:
    n: int = 0

class Flooder(Agent):
    state: Back

    async def on_start(self, ctx: Context) -> None:
        slow = await ctx.spawn(Slow, name="slow", exercise=[Allow("fs.read", "ws:self")])
        for n in range(1020):
            ctx.send(slow, Drop(n))

    @handles
    async def back(self, ctx: Context, message: Undelivered) -> None:
        self.state.n += 1
        ctx.log(f"back {self.state.n}: {message.reason}")

class Slow(Agent):
    @handles
    async def drop(self, ctx: Context, message: Drop) -> None:
        await ctx.sleep(600)
"""
INTENT = """
[intent]
purpose = "flood"
swarm = "f"
for = "10m"
depth = 1
max_agents = 4

[run]
start = "flood.Flooder"
packages = ["flood"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def test_what_does_not_fit_comes_back_and_nothing_else_is_lost(supervised: Supervised) -> None:
    supervised.up()
    supervised.add("flood", FLOOD, classes='"Flooder", "Slow"')
    supervised.apply(INTENT)
    supervised.until(
        "the last one came back",
        lambda: any(text.startswith("back 20") for text in supervised.log("f/flooder")),
    )
    assert all("mailbox full" in text for text in supervised.log("f/flooder"))
    assert supervised.agents()["f/flooder/slow"]["mailbox"] == 1000
    supervised.kill()
    supervised.up()
    supervised.until(
        "the mailbox is as it was", lambda: supervised.agents()["f/flooder/slow"]["mailbox"] == 1000
    )


def test_an_agent_that_nobody_knows_is_named_with_the_way_out(supervised: Supervised) -> None:
    import pytest

    from queenright.errors import QueenrightError

    supervised.up()
    with pytest.raises(QueenrightError, match="nobody") as refused:
        supervised.call("agent", agent="nobody")
    assert refused.value.hint
