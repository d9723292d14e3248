"""W2: many senders to one. A sender has at most BURST messages under way; the receiver answers each burst with a credit."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cellwork import told
from queenright.agent import Agent, Context, Message, handles

BURST = 10  # 100 senders fill, and never overfill, a mailbox of 1,000


class Expect(Message, volatile=True):
    items: int


class Begin(Message, volatile=True):
    """`items`: how many to send, a multiple of BURST. `fresh`: a new object each."""

    to: bytes
    items: int
    fresh: bool


class Item(Message, volatile=True):
    n: int
    last: bool


class Credit(Message, volatile=True):
    n: int = BURST


ITEM, LAST, CREDIT = Item(0, False), Item(0, True), Credit()


@dataclass
class Tally:
    left: int = 0
    items: int = 0
    began: int = 0


class Sink(Agent):
    state: Tally

    @handles
    async def expect(self, ctx: Context, message: Expect) -> None:
        self.state = Tally(message.items, message.items, time.perf_counter_ns())

    @handles
    async def item(self, ctx: Context, message: Item) -> None:
        self.state.left -= 1
        if message.last:
            assert ctx.sender is not None
            ctx.send(ctx.sender, CREDIT)
            if not self.state.left:
                told(ctx, self.state.items, time.perf_counter_ns() - self.state.began)


@dataclass
class Supply:
    to: bytes = b""
    left: int = 0
    fresh: bool = False


class Source(Agent):
    state: Supply

    @handles
    async def begin(self, ctx: Context, message: Begin) -> None:
        self.state = Supply(message.to, message.items, message.fresh)
        self._burst(ctx)

    @handles
    async def credit(self, ctx: Context, message: Credit) -> None:
        self._burst(ctx)

    def _burst(self, ctx: Context) -> None:
        if not self.state.left:
            return
        self.state.left -= BURST
        to = self.state.to
        if self.state.fresh:
            for n in range(BURST):
                ctx.send(to, Item(n, n == BURST - 1))
        else:
            for _ in range(BURST - 1):
                ctx.send(to, ITEM)
            ctx.send(to, LAST)
