"""Parents and children, in one cell and across cells: births, calls, sealed mail, ends."""

from __future__ import annotations

from supervised import Supervised

FAMILY = """
from dataclasses import dataclass
from queenright.agent import Agent, Allow, ChildEnded, Context, Message, handles

class Ask(Message):
    n: int

class Answer(Message):
    n: int

class Note(Message):
    text: str

@dataclass
class Seen:
    answers: int = 0
    ended: int = 0

class Parent(Agent):
    state: Seen

    async def on_start(self, ctx: Context) -> None:
        near = await ctx.spawn(Child, name="near", exercise=[Allow("fs.read", "ws:self")])
        far = await ctx.spawn(Loner, name="far", exercise=[Allow("fs.read", "ws:self")])
        for child in (near, far):
            answer = await ctx.call(child, Ask(20))
            self.state.answers += answer.n
            ctx.log(f"{child.name} answered {answer.n}")
        found = await ctx.discover()
        ctx.log(f"discovered {sorted(one.agent.name for one in found)}")
        ctx.send(near, Note("stop"))
        ctx.send(far, Note("stop"))

    @handles
    async def ended(self, ctx: Context, message: ChildEnded) -> None:
        self.state.ended += 1
        ctx.log(f"child ended {message.name}: {self.state.ended}")

    @handles
    async def note(self, ctx: Context, message: Note) -> None:
        ctx.log(f"note from {ctx.sender.name}: {message.text}")

class Child(Agent):
    @handles
    async def ask(self, ctx: Context, message: Ask) -> Answer:
        ctx.send(ctx.parent, Note("thinking"))
        return Answer(message.n + 1)

    @handles
    async def note(self, ctx: Context, message: Note) -> None:
        ctx.stop()

class Loner(Child):
    pass
"""
INTENT = """
[intent]
purpose = "a family"
swarm = "family"
for = "10m"
depth = 1
max_agents = 4

[run]
start = "family.Parent"
packages = ["family"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def test_children_answer_from_the_same_cell_and_sealed_from_another(supervised: Supervised) -> None:
    supervised.up()
    supervised.add(
        "family", FAMILY, classes='"Parent", "Child", "Loner"', extra='[class.Loner]\ncell = "own"'
    )
    supervised.apply(INTENT)
    supervised.until(
        "both children ended",
        lambda: any(
            "child ended" in line and line.endswith(": 2") for line in supervised.log("family/parent")
        ),
    )
    lines = supervised.log("family/parent")
    assert "family/parent/near answered 21" in lines
    assert "family/parent/far answered 21" in lines
    assert "discovered ['family/parent/far', 'family/parent/near']" in lines
    assert "note from family/parent/far: thinking" in lines
    entries = supervised.entries()
    cells = [entry["facts"] for entry in entries if entry["kind"] == "cell.started"]
    assert sorted(cell["shared"] for cell in cells) == [False, True]
    begun = {entry["actor"]["name"] for entry in entries if entry["kind"] == "incarnation.begun"}
    assert {"family/parent", "family/parent/far"} <= begun
    assert sum(entry["kind"] == "agent.born" for entry in entries) == 3
    assert sum(entry["kind"] == "agent.ended" for entry in entries) == 2
