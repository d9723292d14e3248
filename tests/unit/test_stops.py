"""What follows an order until it is obeyed: who is gone, who is late by name, and that the late are ordered again."""

from __future__ import annotations

import asyncio
from typing import Any

from queenright.ledger.entry import Supervisor
from queenright.supervisor.stops import NAMED, Order, Point, Stops

AT_ONCE = 0.0  # the promise's time in these tests: what is not gone when asked is late


class Fake:
    """A runtime's clock, its one way to commit, and what a person is shown."""

    def __init__(self) -> None:
        self.now = 1_000
        self.written: list[dict[str, Any]] = []
        self.incidents: list[tuple[str, str]] = []
        self.clock = self
        self.book = self

    def boot_ms(self) -> int:
        return self.now

    def reached(self, actor: Any, ordered: int, reach: Any, intent: Any, agent: Any) -> dict[str, Any]:
        return {"ordered": ordered} | reach

    def commit(self, change: dict[str, Any]) -> None:
        self.written.append(change)

    def incident(self, kind: str, subject: str, text: str) -> None:
        self.incidents.append((kind, subject))

    def changed(self, topic: str, subject: bytes) -> None:
        pass


class Thing:
    """Something that runs until it is let go."""

    def __init__(self, name: str, kind: Any = "command", **more: Any) -> None:
        self.ordered_again = asyncio.Event()
        self.end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.point = Point(kind, name, self._gone, self.ordered_again.set, **more)

    async def _gone(self) -> int:
        return await asyncio.shield(self.end)


ORDER = Order("stop", Supervisor(), leaf=7, at_ms=960)


async def test_what_is_gone_is_counted_by_kind_and_recorded_under_its_order() -> None:
    fake = Fake()
    stops = Stops(fake)  # type: ignore[arg-type]
    things = [Thing("cell-1", "cell"), Thing("a"), Thing("b"), Thing("x", "act", unknown=True)]
    for thing in things:
        thing.end.set_result(3)
    reach = await stops.follow(ORDER, [thing.point for thing in things] + [things[0].point])
    assert (reach["cells"], reach["commands"], reach["acts"], reach["processes"]) == (1, 2, 1, 12), (
        "each once"
    )
    assert (reach["late"], reach["unknown"], reach["ms"]) == ([], ["x"], 40)
    assert [one["ordered"] for one in fake.written] == [7]
    assert stops.unacked == 0


async def test_an_act_left_to_its_own_end_is_named_and_not_waited_for() -> None:
    stops = Stops(Fake())  # type: ignore[arg-type]
    act = Thing("svc.restart on svc:shop/web", "act", left=True)
    reach = await stops.follow(ORDER, [act.point])
    assert (reach["finishing"], reach["unreached"], reach["acts"]) == (["svc.restart on svc:shop/web"], 0, 0)


async def test_the_late_are_named_counted_ordered_again_and_told_of_when_they_are_gone() -> None:
    fake = Fake()
    stops = Stops(fake, within_s=AT_ONCE)  # type: ignore[arg-type]
    late = Thing("command of sre/logs, pid 7")
    reach = await stops.follow(ORDER, [late.point])
    assert (reach["unreached"], reach["late"], reach["commands"]) == (1, [late.point.name], 0)
    assert (stops.unacked, stops.late()) == (1, [late.point.name])
    assert fake.incidents == [("stop.late", late.point.name)]
    await late.ordered_again.wait()
    late.ordered_again.clear()
    await late.ordered_again.wait()  # and again
    fake.now = 9_000
    late.end.set_result(1)
    while len(fake.written) < 2:
        await asyncio.sleep(0)
    assert (stops.unacked, stops.late()) == (0, [])
    assert (fake.written[1]["unreached"], fake.written[1]["ms"]) == (0, 8_040)
    assert fake.incidents[-1] == ("stop.reached", "stop")
    await stops.close()


async def test_many_late_are_all_counted_and_some_named() -> None:
    stops = Stops(Fake(), within_s=AT_ONCE)  # type: ignore[arg-type]
    things = [Thing(f"command {n}") for n in range(NAMED + 5)]
    reach = await stops.follow(ORDER, [thing.point for thing in things])
    assert (reach["unreached"], len(reach["late"])) == (NAMED + 5, NAMED)
    await stops.close()
    for thing in things:
        thing.end.cancel()
