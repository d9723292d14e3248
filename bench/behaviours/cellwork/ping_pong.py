"""W1: two agents bounce one message."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cellwork import told
from queenright.agent import Agent, Context, Message, handles


class Serve(Message, volatile=True):
    """`returns`: how often this player hits the ball back. With `to` it begins."""

    returns: int
    to: bytes | None = None


class Ball(Message, volatile=True):
    n: int = 0


@dataclass
class Rally:
    left: int = 0
    returns: int = 0
    began: int = 0


class Player(Agent):
    state: Rally

    @handles
    async def serve(self, ctx: Context, message: Serve) -> None:
        self.state = Rally(message.returns, message.returns, time.perf_counter_ns())
        if message.to is not None:
            ctx.send(message.to, Ball())

    @handles
    async def ball(self, ctx: Context, message: Ball) -> None:
        self.state.left -= 1
        if self.state.left:
            sender = ctx.sender
            assert sender is not None
            ctx.send(sender, message)
        else:
            told(ctx, 2 * self.state.returns, time.perf_counter_ns() - self.state.began)
