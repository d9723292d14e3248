"""What runs when Y6 stops it, and what Y7 times. Only the authors' API; figures go to the log, where a client reads them."""

from __future__ import annotations

import json
import time

from queenright.agent import Agent, Allow, Context, Message, handles

RIGHTS = [Allow("shell.run", "ws:self")]
FOR_S = 600


class Runs(Agent):
    """In a cell of its own: one command that goes on until it is ended."""

    async def on_start(self, ctx: Context) -> None:
        await ctx.shell(ctx.args["command"], timeout=FOR_S)


class Go(Message):
    command: str


class Swarm(Agent):
    """Members in shared cells, all of them woken; the first `commands` of them run a command."""

    async def on_start(self, ctx: Context) -> None:
        members = await ctx.spawn_many(Member, ctx.args["agents"] - 1, stem="member-", exercise=RIGHTS)
        for number, member in enumerate(members):
            ctx.send(member, Go(ctx.args["command"] if number < ctx.args["commands"] else ""))


class Member(Agent):
    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        if message.command:
            await ctx.shell(message.command, timeout=FOR_S)


class Shells(Agent):
    """One command after the other, each timed from the call to its result."""

    async def on_start(self, ctx: Context) -> None:
        took = []
        for _ in range(ctx.args["messages"]):
            began = time.perf_counter_ns()
            done = await ctx.shell("true")
            took.append(time.perf_counter_ns() - began)
            if done.code:
                raise RuntimeError(f"true ended with {done.code}")
        for start in range(0, len(took), 100):
            ctx.log("bench " + json.dumps({"took": took[start : start + 100]}))
