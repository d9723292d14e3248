"""A swarm whose first agent spawns in batches, and tries to spawn what it may not."""

from __future__ import annotations

BROODS = """
from queenright.agent import Agent, Allow, Context, Message, handles
from queenright.agent.step import Step
from queenright.cell.brood import Litter
from queenright.core import canonical

class Many(Message):
    count: int

class Named(Message):
    names: tuple[str, ...]

class Forge(Message):
    what: str

class Wake(Message):
    at: int

class Count(Message):
    n: int

ALLOW = [Allow("fs.read", "ws:self")]

class Root(Agent):
    async def on_start(self, ctx: Context) -> None:
        self.say(ctx, await ctx.spawn_many(Sleeper, 600, stem="w", exercise=ALLOW))
        named = await ctx.spawn_many(Sleeper, ["ada", "grace/b"], args=[{"n": 1}, {"n": 2}], exercise=ALLOW)
        self.say(ctx, named)
        for ref in (named[0], named[-1]):
            answer = await ctx.call(ref, Count(5))
            ctx.log(f"{ref.name} counts {answer.n}")
        for what in FORGERIES:
            await self.forge(ctx, what)
        try:
            await ctx.spawn_many(Sleeper, 2_000, exercise=ALLOW)
            ctx.log("too many: GOT")
        except Exception as error:
            ctx.log(f"too many: {type(error).__name__}: {error}")
        again = await ctx.spawn_many(Sleeper, 2, stem="again", exercise=ALLOW)
        ctx.log(f"done {len(again)}")

    def say(self, ctx, refs) -> None:
        ctx.log(f"born {len(refs)} {refs[0].name} {refs[-1].name} {refs[len(refs) // 2].id.hex()}")

    async def forge(self, ctx: Context, what: str) -> None:
        turn = ctx._turn
        process, resident = turn._process, turn._resident
        said = dict(
            runtime=resident.keys.start.runtime_key, intent=resident.intent, parent=turn.me, behaviour="broods.Sleeper",
            package=resident.package, names=("f-" + what.replace(" ", "-"), 3), args=canonical({}),
            grant={"v": 1, "exercise": [], "delegate": [], "not_after": None, "depth": 0, "agents": 0},
        )
        lies = dict(said)
        if what == "parent":
            from queenright.agent import AgentRef
            lies["parent"] = AgentRef(bytes(31) + b"x", turn.me.name)
        elif what == "intent":
            lies["intent"] = bytes(31) + b"x"
        elif what == "runtime":
            lies["runtime"] = bytes(31) + b"x"
        elif what == "package":
            lies["package"] = said["package"] = bytes(31) + b"x"
        elif what == "signed package":
            lies["package"] = bytes(31) + b"x"
        elif what == "behaviour":
            lies["behaviour"] = said["behaviour"] = "broods.Ghost"
        elif what == "grant":
            lies["grant"] = dict(said["grant"], depth=1)
        elif what == "args":
            lies["args"] = canonical({"other": 1})
        elif what == "a member":
            lies["names"] = ["f-0", "f-1", "someone-else"]
        elif what == "beyond the grant":
            rule = {"mode": "allow", "verbs": ["shell.run"], "resource": "ws:self", "max": None, "min_gap_ms": None, "rate": None}
            lies["grant"] = said["grant"] = dict(said["grant"], exercise=[rule])
        elif what == "name":
            lies["names"] = said["names"] = ["UPPER", "f-1", "f-2"]
        now = 1 if what == "time" else process.clock.wall_ms()
        seed = process.rand(12)
        try:
            signed, to_sign = Litter(**lies).propose(now, seed)
        except Exception:
            signed, to_sign = {"root": bytes(32)}, bytes(32)
        request = Litter(**said).request | {"born_ms": now, "seed": seed, "root": signed["root"]}
        if what == "a signature":
            to_sign = bytes(32)
        if what == "a count":
            request["names"] = {"stem": "f", "count": 2**40}
        if what == "a field":
            request["born"] = True
        request["signature"] = process.post.claim(turn.me.id).sign(to_sign)
        try:
            first = await Step(turn, "spawn_many", request)
            if what == "nothing":
                again = await Step(turn, "spawn_many", request)
                ctx.log(f"nothing: replayed {again == first}")
            else:
                ctx.log(f"{what}: GOT")
        except Exception as error:
            ctx.log(f"{what}: {type(error).__name__}: {error}")

    @handles
    async def wake(self, ctx: Context, message: Wake) -> None:
        ctx.send(ctx.self, message)

class Sleeper(Agent):
    @handles
    async def count(self, ctx: Context, message: Count) -> Count:
        return Count(message.n + ctx.args.get("n", 0))
"""
FORGERIES = (
    "nothing", "parent", "intent", "runtime", "package", "signed package", "behaviour", "grant", "args", "a member",
    "beyond the grant", "name", "time", "a signature", "a count", "a field",
)  # fmt: skip
SOURCE = BROODS.replace("FORGERIES:", f"{FORGERIES!r}:")
CLASSES = '"Root", "Sleeper"'
EXTRA = "[class.Sleeper]\non_start = false\n"
INTENT = """
[intent]
purpose = "broods"
swarm = "broods"
for = "10m"
depth = 1
max_agents = 1000

[run]
start = "broods.Root"
packages = ["broods"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""
