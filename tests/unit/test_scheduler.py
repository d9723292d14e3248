"""The scheduler's face: handlers are run to their end without an event loop, or parked on a step of ours."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Generator
from typing import Any

import pytest

from queenright.core.cell import Scheduler, Suspension
from queenright.errors import Conflict, ForeignAwaitable, MailboxFull, Malformed, Unknown

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


class Wait(Suspension):
    def __await__(self) -> Generator[Suspension, None, Any]:
        return (yield self)


class Bench:
    """Agents whose handlers append what happened to `seen`."""

    def __init__(self, **limits: int) -> None:
        self.scheduler = Scheduler(**limits)
        self.seen: list[Any] = []
        self.failed: list[BaseException] = []

    def add(self, agent: bytes, handler: Any) -> None:
        self.scheduler.add(agent, handler, self.failed.append)

    def add_plain(self, agent: bytes) -> None:
        async def handle(message: Any, sender: bytes) -> None:
            self.seen.append((agent[0], message, sender[0]))

        self.add(agent, handle)

    def post(self, to: bytes, message: Any, **how: Any) -> None:
        self.scheduler.deliver(to, message, 1, **({"reserved": False} | how))

    def run(self) -> int:
        return self.scheduler.run(10_000)


def test_a_handler_that_never_suspends_runs_without_an_event_loop() -> None:
    bench = Bench()
    bench.add_plain(A)
    bench.post(A, "hello", sender=B)
    assert bench.run() == 1
    assert bench.seen == [(1, "hello", 2)]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_the_core_stamps_the_running_agent_as_sender() -> None:
    bench = Bench()

    async def forward(message: Any, sender: bytes) -> None:
        bench.scheduler.send(B, message, 1)

    bench.add(A, forward)
    bench.add_plain(B)
    bench.post(A, "x", sender=C)
    bench.run()
    assert bench.seen == [(2, "x", 1)]


def test_nobody_can_send_while_nobody_runs() -> None:
    bench = Bench()
    bench.add_plain(A)
    with pytest.raises(Conflict, match="nobody's turn runs"):
        bench.scheduler.send(A, "x", 1)


def test_a_waiting_agent_lets_the_others_go_on() -> None:
    bench = Bench()

    async def wait(message: Any, sender: bytes) -> None:
        bench.seen.append(("begin", message))
        bench.seen.append(("got", await Wait()))

    bench.add(A, wait)
    bench.add_plain(B)
    bench.post(A, 1)
    bench.post(A, 2)
    bench.post(B, 3)
    bench.run()
    assert bench.seen == [("begin", 1), (2, 3, 0)]
    assert bench.scheduler.is_waiting(A)
    assert not bench.scheduler.has_ready()
    bench.scheduler.resume(A, "value")
    bench.run()
    assert bench.seen[2:] == [("got", "value"), ("begin", 2)]


def test_an_error_can_be_thrown_into_what_waits() -> None:
    bench = Bench()

    async def wait(message: Any, sender: bytes) -> None:
        try:
            await Wait()
        except ValueError as error:
            bench.seen.append(str(error))
            await Wait()
            bench.seen.append("again")

    bench.add(A, wait)
    bench.post(A, 1)
    bench.run()
    bench.scheduler.throw(A, ValueError("no"))
    bench.run()
    assert bench.seen == ["no"]
    bench.scheduler.resume(A)
    bench.run()
    assert bench.seen == ["no", "again"]
    assert bench.failed == []


def test_a_foreign_awaitable_is_refused_with_the_way_out() -> None:
    bench = Bench()

    async def sleep(message: Any, sender: bytes) -> None:
        try:
            await asyncio.sleep(0)
        except ForeignAwaitable as error:
            bench.seen.append(error.hint)

    bench.add(A, sleep)
    bench.post(A, 1)
    bench.run()
    assert "ctx.run" in bench.seen[0]
    assert not bench.scheduler.is_waiting(A)


def test_a_handler_that_catches_every_refusal_of_a_foreign_awaitable_still_ends() -> None:
    bench = Bench()

    async def stubborn(message: Any, sender: bytes) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(0)
            except ForeignAwaitable:
                bench.seen.append("refused")

    bench.add(A, stubborn)
    bench.post(A, 1)
    bench.run()
    assert bench.seen == ["refused"] * 3


def test_what_a_handler_raises_is_given_to_its_own_agent_only() -> None:
    bench = Bench()

    async def fail(message: Any, sender: bytes) -> None:
        raise SystemExit(message)

    bench.add(A, fail)
    bench.add_plain(B)
    bench.post(A, "a")
    bench.post(B, "b")
    bench.run()
    assert [str(error) for error in bench.failed] == ["a"]
    assert bench.seen == [(2, "b", 0)]
    assert bench.scheduler.counters(A)[0] == 1


def test_a_handler_that_is_no_coroutine_is_refused() -> None:
    bench = Bench()
    bench.add(A, lambda message, sender: 5)
    bench.post(A, 1)
    bench.run()
    assert isinstance(bench.failed[0], TypeError)


def test_a_full_mailbox_hands_the_message_back() -> None:
    bench = Bench(mailbox_messages=2, mailbox_bytes=100)
    bench.add_plain(A)
    first = object()
    bench.post(A, 1)
    bench.scheduler.deliver(A, 2, 90, reserved=False)
    for size in (1, 50):
        with pytest.raises(MailboxFull) as refused:
            bench.scheduler.deliver(A, first, size, reserved=False)
        assert refused.value.undelivered is first
    assert bench.scheduler.counters(A) == (0, 2, 2, 91)


def test_stop_overtakes_a_flood_and_has_room_in_a_full_mailbox() -> None:
    bench = Bench(mailbox_messages=2, reserved=1)
    bench.add_plain(A)
    bench.post(A, 1)
    bench.post(A, 2)
    bench.post(A, "stop", reserved=True)
    bench.run()
    assert [message for _, message, _ in bench.seen] == ["stop", 1, 2]


def test_a_flooding_agent_lets_the_others_have_their_turn() -> None:
    bench = Bench(quantum=4)
    bench.add_plain(A)
    bench.add_plain(B)
    for n in range(12):
        bench.post(A, n)
    bench.post(B, "b")
    bench.run()
    assert [agent for agent, *_ in bench.seen].index(2) == 4


def test_run_does_at_most_what_it_was_told() -> None:
    bench = Bench()
    bench.add_plain(A)
    for n in range(5):
        bench.post(A, n)
    assert bench.scheduler.run(3) == 3
    assert bench.scheduler.has_ready()
    assert bench.run() == 2


def test_removing_an_agent_closes_what_waits_and_gives_back_the_rest() -> None:
    bench = Bench()

    async def wait(message: Any, sender: bytes) -> None:
        try:
            await Wait()
        finally:
            bench.seen.append("closed")
            bench.scheduler.counters(B)  # the lock is not held while this runs

    bench.add(A, wait)
    bench.add_plain(B)
    bench.post(A, 1)
    bench.post(A, 2)
    bench.run()
    assert bench.scheduler.remove(A) == [2]
    assert bench.seen == ["closed"]
    assert A not in bench.scheduler
    with pytest.raises(Unknown):
        bench.post(A, 3)
    with pytest.raises(Unknown):
        bench.scheduler.resume(A)


def test_an_agent_may_remove_itself_in_its_turn() -> None:
    bench = Bench()

    async def leave(message: Any, sender: bytes) -> None:
        bench.scheduler.remove(A)
        await Wait()

    bench.add(A, leave)
    bench.post(A, 1)
    bench.run()
    assert len(bench.scheduler) == 0


def test_an_abandoned_turn_is_closed_and_the_next_message_comes() -> None:
    bench = Bench()

    async def wait(message: Any, sender: bytes) -> None:
        bench.seen.append(message)
        if message == 1:
            await Wait()

    bench.add(A, wait)
    bench.post(A, 1)
    bench.post(A, 2)
    bench.run()
    bench.scheduler.abandon(A)
    bench.run()
    assert bench.seen == [1, 2]


def test_the_scheduler_does_not_run_inside_itself() -> None:
    bench = Bench()

    async def nested(message: Any, sender: bytes) -> None:
        bench.scheduler.run()

    bench.add(A, nested)
    bench.post(A, 1)
    bench.run()
    assert isinstance(bench.failed[0], Conflict)


def test_only_what_waits_can_be_resumed() -> None:
    bench = Bench()
    bench.add_plain(A)
    with pytest.raises(Conflict):
        bench.scheduler.resume(A)


def test_ids_are_32_bytes_and_not_the_runtimes() -> None:
    bench = Bench()
    for wrong in (b"", b"x" * 31, bytes(32)):
        with pytest.raises(Malformed):
            bench.add_plain(wrong)
    bench.add_plain(A)
    with pytest.raises(Conflict):
        bench.add_plain(A)


def test_the_page_shows_whose_turn_holds_the_interpreter() -> None:
    from queenright.wire.page import PAGE_BYTES, USED, read

    bench = Bench()
    page = bytearray(PAGE_BYTES)
    now = 41

    async def look(message: Any, sender: bytes) -> None:
        bench.seen.append(read(page))
        bench.seen.append(bench.scheduler.progress())

    bench.add(A, look)
    bench.scheduler.watch(memoryview(page)[:USED], lambda: now)
    bench.post(A, 1, turn=7)
    assert read(page) is None
    bench.run()
    assert bench.seen == [(A, 7, 41), 1]
    assert read(page) is None
    assert bench.scheduler.progress() == 0
    for wrong in (bytes(USED), bytearray(USED - 1)):
        with pytest.raises(Malformed):
            bench.scheduler.watch(wrong, lambda: now)


def test_timers_fall_due_by_the_time_that_is_handed_in() -> None:
    bench = Bench()
    bench.add_plain(A)
    bench.scheduler.set_timer(A, b"t", 50, "later", 1)
    assert bench.scheduler.next_due() == 50
    assert bench.scheduler.advance(49) == 0
    assert bench.scheduler.advance(50) == 1
    bench.run()
    assert bench.seen == [(1, "later", 0)]
    assert not bench.scheduler.cancel_timer(A, b"t")


def test_messages_are_let_go_of_once_they_were_handled() -> None:
    bench = Bench()

    async def ignore(message: Any, sender: bytes) -> None:
        return None

    bench.add(A, ignore)
    message = object()
    before = sys.getrefcount(message)
    for _ in range(10):
        bench.post(A, message)
    bench.run()
    gc.collect()
    assert sys.getrefcount(message) == before
