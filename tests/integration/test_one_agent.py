"""One agent in one real cell under one signed intent."""

from __future__ import annotations

from supervised import Supervised

HELLO = """
from dataclasses import dataclass
from queenright.agent import Agent, Context, Message, handles

class Again(Message):
    n: int

@dataclass
class Count:
    n: int = 0

class Hello(Agent):
    state: Count

    async def on_start(self, ctx: Context) -> None:
        ctx.log(f"hello from {ctx.self.name}")
        ctx.send(ctx.self, Again(1))

    @handles
    async def again(self, ctx: Context, message: Again) -> None:
        self.state.n += message.n
        ctx.log(f"count {self.state.n}")
        if message.n < 3:
            ctx.send(ctx.self, Again(message.n + 1))
"""
INTENT = """
[intent]
purpose = "say hello"
swarm = "hi"
for = "10m"
depth = 1
max_agents = 4

[run]
start = "hello.Hello"
packages = ["hello"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def test_an_agent_born_from_a_signed_intent_works_in_a_cell_and_is_recorded(supervised: Supervised) -> None:
    supervised.up()
    supervised.add("hello", HELLO, classes='"Hello"')
    supervised.apply(INTENT)
    supervised.until("three messages", lambda: "count 6" in supervised.log("hi/hello"))
    row = supervised.agents()["hi/hello"]
    assert row["state"] == "wait"
    assert row["mailbox"] == 0
    kinds = [entry["kind"] for entry in supervised.entries()]
    for kind in ("supervisor.started", "behaviour.added", "intent.applied", "agent.born", "cell.started"):
        assert kind in kinds, kinds
    assert supervised.down() == 0
