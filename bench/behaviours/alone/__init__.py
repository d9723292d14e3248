"""What Y4 and Y4b wake: agents with a cell of their own each, under a real supervisor. Only the authors' API.

A Waker spawns them and writes to one after the other, or to all at once; each tells how old its message was when its handler
ran. Figures go to the log, where a client reads them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from queenright.agent import Agent, Context, Message, handles

PART = 100  # latencies a line of the log
AT_ONCE = 500  # messages a turn


class Next(Message):
    n: int = 0


class Go(Message):
    at: int


class Awake(Message):
    late: int
    at: int


@dataclass
class Waking:
    """Whom to wake, and what those told who woke."""

    solos: list[bytes] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    began: int = 0
    awake: int = 0


class Waker(Agent):
    state: Waking

    async def on_start(self, ctx: Context) -> None:
        agents = ctx.args["agents"]
        self.state.solos = [solo.id for solo in await ctx.spawn_many(Solo, agents, stem="solo")]
        ctx.log("bench " + json.dumps({"at": "ready"}))
        ctx.after(ctx.args["settle_ms"] / 1000, Next())

    @handles
    async def next(self, ctx: Context, message: Next) -> None:
        if ctx.args["gap_ms"]:  # one after the other
            ctx.send(self.state.solos[message.n], Go(time.time_ns()))
            return
        now = time.time_ns()
        self.state.began = self.state.began or now
        for solo in self.state.solos[message.n : min(message.n + AT_ONCE, ctx.args["messages"])]:
            ctx.send(solo, Go(now))
        if message.n + AT_ONCE < ctx.args["messages"]:
            ctx.send(ctx.self, Next(message.n + AT_ONCE))

    @handles
    async def woke(self, ctx: Context, message: Awake) -> None:
        self.state.awake += 1
        self.state.late.append(message.late)
        if self.state.awake == ctx.args["messages"]:
            while self.state.late:
                part, self.state.late = self.state.late[:PART], self.state.late[PART:]
                ctx.log("bench " + json.dumps({"at": "part", "latencies_ns": part}))
            ctx.log("bench " + json.dumps({"at": "end", "began": self.state.began, "ended": message.at}))
        elif ctx.args["gap_ms"]:
            ctx.after(ctx.args["gap_ms"] / 1000, Next(self.state.awake))


class Solo(Agent):
    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        now = time.time_ns()
        ctx.send(ctx.sender, Awake(now - message.at, now))
