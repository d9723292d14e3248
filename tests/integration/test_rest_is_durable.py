"""What volatile turns made of a state survives its cell, once its agent was put to rest."""

from __future__ import annotations

from supervised import Supervised

SUMS = """
from dataclasses import dataclass
from queenright.agent import Agent, Allow, Context, Message, handles

class Add(Message, volatile=True):
    n: int

class Total(Message):
    n: int = 0

class Look(Message):
    pass

@dataclass
class Sum:
    n: int = 0

class Adder(Agent):
    cell = "own"
    state: Sum

    @handles
    async def add(self, ctx: Context, message: Add) -> None:
        self.state.n += message.n

    @handles
    async def total(self, ctx: Context, message: Total) -> Total:
        return Total(self.state.n)

class Top(Agent):
    async def on_start(self, ctx: Context) -> None:
        adder = await ctx.spawn(Adder, name="adder", exercise=[Allow("fs.read", "ws:self")])
        await ctx.call(adder, Total())
        for n in range(10):
            ctx.send(adder, Add(n))
        await ctx.sleep(0.1)
        ctx.log("sent")
        ctx.after(15, Look())

    @handles
    async def look(self, ctx: Context, message: Look) -> None:
        adder = (await ctx.discover(behaviour="sums.Adder"))[0].agent
        ctx.log(f"total {(await ctx.call(adder, Total())).n}")
"""
INTENT = """
[intent]
purpose = "sums"
swarm = "sums"
for = "10m"
depth = 1
max_agents = 2

[run]
start = "sums.Top"
packages = ["sums"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def test_a_state_made_by_volatile_turns_outlives_its_object_its_cell_and_a_kill(
    supervised: Supervised,
) -> None:
    supervised.up()
    supervised.add("sums", SUMS, classes='"Top", "Adder"', extra='[class.Adder]\ncell = "own"')
    supervised.apply(INTENT)
    supervised.until("the sums are sent", lambda: "sent" in supervised.log("sums/top"))
    supervised.until("the idle cell is put away", lambda: supervised.agents()["sums/top/adder"]["cell"] == "")
    supervised.kill()
    supervised.up()
    supervised.until("the total", lambda: "total 45" in supervised.log("sums/top"))
