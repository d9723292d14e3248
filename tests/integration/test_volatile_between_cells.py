"""Volatile mail between sandboxed cells: batches through the real supervisor, and what a forger among them comes to."""

from __future__ import annotations

from supervised import Supervised

CHATTER = """
import gc
from dataclasses import dataclass, field
from queenright.agent import Agent, Allow, Context, Message, handles
from queenright.cell.keys import Keys
from queenright.core import SigningKey

class Beat(Message, volatile=True):
    n: int

class HowMany(Message):
    pass

class Heard(Message):
    n: int
    sum: int
    ordered: bool

class Word(Message):
    n: int

class Talk(Message):
    forge: bool
    durable: bool = False

@dataclass
class Seen:
    beats: list[int] = field(default_factory=list)

class Ear(Agent):
    state: Seen

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        self.state.beats.append(message.n)

    @handles
    async def word(self, ctx: Context, message: Word) -> None:
        self.state.beats.append(message.n)

    @handles
    async def how_many(self, ctx: Context, message: HowMany) -> Heard:
        beats = self.state.beats
        return Heard(len(beats), sum(beats), beats == sorted(beats))

class Mouth(Agent):
    @handles
    async def talk(self, ctx: Context, message: Talk) -> None:
        ear = (await ctx.discover(behaviour="chatter.Ear"))[0].agent
        ctx.send(ear, Beat(1000))
        await ctx.sleep(0.1)
        if message.forge:
            for keys in [k for k in gc.get_objects() if type(k) is Keys and k.agent == ctx.self.id]:
                keys.signing = SigningKey.from_seed(bytes(32))
            ctx.log("forged")
        ctx.send(ear, Word(5000) if message.durable else Beat(1))
        await ctx.sleep(0.1)
        ctx.log("went on")

async def until(ctx, ear, wanted):
    for _ in range(600):
        heard = await ctx.call(ear, HowMany())
        if heard.n >= wanted:
            return heard
        await ctx.sleep(0.05)
    return heard

class Top(Agent):
    async def on_start(self, ctx: Context) -> None:
        may = [Allow("fs.read", "ws:self")]
        ear = await ctx.spawn(Ear, name="ear", exercise=may)
        await ctx.call(ear, HowMany())
        for n in range(400):
            ctx.send(ear, Beat(n))
        heard = await until(ctx, ear, 400)
        ctx.log(f"heard {heard.n} {heard.sum} {heard.ordered}")
        bad = await ctx.spawn(Mouth, name="bad", exercise=may)
        worse = await ctx.spawn(Mouth, name="worse", exercise=may)
        good = await ctx.spawn(Mouth, name="good", exercise=may)
        ctx.send(bad, Talk(True))
        ctx.send(worse, Talk(True, durable=True))
        await ctx.sleep(1)
        ctx.send(good, Talk(False))
        heard = await until(ctx, ear, 404)
        ctx.log(f"then {heard.n - 400} {heard.sum}")
"""
INTENT = """
[intent]
purpose = "chatter"
swarm = "chatter"
for = "10m"
depth = 1
max_agents = 5

[run]
start = "chatter.Top"
packages = ["chatter"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def test_batches_arrive_in_order_and_a_forger_is_named_and_taken_out_while_its_cell_goes_on(
    supervised: Supervised,
) -> None:
    supervised.up()
    supervised.add("chatter", CHATTER, classes='"Top", "Ear", "Mouth"', extra='[class.Ear]\ncell = "own"')
    supervised.apply(INTENT)
    supervised.until(
        "the forger is caught and the others were heard",
        lambda: (
            "chatter/top" in supervised.agents()
            and any(line.startswith("then") for line in supervised.log("chatter/top"))
            and "went on" in supervised.log("chatter/top/good")
        ),
    )
    assert supervised.call("status")["volatile_dropped"] == 0
    everything = sum(range(400))
    lines = supervised.log("chatter/top")
    assert f"heard 400 {everything} True" in lines
    assert f"then 4 {everything + 3000 + 1}" in lines
    assert "went on" in supervised.log("chatter/top/good")
    rows = supervised.agents()
    violations = [entry for entry in supervised.entries() if entry["kind"] == "protocol.violation"]
    for name in ("chatter/top/bad", "chatter/top/worse"):
        assert "forged" in supervised.log(name)
        assert "went on" not in supervised.log(name)
        assert rows[name]["state"] == "suspect"
        (violation,) = [entry for entry in violations if entry["agent"] in rows[name]["id"]]
        assert "does not verify" in violation["facts"]["what"]
    assert len(violations) == 2

    # An operator lets one of them go on; the other stays where it is, also when somebody above it is let go on.
    assert supervised.call("resume", target=rows["chatter/top/bad"]["id"])["count"] == 1
    supervised.until("its turn runs again", lambda: supervised.log("chatter/top/bad").count("forged") == 2)
    assert supervised.call("resume", target=rows["chatter/top"]["id"])["count"] == 0
    assert [entry for entry in supervised.entries() if entry["kind"] == "cell.killed"] == []
    assert supervised.agents()["chatter/top/worse"]["state"] == "suspect"
