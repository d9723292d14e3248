"""W3: a ring in pseudo-random order. Each link passes on `hops` tokens and swallows what comes after, telling the collector.

Over a ring this ends with every link having passed on exactly `hops` tokens, so the work is exact without a shared counter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cellwork import told
from queenright.agent import Agent, Context, Message, handles


class Join(Message, volatile=True):
    """The next link, who collects, how many tokens to pass on, and whether as a new object each."""

    next: bytes
    collector: bytes
    hops: int
    fresh: bool


class Inject(Message, volatile=True):
    """Give each of `links` a token; `hops` is what all links together will have passed on at the end."""

    links: tuple[bytes, ...]
    hops: int


class Token(Message, volatile=True):
    n: int = 0


class Swallowed(Message, volatile=True):
    n: int = 0


@dataclass
class Place:
    next: bytes = b""
    collector: bytes = b""
    left: int = 0
    fresh: bool = False


class Link(Agent):
    state: Place

    @handles
    async def join(self, ctx: Context, message: Join) -> None:
        self.state = Place(message.next, message.collector, message.hops, message.fresh)

    @handles
    async def token(self, ctx: Context, message: Token) -> None:
        state = self.state
        if not state.left:
            ctx.send(state.collector, Swallowed())
            return
        state.left -= 1
        ctx.send(state.next, Token(message.n + 1) if state.fresh else message)


@dataclass
class Waiting:
    tokens: int = 0
    hops: int = 0
    began: int = 0


class Collector(Agent):
    state: Waiting

    @handles
    async def inject(self, ctx: Context, message: Inject) -> None:
        self.state = Waiting(len(message.links), message.hops, time.perf_counter_ns())
        for link in message.links:
            ctx.send(link, Token())

    @handles
    async def swallowed(self, ctx: Context, message: Swallowed) -> None:
        self.state.tokens -= 1
        if not self.state.tokens:
            told(ctx, self.state.hops, time.perf_counter_ns() - self.state.began)
