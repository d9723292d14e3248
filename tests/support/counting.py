"""A behaviour that counts its ticks, for tests of restarts and full disks."""

from __future__ import annotations

from supervised import Supervised

COUNTER = """
from dataclasses import dataclass
from queenright.agent import Agent, Context, Message, handles

class Tick(Message):
    pass

@dataclass
class Count:
    n: int = 0

class Counter(Agent):
    state: Count

    async def on_start(self, ctx: Context) -> None:
        ctx.every(0.05, Tick())

    @handles
    async def tick(self, ctx: Context, message: Tick) -> None:
        self.state.n += 1
        ctx.log(f"tick {self.state.n}")
"""
INTENT = """
[intent]
purpose = "count"
swarm = "n"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "counter.Counter"
packages = ["counter"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def ticks(supervised: Supervised) -> int:
    lines = [line for line in supervised.log("n/counter") if line.startswith("tick ")]
    return int(lines[-1].split()[1]) if lines else 0
