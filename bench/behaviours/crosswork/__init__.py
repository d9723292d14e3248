"""What agents of different cells do in X1 to X4 and W4s, under a real supervisor. Only the authors' API.

A Conductor spawns `pairs` Senders, each of which spawns its Receiver; when all are there it tells them to begin. The sizes come
as the Conductor's arguments, from the intent. Figures go to the log, where a client reads them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from queenright.agent import Agent, Context, Message, Undelivered, handles

LATENCIES: list[int] = []  # the instrument of X3, kept out of the state
CHILDREN = 50  # asked for at once by W4s
SETTLE_S = 2.0
MAILBOX = 1000


def told(ctx: Context, **figures: object) -> None:
    ctx.log("bench " + json.dumps(figures))


# --- W4s -----------------------------------------------------------------------------------------------------------------


class More(Message):
    left: int
    began: int


class Child(Agent):
    """Does nothing."""


# --- X1 to X4 ------------------------------------------------------------------------------------------------------------


class Hello(Message):
    """To a Receiver, by a call: is it there? `block`: it is to be busy for the rest of the run after this."""

    block: bool = False


class Wait(Message):
    n: int = 0


class There(Message):
    n: int = 0


class Begin(Message):
    n: int = 0


class Parcel(Message, volatile=True):
    payload: bytes
    credit: bool


class Seen(Message, volatile=True):
    n: int = 0


class Letter(Message):
    """As Parcel, durable."""

    payload: bytes
    credit: bool


class Receipt(Message):
    n: int = 0


class Ping(Message, volatile=True):
    payload: bytes


class Pong(Message, volatile=True):
    payload: bytes


@dataclass
class Waiting:
    senders: list[bytes] = field(default_factory=list)
    there: int = 0


class Conductor(Agent):
    state: Waiting

    async def on_start(self, ctx: Context) -> None:
        if ctx.args["workload"] == "spawn":
            told(ctx, at="ready")
            # A moment in which the driver looks at the processes as they are before.
            ctx.after(SETTLE_S, More(ctx.args["agents"], 0))
            return
        for number in range(ctx.args["pairs"]):
            sender = await ctx.spawn(Sender, name=f"sender{number}", args=dict(ctx.args), depth=1, agents=1)
            self.state.senders.append(sender.id)

    @handles
    async def there(self, ctx: Context, message: There) -> None:
        self.state.there += 1
        if self.state.there == len(self.state.senders):
            for sender in self.state.senders:
                ctx.send(sender, Begin())

    @handles
    async def more(self, ctx: Context, message: More) -> None:
        began = message.began or time.time_ns()
        if not ctx.args["one_by_one"]:
            await ctx.spawn_many(Child, message.left, stem="child")
            told(ctx, at="end", began=began, ended=time.time_ns(), count=ctx.args["agents"])
            return
        now = min(message.left, CHILDREN)
        await ctx.gather(*(ctx.spawn(Child) for _ in range(now)))
        if message.left > now:
            ctx.send(ctx.self, More(message.left - now, began))
        else:
            told(ctx, at="end", began=began, ended=time.time_ns(), count=ctx.args["agents"])


@dataclass
class Stream:
    to: bytes = b""
    messages: int = 0
    unsent: int = 0
    unseen: int = 0
    began: int = 0
    sent_at: int = 0


class Sender(Agent):
    """Keeps at most a window of messages under way, in two halves, and tells when all were seen: first for a tenth of them,
    as a warm-up, then for all."""

    state: Stream

    async def on_start(self, ctx: Context) -> None:
        receiver = await ctx.spawn(Receiver, name="receiver")
        self.state.to = receiver.id
        full = ctx.args["workload"] == "full"
        await ctx.call(receiver, Hello(block=full))
        if full:
            # A turn's sends are one commit: once this turn has ended the mailbox is full.
            for _ in range(MAILBOX):
                ctx.send(receiver, Letter(b"", False))
        assert ctx.parent is not None
        ctx.send(ctx.parent, There())

    @handles
    async def begin(self, ctx: Context, message: Begin) -> None:
        self._begin(ctx, ctx.args["messages"] // 10)

    def _begin(self, ctx: Context, messages: int) -> None:
        LATENCIES.clear()
        state = self.state
        state.messages = state.unsent = state.unseen = messages
        told(ctx, at="begin", count=messages)
        state.began = time.time_ns()
        if ctx.args["workload"] == "round_trip":
            self._ping(ctx)
        else:
            for _ in range(2):
                self._half(ctx)

    def _half(self, ctx: Context) -> None:
        state, half = self.state, ctx.args["window"] // 2
        if not state.unsent:
            return
        state.unsent -= half
        kind = Parcel if ctx.args["workload"] == "cross" else Letter
        payload = bytes(ctx.args["size"])
        for left in range(half, 0, -1):
            ctx.send(state.to, kind(payload, left == 1))

    def _credit(self, ctx: Context, seen: int) -> None:
        state = self.state
        state.unseen -= seen
        if not state.unseen:
            told(ctx, at="end", began=state.began, ended=time.time_ns(), count=state.messages)
            if state.messages != ctx.args["messages"]:
                self._begin(ctx, ctx.args["messages"])
        elif state.unseen % (ctx.args["window"] // 2) == 0:
            self._half(ctx)

    @handles
    async def seen(self, ctx: Context, message: Seen) -> None:
        self._credit(ctx, ctx.args["window"] // 2)

    @handles
    async def receipt(self, ctx: Context, message: Receipt) -> None:
        self._credit(ctx, ctx.args["window"] // 2)

    @handles
    async def back(self, ctx: Context, message: Undelivered) -> None:
        self._credit(ctx, 1)

    def _ping(self, ctx: Context) -> None:
        self.state.sent_at = time.perf_counter_ns()
        ctx.send(self.state.to, Ping(bytes(ctx.args["size"])))

    @handles
    async def pong(self, ctx: Context, message: Pong) -> None:
        LATENCIES.append(time.perf_counter_ns() - self.state.sent_at)
        self.state.unsent -= 1
        if self.state.unsent:
            self._ping(ctx)
            return
        for first in range(0, len(LATENCIES), 100):
            told(ctx, at="part", latencies_ns=LATENCIES[first : first + 100])
        self._credit(ctx, self.state.messages)


class Receiver(Agent):
    @handles
    async def hello(self, ctx: Context, message: Hello) -> There:
        if message.block:
            ctx.send(ctx.self, Wait())
        return There()

    @handles
    async def wait(self, ctx: Context, message: Wait) -> None:
        await ctx.sleep(3600)

    @handles
    async def parcel(self, ctx: Context, message: Parcel) -> None:
        if message.credit:
            assert ctx.sender is not None
            ctx.send(ctx.sender, Seen())

    @handles
    async def letter(self, ctx: Context, message: Letter) -> None:
        if message.credit:
            assert ctx.sender is not None
            ctx.send(ctx.sender, Receipt())

    @handles
    async def ping(self, ctx: Context, message: Ping) -> None:
        assert ctx.sender is not None
        ctx.send(ctx.sender, Pong(message.payload))
