"""A behaviour that does what a test of the cell's process needs, good and bad."""

import os
import sys
import time
from dataclasses import dataclass

from queenright.agent import Agent, AgentRef, Context, Message, handles


class Do(Message):
    what: str
    who: AgentRef | None = None


class Answer(Message):
    text: str


class Beat(Message, volatile=True):
    n: int


@dataclass
class Memory:
    count: int = 0
    beats: int = 0


class Child(Agent):
    state: Memory

    @handles
    async def do(self, ctx: Context, message: Do) -> Answer:
        self.state.count += 1
        return Answer(f"{ctx.self.name} did {message.what}")

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        self.state.beats += message.n


class Probe(Child):
    async def on_start(self, ctx: Context) -> None:
        ctx.log("started")

    async def on_stop(self, ctx: Context) -> None:
        ctx.log(f"stopped after {self.state.count}")

    @handles
    async def do(self, ctx: Context, message: Do) -> Answer | None:
        return await getattr(self, message.what)(ctx, message)

    async def count(self, ctx: Context, message: Do) -> Answer:
        self.state.count += 1
        return Answer(str(self.state.count))

    async def family(self, ctx: Context, message: Do) -> Answer:
        kids = await ctx.gather(*(ctx.spawn(Child, name=f"kid-{n}", args={"n": n}) for n in range(3)))
        answers = await ctx.gather(*(ctx.call(kid, Do("it")) for kid in kids))
        for kid in kids:
            ctx.send(kid, Beat(1))
        return Answer(", ".join(answer.text for answer in answers))

    async def call(self, ctx: Context, message: Do) -> Answer:
        assert message.who is not None
        return await ctx.call(message.who, Do("count"))

    async def later(self, ctx: Context, message: Do) -> None:
        ctx.every(5, Do("count"))

    async def act_then_wait(self, ctx: Context, message: Do) -> None:
        found = await ctx.act("metrics.read", "svc:x")
        await ctx.sleep(60)
        self.state.count = found

    async def spin(self, ctx: Context, message: Do) -> None:
        while True:
            pass

    async def spin_stubbornly(self, ctx: Context, message: Do) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                ctx.log("caught")
                if self.state.count:
                    raise
                self.state.count = 1

    async def mute(self, ctx: Context, message: Do) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                while self:
                    pass
                return ""

        raise Mute

    async def block(self, ctx: Context, message: Do) -> None:
        time.sleep(60)

    async def crash(self, ctx: Context, message: Do) -> None:
        os.kill(os.getpid(), 11)

    async def leave(self, ctx: Context, message: Do) -> None:
        os._exit(9)

    async def say(self, ctx: Context, message: Do) -> None:
        print("to stdout")
        print("to stderr", file=sys.stderr)
        print("x" * 100_000)
        for n in range(50_000):
            print(f"flood {n}")

    async def bulk(self, ctx: Context, message: Do) -> None:
        await ctx.act("metrics.read", "svc:x", data="x" * 400_000)

    async def log(self, ctx: Context, message: Do) -> None:
        for n in range(50_000):
            ctx.log(f"flood {n}")

    async def garble(self, ctx: Context, message: Do) -> None:
        os.write(3, b"\xff\xff\xff\xff")

    async def hog(self, ctx: Context, message: Do) -> None:
        ctx.log(str(len(bytearray(1 << 45))))
