"""Orders that take away, followed until they are obeyed: what they must reach, the kernel's word for each, and who is late.

An order is written down first and carried out at once; nothing here decides about it. A `Point` is one place where something
of the order's agents still ran. Its end is never the wish: a process namespace is gone when its first process was waited for
(the kernel ends and reaps all the others before it), and a turn in a shared cell when the cell let it go or is gone itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from queenright.control.protocol import Reach
from queenright.errors import QueenrightError
from queenright.ledger.entry import Operator, Supervisor

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["WITHIN_S", "Order", "Point", "Stops"]

WITHIN_S = 2.0
"""The promise: from the order to the kernel's word. What is later is named, and ordered again as often as this."""

NAMED = 20
"""Points of an answer that are named; how many there are is said in any case."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing an order ends. `gone` waits for the word that nothing of it is left and says how many processes that were, at
    least; `again` repeats the order."""

    kind: Literal["cell", "turn", "command", "act", "connection"]
    name: str
    gone: Callable[[], Awaitable[int]]
    again: Callable[[], None]
    unknown: bool = False  # an act that was ended in its effect: a person decides
    left: bool = False  # an act that is left to its own end, within its verb's deadline


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered, by whom, about whom; `leaf` is where it stands in the ledger, `at_ms` its boot time."""

    verb: str
    actor: Operator | Supervisor
    leaf: int
    at_ms: int
    intent: bytes | None = None
    agent: bytes | None = None


class Stops:
    """Every order that is not wholly obeyed yet."""

    def __init__(self, rt: Runtime, within_s: float = WITHIN_S) -> None:
        self._rt = rt
        self._within_s = within_s
        self._pending: set[Point] = set()
        self._late: set[Point] = set()
        self._beside: set[asyncio.Task[Any]] = set()

    @property
    def unacked(self) -> int:
        """Points of any order that have not obeyed yet, late or not."""
        return len(self._pending)

    def late(self) -> list[str]:
        """By name, what was not reached within the promise and is still there."""
        return sorted(point.name for point in self._late)[:NAMED]

    async def follow(self, order: Order, points: Sequence[Point]) -> Reach:
        """Wait until all of them are gone, at most the promise's time; write down what was reached, and keep after the rest."""
        points = list(dict.fromkeys(points))
        left = [point for point in points if point.left]
        tasks = {asyncio.create_task(_told(point)): point for point in points if not point.left}
        self._pending.update(tasks.values())
        for task, point in tasks.items():
            task.add_done_callback(lambda _, point=point: self._obeyed(point))  # type: ignore[misc]
        if tasks:
            await asyncio.wait(tasks, timeout=self._within_s)
        late = {task: point for task, point in tasks.items() if not task.done()}
        reach = self._reach(
            order, [point for task, point in tasks.items() if task.done()], late.values(), left
        )
        reach["processes"] = sum(task.result() for task in tasks if task.done())
        self._record(order, reach)
        if late:
            self._late.update(late.values())
            for name in reach["late"]:
                self._rt.incident(
                    "stop.late", name, f"{order.verb}: not gone after {self._within_s:g} s; ordered again"
                )
            self.also(self._chase(order, late))
        self._rt.changed("status", b"")
        return reach

    def follow_unasked(
        self, order: Order, points: Sequence[Point], *burying: Coroutine[Any, Any, None]
    ) -> asyncio.Task[Any]:
        """The same where nobody waits for the answer: a deadline passed, a document froze a swarm. Beside it `burying` writes
        down who has ended; the task ends with both.
        """

        async def both() -> None:
            await asyncio.gather(self.follow(order, points), *burying)

        return self.also(both())

    def also(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """What an order leaves to be done beside everything else; given up when the supervisor goes down."""
        task = asyncio.create_task(work, name="after an order")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def _chase(self, order: Order, late: dict[asyncio.Task[int], Point]) -> None:
        """Order it again every two seconds until the kernel has said of each that it is gone; then that is written down too."""
        waiting = set(late)
        while waiting:
            for task in waiting:
                late[task].again()
            _, waiting = await asyncio.wait(waiting, timeout=self._within_s)
        reach = self._reach(order, list(late.values()), (), ())
        reach["processes"] = sum(task.result() for task in late)
        self._record(order, reach)
        self._rt.incident(
            "stop.reached", order.verb, f"{len(late)} that were late are gone after {reach['ms']} ms"
        )
        self._rt.changed("status", b"")

    def _obeyed(self, point: Point) -> None:
        self._pending.discard(point)
        self._late.discard(point)

    def _reach(
        self, order: Order, gone: Sequence[Point], late: Iterable[Point], left: Sequence[Point]
    ) -> Reach:
        def count(kind: str) -> int:
            return sum(point.kind == kind for point in gone)

        behind = sorted(point.name for point in late)
        return {
            "verb": order.verb,
            "cells": count("cell"),
            "turns": count("turn"),
            "commands": count("command"),
            "acts": count("act"),
            "connections": count("connection"),
            "processes": 0,
            "ms": self._rt.clock.boot_ms() - order.at_ms,
            "unreached": len(behind),
            "late": behind[:NAMED],
            "finishing": sorted(point.name for point in left)[:NAMED],
            "unknown": sorted(point.name for point in gone if point.unknown)[:NAMED],
        }

    def _record(self, order: Order, reach: Reach) -> None:
        """Ordered, then reached: both are entries. What was ended is ended whether or not this can be written."""
        try:
            self._rt.commit(self._rt.book.reached(order.actor, order.leaf, reach, order.intent, order.agent))
        except QueenrightError as error:
            self._rt.log.error("stop.unrecorded", verb=order.verb, error=error.message)
            self._rt.incident("stop.unrecorded", order.verb, error.message)

    async def close(self) -> None:
        """Nobody waits any more: the launcher ends what is left with itself."""
        for task in list(self._beside):
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)


async def _told(point: Point) -> int:
    return await point.gone()
