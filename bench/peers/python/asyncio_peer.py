"""Plain asyncio, as one would write it: an actor is a task that takes from a queue of its own. `loop=uvloop` runs it there.

`python asyncio_peer.py WORKLOAD loop=asyncio|uvloop key=value ...`, from the root of the repository.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

sys.path.insert(0, os.getcwd())
from bench.work import Params, next_link, percent_cpu, rss_bytes, spaced

MAILBOX = 1000  # the bound that ours has
BURST = 10
FLOOD = 100


class Message:
    __slots__ = ("last", "n", "sender")

    def __init__(self, n: int, last: bool = False, sender: asyncio.Queue[Any] | None = None) -> None:
        self.n = n
        self.last = last
        self.sender = sender


def mailbox() -> asyncio.Queue[Any]:
    return asyncio.Queue(MAILBOX)


async def over(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# --- W1 to W3 ------------------------------------------------------------------------------------------------------------


async def ping_pong(params: Params) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for messages in params.warm("messages"):
        one, two, done = mailbox(), mailbox(), asyncio.get_running_loop().create_future()

        async def player(
            mine: asyncio.Queue[Any], other: asyncio.Queue[Any], left: int, done: asyncio.Future[None] = done
        ) -> None:
            while True:
                ball = await mine.get()
                left -= 1
                if left:
                    await other.put(ball)
                else:
                    done.set_result(None)

        tasks = [
            asyncio.create_task(player(one, two, messages // 2)),
            asyncio.create_task(player(two, one, messages // 2 + 1)),
        ]
        began = time.perf_counter()
        await two.put(Message(0))
        await done
        result = {"count": messages, "seconds": time.perf_counter() - began}
        await over(tasks)
    return result


async def fan_in(params: Params) -> dict[str, Any]:
    senders, fresh = params.whole("senders"), params.flag("fresh")
    result: dict[str, Any] = {}
    for messages in params.warm("messages"):
        inbox, done = mailbox(), asyncio.get_running_loop().create_future()

        async def sink(
            left: int = messages, inbox: asyncio.Queue[Any] = inbox, done: asyncio.Future[None] = done
        ) -> None:
            credit = Message(BURST)
            while True:
                item = await inbox.get()
                left -= 1
                if item.last:
                    await item.sender.put(credit)
                    if not left:
                        done.set_result(None)

        async def source(mine: asyncio.Queue[Any], left: int, inbox: asyncio.Queue[Any] = inbox) -> None:
            item, last = Message(0, False, mine), Message(0, True, mine)
            while left:
                left -= BURST
                if fresh:
                    for n in range(BURST):
                        await inbox.put(Message(n, n == BURST - 1, mine))
                else:
                    for _ in range(BURST - 1):
                        await inbox.put(item)
                    await inbox.put(last)
                await mine.get()

        began = time.perf_counter()
        tasks = [asyncio.create_task(sink())]
        tasks += [asyncio.create_task(source(mailbox(), messages // senders)) for _ in range(senders)]
        await done
        result = {"count": messages, "seconds": time.perf_counter() - began}
        await over(tasks)
    return result


async def ring(params: Params) -> dict[str, Any]:
    agents, tokens, fresh = params.whole("agents"), params.whole("tokens"), params.flag("fresh")
    result: dict[str, Any] = {}
    for hops in params.warm("hops"):
        boxes = [mailbox() for _ in range(agents)]
        collector = mailbox()

        async def link(
            mine: asyncio.Queue[Any],
            to: asyncio.Queue[Any],
            left: int = hops,
            collector: asyncio.Queue[Any] = collector,
        ) -> None:
            while True:
                token = await mine.get()
                if not left:
                    await collector.put(token)
                    continue
                left -= 1
                await to.put(Message(token.n + 1) if fresh else token)

        tasks = [asyncio.create_task(link(boxes[n], boxes[next_link(n, agents)])) for n in range(agents)]
        await asyncio.sleep(0)
        began = time.perf_counter()
        for entry in spaced(agents, tokens):
            await boxes[entry].put(Message(0))
        for _ in range(tokens):
            await collector.get()
        result = {"count": hops * agents, "seconds": time.perf_counter() - began}
        await over(tasks)
    return result


# --- W4, W5, W7 ----------------------------------------------------------------------------------------------------------


async def sleeper(mine: asyncio.Queue[Any], latencies: list[int]) -> None:
    woken = 0
    while True:
        at = await mine.get()
        latencies.append(time.time_ns() - at)
        woken += 1


async def dormant(params: Params) -> dict[str, Any]:
    agents = params.whole("agents")
    latencies: list[int] = []
    before, began = rss_bytes(os.getpid()), time.perf_counter()
    boxes = [mailbox() for _ in range(agents)]
    tasks = [asyncio.create_task(sleeper(box, latencies)) for box in boxes]
    await asyncio.sleep(0)
    seconds = time.perf_counter() - began
    after = rss_bytes(os.getpid())
    idle = percent_cpu(os.getpid(), params.real("idle_s"))
    await over(tasks)
    return {
        "count": agents, "seconds": seconds, "bytes_each": (after - before) / agents, "rss_mb": after / 1e6,
        "idle_cpu_percent": idle,
    }  # fmt: skip


async def wake(params: Params) -> dict[str, Any]:
    agents, count = params.whole("agents"), params.whole("count")
    latencies: list[int] = []
    boxes = [mailbox() for _ in range(agents)]
    tasks = [asyncio.create_task(sleeper(box, latencies)) for box in boxes]
    for box in boxes:
        await box.put(0)
    while len(latencies) < agents:
        await asyncio.sleep(0)
    latencies.clear()
    if params.flag("flood"):
        victim = mailbox()
        tasks += [asyncio.create_task(flooder(victim)), asyncio.create_task(drain(victim))]
    await read_wakes(params.text("socket"), boxes)
    while len(latencies) < count:
        await asyncio.sleep(0.001)
    await over(tasks)
    return {"count": count, "latencies_ns": latencies}


async def flooder(victim: asyncio.Queue[Any]) -> None:
    drop = Message(0)
    while True:
        try:
            for _ in range(FLOOD):
                victim.put_nowait(drop)
        except asyncio.QueueFull:
            pass
        await asyncio.sleep(0)


async def drain(victim: asyncio.Queue[Any]) -> None:
    while True:
        await victim.get()


async def read_wakes(path: str, boxes: list[asyncio.Queue[Any]]) -> None:
    """Frames of the pacer, 16 bytes each: whom, and the intended wall time in nanoseconds. Returns when it has left."""
    reader_gone = asyncio.get_running_loop().create_future()
    frame = struct.Struct("<QQ")

    class Wakes(asyncio.Protocol):
        buffer = b""

        def connection_made(self, transport: Any) -> None:
            transport.write(b"r")

        def data_received(self, data: bytes) -> None:
            data = self.buffer + data
            whole = len(data) // 16 * 16
            for agent, at in frame.iter_unpack(data[:whole]):
                boxes[agent].put_nowait(at)
            self.buffer = data[whole:]

        def connection_lost(self, exc: Exception | None) -> None:
            reader_gone.set_result(None)

    await asyncio.get_running_loop().create_unix_connection(Wakes, path)
    await reader_gone


# --- W6 ------------------------------------------------------------------------------------------------------------------


async def signed(params: Params) -> dict[str, Any]:
    """Every message, and every credit, is signed by its sender and verified by its receiver with PyNaCl (libsodium)."""
    from nacl.signing import SigningKey

    size, window = params.whole("size"), params.whole("window")
    half = window // 2
    result: dict[str, Any] = {}
    for messages in params.warm("messages"):
        there: asyncio.Queue[bytes] = asyncio.Queue(window)
        back: asyncio.Queue[bytes] = asyncio.Queue(window)
        sender_key, receiver_key = SigningKey.generate(), SigningKey.generate()

        async def receiver(
            there: asyncio.Queue[bytes] = there, back: asyncio.Queue[bytes] = back,
            known: Any = sender_key.verify_key, mine: Any = receiver_key,
        ) -> None:  # fmt: skip
            seen = 0
            while True:
                known.verify(await there.get())
                seen += 1
                if seen % half == 0:
                    await back.put(bytes(mine.sign(half.to_bytes(8, "big"))))

        task = asyncio.create_task(receiver())
        payload, under_way, unseen = bytes(size), 0, messages
        began = time.perf_counter()
        unsent = messages
        while unseen:
            while unsent and under_way < window:
                await there.put(bytes(sender_key.sign(payload)))
                unsent -= 1
                under_way += 1
            credit = receiver_key.verify_key.verify(await back.get())
            under_way -= int.from_bytes(credit, "big")
            unseen -= int.from_bytes(credit, "big")
        result = {"count": messages, "seconds": time.perf_counter() - began}
        await over([task])
    return result


WORKLOADS: dict[str, Callable[[Params], Awaitable[dict[str, Any]]]] = {
    "ping_pong": ping_pong,
    "fan_in": fan_in,
    "ring": ring,
    "dormant": dormant,
    "spawn": dormant,
    "wake": wake,
    "signed": signed,
}


def main() -> int:
    params = Params.of_argv(sys.argv[2:])
    work = WORKLOADS[sys.argv[1]](params)
    if params.text("loop") == "uvloop":
        import uvloop

        result = uvloop.run(work)
    else:
        result = asyncio.run(work)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
