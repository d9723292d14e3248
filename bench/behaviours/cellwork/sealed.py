"""W6: one sender and one receiver in two cells; at most a window of messages is under way."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cellwork import told
from queenright.agent import Agent, Context, Message, handles


class Open(Message, volatile=True):
    """To the sender: `messages` of `size` bytes to `to`, at most `window` without a credit."""

    to: bytes
    messages: int
    size: int
    window: int


class Parcel(Message, volatile=True):
    payload: bytes
    credit: bool


class Seen(Message, volatile=True):
    n: int


@dataclass
class Stream:
    to: bytes = b""
    messages: int = 0
    unsent: int = 0
    unseen: int = 0
    payload: bytes = b""
    half: int = 0
    began: int = 0


class Talker(Agent):
    """Both ends. The receiver gives a credit for each half window; the sender has seen all when the last credit is back."""

    state: Stream

    @handles
    async def open(self, ctx: Context, message: Open) -> None:
        self.state = Stream(
            message.to, message.messages, message.messages, message.messages, bytes(message.size),
            message.window // 2, time.perf_counter_ns(),
        )  # fmt: skip
        for _ in range(2):
            self._half(ctx)

    @handles
    async def parcel(self, ctx: Context, message: Parcel) -> None:
        if message.credit:
            assert ctx.sender is not None
            ctx.send(ctx.sender, Seen(len(message.payload)))

    @handles
    async def credit(self, ctx: Context, message: Seen) -> None:
        self.state.unseen -= self.state.half
        if self.state.unseen:
            self._half(ctx)
        else:
            told(ctx, self.state.messages, time.perf_counter_ns() - self.state.began)

    def _half(self, ctx: Context) -> None:
        if not self.state.unsent:
            return
        self.state.unsent -= self.state.half
        for left in range(self.state.half, 0, -1):
            ctx.send(self.state.to, Parcel(self.state.payload, left == 1))
