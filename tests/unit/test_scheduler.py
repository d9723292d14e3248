"""The scheduler's face: handlers are run to their end without an event loop, or parked on a step of ours."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Generator
from typing import Any

import pytest

from queenright.agent import Message
from queenright.core.cell import ContextBase, Scheduler, Suspension
from queenright.errors import Conflict, ForeignAwaitable, MailboxFull, Malformed, StepOverlap, Unknown

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


class Wait(Suspension):
    def __await__(self) -> Generator[Suspension, None, Any]:
        return (yield self)


class Parcel:
    """Something whose `run()` is a turn, as the supervisor's are."""

    def __init__(self, handler: Any, message: Any, sender: bytes) -> None:
        self.handler, self.message, self.sender = handler, message, sender

    def run(self) -> Any:
        return self.handler(self.message, self.sender)


class Resident:
    """An awake agent as a cell makes it; `opened` counts how often its object was made."""

    def __init__(self, bench: Bench, agent: bytes) -> None:
        self.bench, self.me, self.opened = bench, agent, 0

    def open(self) -> tuple[Any, ContextBase]:
        self.opened += 1
        return self, ContextBase(None, self.bench.scheduler, self.me)


class Bench:
    """Agents whose handlers append what happened to `seen`. Texts that agents send each other are volatile messages."""

    def __init__(self, **limits: int) -> None:
        self.scheduler = Scheduler(self.wake, self.fail, bytes, **limits)
        self.seen: list[Any] = []
        self.failed: list[BaseException] = []
        self.woken: list[bytes] = []
        self.handlers: dict[bytes, Any] = {}

        async def hear(me: Resident, ctx: ContextBase, message: str) -> None:
            await self.handlers[me.me](message, ctx.sender or bytes(32))

        self.kind = self.scheduler.behaviour([(str, hear)])
        self.scheduler.talk([(self.kind, self.kind)])

    def wake(self, agent: bytes) -> Resident:
        self.woken.append(agent)
        return Resident(self, agent)

    def fail(self, agent: bytes, turn: int, error: BaseException) -> None:
        self.failed.append(error)

    def add(self, agent: bytes, handler: Any, **kin: Any) -> None:
        self.scheduler.add(agent, self.kind, b"record of " + agent[:1], **kin)
        self.handlers[agent] = handler

    def add_plain(self, agent: bytes) -> None:
        async def handle(message: Any, sender: bytes) -> None:
            self.seen.append((agent[0], message, sender[0]))

        self.add(agent, handle)

    def post(self, to: bytes, message: Any, *, sender: bytes = bytes(32), size: int = 1, **how: Any) -> None:
        parcel = Parcel(self.handlers.get(to), message, sender)
        self.scheduler.deliver(to, parcel, size, sender=sender, **({"reserved": False, "turn": 1} | how))

    def run(self, now_ms: int = 0) -> int:
        return self.scheduler.run(10_000, now_ms)


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
    bench.post(A, 2, size=90)
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
    assert [parcel.message for parcel in bench.scheduler.remove(A)] == [2]
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

    async def look(message: Any, sender: bytes) -> None:
        bench.seen.append(read(page))
        bench.seen.append(bench.scheduler.progress())

    bench.add(A, look)
    for wrong in (bytes(USED), bytearray(USED - 8)):
        with pytest.raises((Malformed, BufferError)):
            bench.scheduler.watch(memoryview(wrong).cast("Q"))
    bench.scheduler.watch(memoryview(page)[:USED].cast("Q"))
    bench.post(A, 1, turn=7)
    bench.post(A, 2, turn=8)
    assert read(page) is None
    bench.run()
    assert bench.seen == [(A, 7, 1), 1, (A, 8, 2), 2]
    assert read(page) is None
    assert bench.scheduler.progress() == 0
    with pytest.raises(Conflict):
        bench.scheduler.watch(memoryview(page)[:USED].cast("Q"))


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


# --- inside one cell -------------------------------------------------------------------------------------------------


def forward(bench: Bench, to: bytes) -> Any:
    async def handle(message: Any, sender: bytes) -> None:
        bench.seen.append(bench.scheduler.send(to, message, 1))

    return handle


def silent(bench: Bench) -> None:
    """Nobody may talk but by kinship or to answer."""
    bench.scheduler.talk([])


def test_only_who_may_talk_is_reached_inside_the_cell() -> None:
    bench = Bench()
    bench.add(A, forward(bench, B))
    bench.add_plain(B)
    bench.post(A, "x")
    bench.run()
    assert bench.seen == [True, (2, "x", 1)]
    silent(bench)
    bench.post(A, "y")
    bench.run()
    assert bench.seen[2:] == [False], "the supervisor decides"


@pytest.mark.parametrize("child_first", [True, False])
def test_parent_and_child_reach_each_other_whichever_came_first(child_first: bool) -> None:
    for sender, receiver, reached in ((A, B, True), (B, A, True), (C, A, False), (A, C, False)):
        bench = Bench()
        silent(bench)
        if child_first:
            bench.add(B, None, parent=A)
            bench.add(A, None, children=[B])
        else:
            bench.add(A, None)
            bench.add(B, None, parent=A)
        bench.add_plain(C)
        bench.handlers[receiver] = forward(bench, receiver)
        bench.handlers[sender] = forward(bench, receiver)
        bench.post(sender, "x")
        bench.scheduler.run(1)
        assert bench.seen == [reached]


def test_who_wrote_may_be_answered_for_an_hour() -> None:
    bench = Bench()
    silent(bench)
    bench.add(A, forward(bench, B))
    bench.add_plain(B)
    bench.scheduler.run(1, 1000)
    bench.post(A, "x", sender=B)
    bench.run(1000 + 3_600_000)
    assert bench.seen == [True, (2, "x", 1)]
    bench.post(A, "x")
    bench.run(1001 + 3_600_000)
    assert bench.seen[2:] == [False]


def test_a_place_that_has_another_tenant_is_no_parent() -> None:
    bench = Bench()
    silent(bench)
    bench.add(A, forward(bench, B))
    bench.add(B, forward(bench, C), parent=A)
    bench.scheduler.remove(A)
    bench.add(C, forward(bench, B))
    bench.post(C, "x")
    bench.run()
    assert bench.seen == [False]


def test_a_context_is_of_use_in_its_own_turn_alone() -> None:
    bench = Bench()
    kept: list[ContextBase] = []

    class Text(Message, volatile=True):
        text: str

    async def keep(me: Resident, ctx: ContextBase, message: Text) -> None:
        for other in kept:
            for use in (lambda other=other: other.send(B, message), lambda other=other: other.sender):
                with pytest.raises(StepOverlap, match="this turn is over"):
                    use()
        kept.append(ctx)
        bench.seen.append(ctx.sender)
        if me.me == A:
            ctx.send(B, message)

    kind = bench.scheduler.behaviour([(Text, keep)])
    bench.scheduler.talk([(kind, kind)])
    for agent in (A, B):
        bench.scheduler.add(agent, kind, b"")
    bench.scheduler.deliver(A, Text("x"), 1, reserved=False)
    bench.run()
    assert bench.failed == []
    assert bench.seen == [None, A]
    with pytest.raises(StepOverlap):
        kept[0].send(B, Text("x"))


def test_an_agent_sleeps_until_its_first_message_and_again_when_it_is_idle() -> None:
    bench = Bench()
    bench.add_plain(A)
    bench.add_plain(B)
    assert (bench.woken, bench.scheduler.awake(), bench.scheduler.resident(A)) == ([], 0, None)
    bench.scheduler.deliver(A, "one", 1, reserved=False)
    bench.run(now_ms=50)
    resident = bench.scheduler.resident(A)
    assert bench.woken == [A]
    assert bench.scheduler.resting(50, 10) == []
    assert bench.scheduler.resting(51, 10) == [A]
    bench.scheduler.deliver(A, "two", 1, reserved=False)
    assert bench.scheduler.resting(51, 10) == [], "something waits for it"
    with pytest.raises(Conflict, match="cannot sleep"):
        bench.scheduler.sleep(A, b"")
    bench.run(now_ms=60)
    assert resident.opened == 1
    bench.scheduler.sleep(A, b"as it is now")
    assert (bench.scheduler.resident(A), bench.scheduler.record(A)) == (None, b"as it is now")
    assert bench.scheduler.resting(1000, 10) == []
    assert bench.scheduler.awake() == 0
    bench.scheduler.deliver(A, "three", 1, reserved=False)
    bench.run(now_ms=70)
    assert bench.woken == [A, A]
    assert [message for _, message, _ in bench.seen] == ["one", "two", "three"]
    assert bench.scheduler.counters(A)[0] == 3, "its counters are not of its object"


def test_a_waiting_turn_keeps_its_agent_awake() -> None:
    bench = Bench()

    async def wait(message: Any, sender: bytes) -> None:
        await Wait()

    bench.add(A, wait)
    bench.post(A, 1)
    bench.run(now_ms=5)
    assert bench.scheduler.resting(1000, 10) == []
    with pytest.raises(Conflict):
        bench.scheduler.sleep(A, b"")


def test_a_state_that_does_not_load_costs_the_message_and_nobody_else() -> None:
    bench = Bench()
    bench.add_plain(A)
    bench.add_plain(B)
    broken = bench.scheduler.awaken(A)
    broken.open = lambda: 1 / 0
    for agent in (A, B):
        bench.scheduler.deliver(agent, "x", 1, reserved=False)
    bench.run()
    assert [type(error) for error in bench.failed] == [ZeroDivisionError]
    assert bench.seen == [(2, "x", 0)]


def test_a_message_that_no_handler_takes_is_a_failure_of_its_receiver() -> None:
    bench = Bench()
    bench.add_plain(A)
    bench.scheduler.deliver(A, 5, 1, reserved=False)
    bench.run()
    assert "no handler for `int`" in str(bench.failed[0])
