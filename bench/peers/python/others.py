"""xoscar, autogen-core and pykka, each used as its guide shows: `python others.py WORKLOAD of=NAME key=value ...`.

They know W1 to W3. Each gives `Deck`: how to make an actor and how to send to it; the actors' work is written once below.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

sys.path.insert(0, os.getcwd())
from bench.work import Params, next_link, spaced

BURST = 10


@dataclass
class Ball:
    """The one message type: autogen-core wants a dataclass and copies nothing in process; the others take any object."""

    n: int = 0
    last: bool = False
    sender: int = 0


class Work:
    """What an actor does with a message. `send(number, message)` gives something to await, or None."""

    def take(self, ball: Ball, send: Callable[[int, Ball], Any]) -> list[Any]:
        raise NotImplementedError


class Player(Work):
    def __init__(self, other: int, left: int, done: Callable[[], None]) -> None:
        self.other, self.left, self.done = other, left, done

    def take(self, ball: Ball, send: Callable[[int, Ball], Any]) -> list[Any]:
        self.left -= 1
        if self.left:
            return [send(self.other, ball)]
        self.done()
        return []


class Sink(Work):
    def __init__(self, left: int, done: Callable[[], None]) -> None:
        self.left, self.done, self.credit = left, done, Ball(BURST)

    def take(self, ball: Ball, send: Callable[[int, Ball], Any]) -> list[Any]:
        self.left -= 1
        if not self.left:
            self.done()
        return [send(ball.sender, self.credit)] if ball.last else []


class Source(Work):
    def __init__(self, me: int, left: int, fresh: bool) -> None:
        self.me, self.left, self.fresh = me, left, fresh
        self.item, self.end = Ball(0, False, me), Ball(0, True, me)

    def take(self, ball: Ball, send: Callable[[int, Ball], Any]) -> list[Any]:
        if not self.left:
            return []
        self.left -= BURST
        if self.fresh:
            return [send(0, Ball(n, n == BURST - 1, self.me)) for n in range(BURST)]
        return [*(send(0, self.item) for _ in range(BURST - 1)), send(0, self.end)]


class Link(Work):
    def __init__(self, to: int, left: int, fresh: bool, swallowed: Callable[[], None]) -> None:
        self.to, self.left, self.fresh, self.swallowed = to, left, fresh, swallowed

    def take(self, ball: Ball, send: Callable[[int, Ball], Any]) -> list[Any]:
        if not self.left:
            self.swallowed()
            return []
        self.left -= 1
        return [send(self.to, Ball(ball.n + 1) if self.fresh else ball)]


class Countdown:
    """Done after `left` calls; asked from an event loop or from threads."""

    def __init__(self, left: int) -> None:
        self.left, self.over = left, False

    def __call__(self) -> None:
        self.left -= 1
        self.over = self.left <= 0


def cast(
    workload: str, params: Params, size: int, done: Countdown
) -> tuple[list[Work], list[tuple[int, Ball]], int]:
    """The actors, what starts them, and how many messages that is."""
    if workload == "ping_pong":
        return [Player(1, size // 2, done), Player(0, size // 2 + 1, done)], [(1, Ball())], size
    if workload == "fan_in":
        senders, fresh = params.whole("senders"), params.flag("fresh")
        sources = [Source(n, size // senders, fresh) for n in range(1, senders + 1)]
        return [Sink(size, done), *sources], [(n, Ball()) for n in range(1, senders + 1)], size
    if workload == "ring":
        agents, tokens, fresh = params.whole("agents"), params.whole("tokens"), params.flag("fresh")
        done.left = tokens
        links = [Link(next_link(n, agents), size, fresh, done) for n in range(agents)]
        return [*links], [(n, Ball()) for n in spaced(agents, tokens)], size * agents
    raise SystemExit(f"no workload {workload}")


async def xoscar(works: list[Work], start: list[tuple[int, Ball]], done: Countdown) -> float:
    import xoscar as xo

    pool = await xo.create_actor_pool("127.0.0.1:0", n_process=0)
    refs: list[Any] = []

    def send(number: int, ball: Ball) -> Any:
        return refs[number].ball.tell(ball)

    class Actor(xo.Actor):  # type: ignore[misc]
        def __init__(self, number: int) -> None:
            self.work = works[number]

        async def ball(self, ball: Ball) -> None:
            for sent in self.work.take(ball, send):
                await sent

    for n in range(len(works)):
        refs.append(await xo.create_actor(Actor, n, address=pool.external_address, uid=str(n)))
    began = time.perf_counter()
    for number, ball in start:
        await send(number, ball)
    while not done.over:
        await asyncio.sleep(0.001)
    seconds = time.perf_counter() - began
    await pool.stop()
    return seconds


async def autogen(works: list[Work], start: list[tuple[int, Ball]], done: Countdown) -> float:
    from autogen_core import (
        MessageContext,
        RoutedAgent,
        SingleThreadedAgentRuntime,
        TopicId,
        TypeSubscription,
        message_handler,
    )

    globals()["MessageContext"] = (
        MessageContext  # autogen resolves the handler's annotations by this module's names
    )

    class Actor(RoutedAgent):
        @message_handler
        async def ball(self, message: Ball, ctx: MessageContext) -> None:
            work = works[int(self.id.key)]
            for sent in work.take(
                message, lambda number, ball: self.publish_message(ball, TopicId("t", str(number)))
            ):
                await sent

    runtime = SingleThreadedAgentRuntime()
    await Actor.register(runtime, "actor", lambda: Actor("one"))
    await runtime.add_subscription(TypeSubscription("t", "actor"))
    runtime.start()
    began = time.perf_counter()
    for number, ball in start:
        await runtime.publish_message(ball, TopicId("t", str(number)))
    while not done.over:
        await asyncio.sleep(0.001)
    seconds = time.perf_counter() - began
    await runtime.stop()
    return seconds


async def pykka(works: list[Work], start: list[tuple[int, Ball]], done: Countdown) -> float:
    import pykka as pk

    class Actor(pk.ThreadingActor):
        def __init__(self, work: Work) -> None:
            super().__init__()
            self.work = work

        def on_receive(self, message: Ball) -> None:
            self.work.take(message, lambda number, ball: refs[number].tell(ball))

    refs = [Actor.start(work) for work in works]
    began = time.perf_counter()
    for number, ball in start:
        refs[number].tell(ball)
    while not done.over:
        time.sleep(0.001)
    seconds = time.perf_counter() - began
    pk.ActorRegistry.stop_all()
    return seconds


FRAMEWORKS = {"xoscar": xoscar, "autogen-core": autogen, "pykka": pykka}


def main() -> int:
    workload, params = sys.argv[1], Params.of_argv(sys.argv[2:])
    result: dict[str, Any] = {}
    for size in params.warm("hops" if workload == "ring" else "messages"):
        done = Countdown(1)
        works, start, count = cast(workload, params, size, done)
        seconds = asyncio.run(FRAMEWORKS[params.text("of")](works, start, done))
        result = {"count": count, "seconds": seconds}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
