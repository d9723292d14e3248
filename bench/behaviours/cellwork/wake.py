"""W4, W5, W7: agents that sleep until a message with its intended time comes, and one that floods.

The latencies are kept in the module, not in a state: they are the instrument, not part of what is measured.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from queenright.agent import Agent, Context, MailboxFull, Message, handles

LATENCIES: list[int] = []
FLOOD = 100  # sends of the flooder in one turn


class Wake(Message, volatile=True):
    """`at`: wall time, in nanoseconds, at which the message was meant to be sent."""

    at: int


class Report(Message, volatile=True):
    """Log the latencies [first:first + most]; with `clear`, forget them all afterwards."""

    first: int
    most: int
    clear: bool = False


class Flood(Message, volatile=True):
    to: bytes


class Drop(Message, volatile=True):
    n: int = 0


DROP = Drop()


@dataclass
class Nap:
    woken: int = 0


class Sleeper(Agent):
    state: Nap

    @handles
    async def wake(self, ctx: Context, message: Wake) -> None:
        LATENCIES.append(time.time_ns() - message.at)
        self.state.woken += 1

    @handles
    async def drop(self, ctx: Context, message: Drop) -> None:
        self.state.woken += 1

    @handles
    async def report(self, ctx: Context, message: Report) -> None:
        part = LATENCIES[message.first : message.first + message.most]
        ctx.log("bench " + json.dumps({"total": len(LATENCIES), "part": part}))
        if message.clear:
            LATENCIES.clear()


class Flooder(Agent):
    """Writes to one agent as fast as it may, for ever; a refused message is lost, as it would be to a careless author."""

    @handles
    async def flood(self, ctx: Context, message: Flood) -> None:
        try:
            for _ in range(FLOOD):
                ctx.send(message.to, DROP)
        except MailboxFull:
            pass
        ctx.send(ctx.self, message)
