"""Turns in a cell: steps, sends, state, failure, and running again with what is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from cells import Swarm

from queenright.agent import (
    Agent,
    AgentRef,
    CallCycle,
    CallTooDeep,
    ChildEnded,
    Context,
    Denied,
    Ended,
    Message,
    StepFailed,
    StepOverlap,
    TimedOut,
    TooManySteps,
    Undelivered,
    Unknown,
    VolatileTurn,
    handles,
)
from queenright.core import canonical, decode
from queenright.errors import Malformed
from queenright.wire.link import Batch, Deliver, End, Evict, Frame, Log, Result, Step, Stop


class Do(Message):
    what: str = ""
    who: AgentRef | None = None
    n: int = 0


class Answer(Message):
    n: int


class Tick(Message, volatile=True):
    n: int = 0


@dataclass
class Memory:
    count: int = 0
    seen: list[str] = field(default_factory=list)


SCRIPT: dict[str, Any] = {}


class Actor(Agent):
    """Does what SCRIPT says under the message's `what`."""

    state: Memory

    @handles
    async def do(self, ctx: Context, message: Do) -> Any:
        return await SCRIPT[message.what](self, ctx, message)

    @handles
    async def tick(self, ctx: Context, message: Tick) -> None:
        self.state.count += message.n
        if "tick" in SCRIPT:
            await SCRIPT["tick"](self, ctx, message)


class Listener(Actor):
    @handles
    async def gone(self, ctx: Context, message: ChildEnded) -> None:
        self.state.seen.append(f"child {message.name}")

    @handles
    async def ended(self, ctx: Context, message: Ended) -> None:
        self.state.seen.append(f"ended {message.name}")

    @handles
    async def back(self, ctx: Context, message: Undelivered) -> None:
        self.state.seen.append(f"back {message.type}: {message.reason}")


@pytest.fixture
def swarm() -> Any:
    SCRIPT.clear()
    return Swarm(Actor, Listener)


def script(name: str) -> Any:
    def keep(fn: Any) -> Any:
        SCRIPT[name] = fn
        return fn

    return keep


def memory(agent: Any) -> Memory:
    return Memory(**decode(agent.state)) if agent.state else Memory()


def frames(swarm: Any, kind: type[Frame]) -> list[Any]:
    return [frame for frame in swarm.runtime.frames if isinstance(frame, kind)]


# --- steps -----------------------------------------------------------------------------------------------------------


def test_each_step_is_recorded_in_order_with_the_sends_before_it(swarm: Any) -> None:
    @script("go")
    async def go(me: Any, ctx: Context, message: Do) -> None:
        ctx.send(ctx.self, Do("nothing"))
        await ctx.now()
        await ctx.random(4)
        ctx.send(ctx.self, Do("nothing"))

    SCRIPT["nothing"] = lambda me, ctx, message: ctx.now()
    agent = swarm.start(Actor)
    swarm.runtime.frames.clear()
    swarm.send(agent, Do("go"))
    first, second, end, *_ = [f for f in swarm.runtime.frames if isinstance(f, Step | End)]
    assert (first.ordinal, first.kind, len(first.ops)) == (0, "now", 1)
    assert (second.ordinal, second.kind, second.ops) == (1, "random", [])
    assert (end.ok, len(end.ops)) == (True, 1)


def test_state_is_written_at_the_end_only_and_only_if_it_changed(swarm: Any) -> None:
    @script("add")
    async def add(me: Any, ctx: Context, message: Do) -> None:
        me.state.count += message.n
        await ctx.now()

    agent = swarm.start(Actor)
    swarm.send(agent, Do("add", n=2))
    assert memory(agent).count == 2
    ends = frames(swarm, End)
    swarm.send(agent, Do("add", n=0))
    assert frames(swarm, End)[len(ends)].state is None


def test_a_turn_that_raises_leaves_neither_state_nor_sends_and_is_tried_again(swarm: Any) -> None:
    tries = []

    @script("bad")
    async def bad(me: Any, ctx: Context, message: Do) -> None:
        tries.append(me.state.count)
        me.state.count += 1
        ctx.send(ctx.self, Do("nothing"))
        raise ValueError("boom")

    agent = swarm.start(Actor)
    swarm.send(agent, Do("bad"))
    assert tries == [0] * 5
    assert agent.state is None or memory(agent).count == 0
    assert agent.sent == []
    assert len(agent.errors) == 5
    assert agent.errors[0].endswith("ValueError: boom")
    assert len(agent.errors[0]) <= 4000
    assert len(agent.dead) == 1
    swarm.send(agent, Do("bad"))
    assert len(agent.dead) == 2  # the agent went on with its next message


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError()])
def test_whatever_a_handler_raises_ends_its_turn_and_nothing_else(swarm: Any, error: BaseException) -> None:
    @script("bad")
    async def bad(me: Any, ctx: Context, message: Do) -> None:
        raise error

    agent = swarm.start(Actor)
    swarm.send(agent, Do("bad"))
    assert type(error).__name__ in agent.errors[0]


def test_an_error_whose_text_raises_is_still_reported(swarm: Any) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    @script("bad")
    async def bad(me: Any, ctx: Context, message: Do) -> None:
        raise Mute

    agent = swarm.start(Actor)
    swarm.send(agent, Do("bad"))
    assert "Mute" in agent.errors[0]


def test_a_denial_reaches_the_handler_with_its_facts(swarm: Any) -> None:
    from queenright.errors import Dimension

    swarm.authority.result = Denied(
        "no",
        verb="svc.restart",
        resource="svc:x",
        dimensions=(Dimension("scope", "intent", "no rule"),),
        amendment="add one",
    )

    @script("act")
    async def act(me: Any, ctx: Context, message: Do) -> None:
        try:
            await ctx.act("svc.restart", "svc:x", reason="why not", times=2)
        except Denied as denied:
            me.state.seen = [denied.verb, denied.dimensions[0].detail, denied.amendment]

    agent = swarm.start(Actor)
    swarm.send(agent, Do("act"))
    assert memory(agent).seen == ["svc.restart", "no rule", "add one"]
    assert agent.acts == [
        {"verb": "svc.restart", "resource": "svc:x", "args": {"times": 2}, "reason": "why not"}
    ]


def test_gather_opens_steps_in_the_order_of_its_arguments_and_waits_for_all(swarm: Any) -> None:
    swarm.authority.pending = True

    @script("both")
    async def both(me: Any, ctx: Context, message: Do) -> None:
        me.state.seen = [str(v) for v in await ctx.gather(ctx.act("a", "r"), ctx.now(), ctx.act("b", "r"))]

    agent = swarm.start(Actor)
    swarm.send(agent, Do("both"))
    assert [request["verb"] for request in agent.acts] == ["a", "b"]
    swarm.answer(agent, 2, "second")
    assert memory(agent).seen == []
    swarm.answer(agent, 0, "first")
    assert memory(agent).seen == ["first", str(swarm.clock.wall_ms()), "second"]


def test_gather_raises_the_first_error_in_argument_order_or_returns_them(swarm: Any) -> None:
    swarm.authority.result = lambda request: (_ for _ in ()).throw(
        Denied(request["verb"], verb="", resource="")
    )

    @script("both")
    async def both(me: Any, ctx: Context, message: Do) -> None:
        found = await ctx.gather(ctx.act("a", "r"), ctx.now(), return_errors=True)
        me.state.seen.append(type(found[0]).__name__)
        try:
            await ctx.gather(ctx.act("a", "r"), ctx.act("b", "r"))
        except Denied as denied:
            me.state.seen.append(denied.message)
        me.state.seen.append(str(await ctx.gather()))

    agent = swarm.start(Actor)
    swarm.send(agent, Do("both"))
    assert memory(agent).seen == ["Denied", "a", "[]"]


def test_a_second_open_step_is_refused(swarm: Any) -> None:
    @script("overlap")
    async def overlap(me: Any, ctx: Context, message: Do) -> None:
        waiting = ctx.sleep(5).__await__()
        next(waiting)
        with pytest.raises(StepOverlap):
            await ctx.now()
        me.state.count = 1

    agent = swarm.start(Actor)
    swarm.send(agent, Do("overlap"))
    assert "StepOverlap" in agent.errors[0]  # and the turn cannot end over an open step either


def test_a_step_is_awaited_once_and_a_ctx_ends_with_its_turn(swarm: Any) -> None:
    kept = []

    @script("keep")
    async def keep(me: Any, ctx: Context, message: Do) -> None:
        step = ctx.now()
        await step
        with pytest.raises(StepOverlap, match="awaited once"):
            await step
        with pytest.raises(StepOverlap, match="awaited once"):
            await ctx.gather(same := ctx.now(), same)
        kept.append(ctx)

    @script("use")
    async def use(me: Any, ctx: Context, message: Do) -> None:
        with pytest.raises(StepOverlap, match="this turn is over"):
            await kept[0].now()
        with pytest.raises(StepOverlap, match="this turn is over"):
            kept[0].send(ctx.self, Do())

    agent = swarm.start(Actor)
    swarm.send(agent, Do("keep"))
    swarm.send(agent, Do("use"))
    assert agent.errors == []


def test_a_turn_has_at_most_a_thousand_steps(swarm: Any) -> None:
    @script("many")
    async def many(me: Any, ctx: Context, message: Do) -> None:
        with pytest.raises(TooManySteps):
            await ctx.gather(*(ctx.now() for _ in range(1001)))
        await ctx.gather(*(ctx.now() for _ in range(1000)))
        with pytest.raises(TooManySteps):
            await ctx.now()

    agent = swarm.start(Actor)
    swarm.send(agent, Do("many"))
    assert agent.errors == []


def test_the_sends_of_a_record_are_bounded(swarm: Any) -> None:
    @script("flood")
    async def flood(me: Any, ctx: Context, message: Do) -> None:
        try:
            for _ in range(10_000):
                ctx.send(ctx.self, Do("x" * 1000))
        except TooManySteps as refused:
            raise ValueError(refused.hint) from None

    @script("large")
    async def large(me: Any, ctx: Context, message: Do) -> None:
        with pytest.raises(Malformed, match="over the limit"):
            ctx.send(ctx.self, Do("x" * 300_000))

    agent = swarm.start(Actor)
    swarm.send(agent, Do("flood"))
    assert "ValueError: await a step" in agent.errors[0]
    swarm.send(agent, Do("large"))
    assert len(agent.errors) == 5


def test_a_volatile_message_that_a_timer_brings_is_a_durable_turn(swarm: Any) -> None:
    @script("tick")
    async def tick(me: Any, ctx: Context, message: Tick) -> None:
        me.state.seen.append(str(await ctx.now()))

    @script("start")
    async def start(me: Any, ctx: Context, message: Do) -> None:
        ctx.every(5, Tick(1))

    agent = swarm.start(Actor)
    swarm.send(agent, Do("start"))
    swarm.advance(5)
    swarm.advance(5)
    assert memory(agent).count == 2
    assert len(memory(agent).seen) == 2


def test_run_records_a_value_or_a_failure(swarm: Any) -> None:
    ran = []

    async def later() -> int:
        import asyncio

        await asyncio.sleep(0)
        return 7

    @script("run")
    async def run(me: Any, ctx: Context, message: Do) -> None:
        me.state.seen.append(str(await ctx.run("a", lambda: ran.append(1) or {"x": [1, 2]})))
        me.state.seen.append(str(await ctx.run("b", later)))
        for fn in (lambda: 1 / 0, lambda: object(), lambda: "x" * 100_000):
            try:
                await ctx.run("c", fn)
            except StepFailed as error:
                me.state.seen.append(error.message[:30])

    agent = swarm.start(Actor)
    swarm.send(agent, Do("run"))
    assert memory(agent).seen[:2] == ["{'x': [1, 2]}", "7"]
    assert "ZeroDivisionError" in memory(agent).seen[2]
    assert len(memory(agent).seen) == 5
    assert ran == [1]


# --- running again ---------------------------------------------------------------------------------------------------


def test_a_turn_that_is_run_again_gets_what_it_recorded_and_repeats_nothing(swarm: Any) -> None:
    swarm.authority.result = lambda request: {"n": len(ran)}
    ran: list[int] = []

    @script("work")
    async def work(me: Any, ctx: Context, message: Do) -> None:
        ctx.send(ctx.self, Do("nothing"))
        child = await ctx.spawn(Actor, name="kid")
        reply = await ctx.call(child, Do("kid"))
        stamp = await ctx.random(8)
        made = await ctx.run("local", lambda: ran.append(1) or len(ran))
        timer = ctx.after(600, Do("nothing"))
        found = await ctx.act("metrics.read", "svc:x")
        await ctx.sleep(100)  # the cell dies here
        me.state.seen = [child.name, str(reply.n), stamp.hex(), str(made), str(found["n"]), timer.hex()]

    @script("kid")
    async def kid(me: Any, ctx: Context, message: Do) -> Answer:
        return Answer(4)

    @script("nothing")
    async def nothing(me: Any, ctx: Context, message: Do) -> None:
        me.state.count += 1

    agent = swarm.start(Actor)
    swarm.send(agent, Do("work"))
    steps, sent = len(frames(swarm, Step)), list(agent.sent)
    before = len(swarm.runtime.agents)
    swarm.crash(agent.cell)
    assert ran == [1]
    swarm.advance(100)
    assert agent.errors == []
    assert memory(agent).seen[:2] == ["actor/kid", "4"]
    assert memory(agent).seen[3:5] == ["1", "1"]
    assert len(frames(swarm, Step)) == steps
    assert agent.sent == sent
    assert len(swarm.runtime.agents) == before
    assert memory(agent).count == 1


def test_a_step_that_was_open_is_not_asked_for_again(swarm: Any) -> None:
    swarm.authority.pending = True

    @script("ask")
    async def ask(me: Any, ctx: Context, message: Do) -> None:
        first, second = await ctx.gather(ctx.act("a", "r"), ctx.act("b", "r"))
        me.state.seen = [first, second]

    agent = swarm.start(Actor)
    swarm.send(agent, Do("ask"))
    swarm.answer(agent, 0, "one")
    swarm.crash(agent.cell)
    assert len(frames(swarm, Step)) == 2
    swarm.answer(agent, 1, "two")
    assert memory(agent).seen == ["one", "two"]


def test_an_answer_that_comes_before_the_step_is_reached_again_is_kept(swarm: Any) -> None:
    swarm.authority.pending = True

    @script("ask")
    async def ask(me: Any, ctx: Context, message: Do) -> None:
        me.state.seen = [await ctx.act("a", "r")]

    agent = swarm.start(Actor)
    swarm.send(agent, Do("ask"))
    swarm.runtime.cell_died(agent.cell)
    swarm.cells.clear()
    fresh = swarm.cell()
    swarm.runtime.host(agent, fresh)  # Host and Deliver wait in the link; the answer comes right behind them
    swarm.answer(agent, 0, "early")
    assert memory(agent).seen == ["early"]


@pytest.mark.parametrize("change", ["kind", "request", "send", "fewer", "more", "caught"])
def test_a_run_that_differs_from_its_record_is_reported_with_both_sides(swarm: Any, change: str) -> None:
    swarm.authority.pending = True
    again = []

    @script("drift")
    async def drift(me: Any, ctx: Context, message: Do) -> None:
        if not again:
            await ctx.now()
            await ctx.act("a", "r")
        elif change == "kind":
            await ctx.random(3)
        elif change == "request":
            await ctx.now()
            await ctx.act("other", "r")
        elif change == "send":
            ctx.send(ctx.self, Do())
            await ctx.now()
        elif change == "fewer":
            return
        elif change == "more":
            await ctx.gather(ctx.now(), ctx.now(), ctx.now())
        else:
            with pytest.raises(Exception):  # noqa: B017 - a behaviour that swallows everything
                await ctx.random(3)

    agent = swarm.start(Actor)
    swarm.send(agent, Do("drift"))
    again.append(1)
    swarm.crash(agent.cell)
    assert agent.errors[0].startswith("mismatch: step ")
    assert "`now`" in agent.errors[0] or "`act`" in agent.errors[0]


def test_where_a_receiver_lives_is_no_part_of_what_is_matched(swarm: Any) -> None:
    """A message travels plain inside a cell and sealed outside; the agent may have moved between two runs."""
    here, there = swarm.cell(), swarm.cell()
    other = swarm.start(Listener, here, name="other")
    agent = swarm.start(Actor, here)

    @script("tell")
    async def tell(me: Any, ctx: Context, message: Do) -> None:
        assert message.who is not None
        ctx.send(message.who, Do("nothing"))
        await ctx.call(message.who, Do("nothing"))
        await ctx.sleep(10)
        me.state.count += 1

    async def nothing(me: Any, ctx: Context, message: Do) -> None:
        return None

    SCRIPT["nothing"] = nothing
    swarm.send(agent, Do("tell", AgentRef(other.id)))
    swarm.runtime.evict(other)
    swarm.runtime.host(other, there)
    swarm.run()
    swarm.crash(here)
    swarm.advance(10)
    assert agent.errors == []
    assert memory(agent).count == 1


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_call_back_into_the_chain_and_a_chain_too_deep_are_refused(swarm: Any) -> None:
    @script("self")
    async def to_self(me: Any, ctx: Context, message: Do) -> None:
        with pytest.raises(CallCycle):
            await ctx.call(ctx.self, Do())
        me.state.count += 1

    agent = swarm.start(Actor)
    swarm.send(agent, Do("self"))
    mail = swarm.mail(Do("self"), None) | {"chain": [bytes([n]) * 32 for n in range(1, 17)]}

    @script("self")
    async def deep(me: Any, ctx: Context, message: Do) -> None:
        with pytest.raises(CallCycle):
            await ctx.call(b"\x01" * 32, Do())
        with pytest.raises(CallTooDeep):
            await ctx.call(b"\x99" * 32, Do())
        me.state.count += 1

    swarm.runtime.post(agent.id, mail)
    swarm.run()
    assert agent.errors == []
    assert memory(agent).count == 2


def test_a_call_that_nobody_answers_times_out(swarm: Any) -> None:
    @script("call")
    async def call(me: Any, ctx: Context, message: Do) -> None:
        assert message.who is not None
        try:
            await ctx.call(message.who, Do("hang"), timeout=2)
        except TimedOut:
            me.state.seen.append("timed out")
        try:
            await ctx.call(b"\x77" * 32, Do("hang"))
        except Unknown:
            me.state.seen.append("unknown")

    @script("hang")
    async def hang(me: Any, ctx: Context, message: Do) -> None:
        await ctx.sleep(100)

    other = swarm.start(Actor, name="other")
    agent = swarm.start(Actor)
    swarm.send(agent, Do("call", AgentRef(other.id)))
    swarm.advance(2)
    assert memory(agent).seen == ["timed out", "unknown"]


def test_a_handler_answers_with_a_message_or_none(swarm: Any) -> None:
    @script("number")
    async def number(me: Any, ctx: Context, message: Do) -> Any:
        return 5

    @script("none")
    async def none(me: Any, ctx: Context, message: Do) -> Any:
        return None

    agent = swarm.start(Actor)
    assert swarm.call(agent, Do("none")) is None
    swarm.send(agent, Do("number"))
    assert "returned a int" in agent.errors[0]


# --- volatile --------------------------------------------------------------------------------------------------------


def test_volatile_messages_in_a_cell_pass_as_objects_and_leave_no_frame(swarm: Any) -> None:
    @script("tell")
    async def tell(me: Any, ctx: Context, message: Do) -> None:
        assert message.who is not None
        await ctx.spawn(Actor, name="kid")
        for n in range(3):
            ctx.send((await ctx.discover(behaviour="pkg.Actor"))[0].agent, Tick(n))

    kept = []

    @script("tick")
    async def tick(me: Any, ctx: Context, message: Tick) -> None:
        kept.append((ctx.sender.name if ctx.sender else "", message.n, me.state.count))

    agent = swarm.start(Listener)
    before = len(frames(swarm, End))
    swarm.send(agent, Do("tell", AgentRef(agent.id)))
    assert kept == [("listener", 0, 0), ("listener", 1, 1), ("listener", 2, 3)]
    assert len(frames(swarm, End)) == before + 2  # the parent's turn and the child's start


def test_a_volatile_message_to_somebody_not_known_here_goes_through_the_supervisor(swarm: Any) -> None:
    """Both live in this cell, but who may write to whom is the supervisor's to say."""

    @script("tell")
    async def tell(me: Any, ctx: Context, message: Do) -> None:
        assert message.who is not None
        ctx.send(message.who, Tick(5))
        ctx.send(bytes(32), Tick(5))

    kept = []

    @script("tick")
    async def tick(me: Any, ctx: Context, message: Tick) -> None:
        kept.append(message.n)

    other = swarm.start(Actor, name="other")
    agent = swarm.start(Actor)
    swarm.send(agent, Do("tell", AgentRef(other.id)))
    assert kept == [5]
    assert len(frames(swarm, Batch)) == 1
    assert agent.sent == []  # which is of durable messages
    assert "1 volatile messages reached nobody" in str(agent.logs)


def test_a_volatile_turn_records_nothing_and_says_so(swarm: Any) -> None:
    @script("tick")
    async def tick(me: Any, ctx: Context, message: Tick) -> None:
        for wrong in (
            lambda: ctx.send(ctx.self, Do()),
            lambda: ctx.after(1, Do()),
            lambda: ctx.stop(),
            lambda: ctx.monitor(ctx.self),
            lambda: ctx.spawn(Actor),
        ):
            with pytest.raises(VolatileTurn):
                wrong()
        for step in (ctx.now(), ctx.act("a", "r"), ctx.call(b"\x05" * 32, Do())):
            with pytest.raises(VolatileTurn, match="records nothing"):
                await step
        me.state.count += 100

    @script("look")
    async def look(me: Any, ctx: Context, message: Do) -> None:
        me.state.seen.append("looked")

    agent = swarm.start(Actor)
    swarm.process(agent.cell).receive(Deliver(agent.id, 0, 1, swarm.mail(Tick(1), agent), []))
    swarm.run()
    assert [log for log in agent.logs if log[0] == "error"] == []
    swarm.send(agent, Do("look"))
    assert memory(agent).count == 101  # what a volatile turn changed is durable with the next durable turn


def test_a_volatile_handler_that_raises_costs_its_message_and_the_state_in_memory(swarm: Any) -> None:
    @script("tick")
    async def tick(me: Any, ctx: Context, message: Tick) -> None:
        raise ValueError("no")

    @script("look")
    async def look(me: Any, ctx: Context, message: Do) -> None:
        me.state.seen.append("looked")

    agent = swarm.start(Actor)
    swarm.process(agent.cell).receive(Deliver(agent.id, 0, 1, swarm.mail(Tick(5), agent), []))
    swarm.run()
    assert any(level == "error" and "ValueError: no" in text for level, text in agent.logs)
    swarm.send(agent, Do("look"))
    assert memory(agent).count == 0


# --- lives -----------------------------------------------------------------------------------------------------------


def test_relatives_hear_of_an_end_and_of_what_cannot_be_delivered(swarm: Any) -> None:
    @script("found")
    async def found(me: Any, ctx: Context, message: Do) -> None:
        kid = await ctx.spawn(Actor, name="kid")
        ctx.send(kid, Do("leave"))
        ctx.send(b"\x66" * 32, Do("x"))
        if message.who is not None:
            ctx.monitor(message.who)
            ctx.send(message.who, Do("leave"))

    @script("leave")
    async def leave(me: Any, ctx: Context, message: Do) -> None:
        ctx.stop()

    other = swarm.start(Actor, name="other")
    agent = swarm.start(Listener)
    swarm.send(agent, Do("found", AgentRef(other.id)))
    assert sorted(memory(agent).seen)[1:] == ["child listener/kid", "ended other"]
    assert memory(agent).seen[0].startswith("back ") or "no such agent" in str(memory(agent).seen)
    assert other.ended


def test_the_runtimes_word_without_a_handler_is_let_go(swarm: Any) -> None:
    agent = swarm.start(Actor)
    facts = {"agent": b"\x01" * 32, "name": "kid", "reason": "done", "error": ""}
    swarm.runtime.post(agent.id, swarm.runtime.runtime_mail("queenright.ChildEnded", facts))
    swarm.run()
    assert agent.errors == []
    assert any("not handled" in text for _, text in agent.logs)


def test_nobody_but_the_runtime_can_say_the_runtimes_words(swarm: Any) -> None:
    other = swarm.start(Actor, name="other")
    agent = swarm.start(Listener)
    facts = {"agent": b"\x01" * 32, "name": "kid", "reason": "forged", "error": ""}
    forged = swarm.runtime.runtime_mail("queenright.ChildEnded", facts) | {"sender": other.id}
    swarm.runtime.post(agent.id, forged)
    swarm.run()
    assert memory(agent).seen == []
    assert "the runtime's to send" in agent.errors[0]


def test_a_message_nobody_handles_is_an_error_that_names_it(swarm: Any) -> None:
    agent = swarm.start(Actor)
    swarm.send(agent, Answer(1))
    assert "no handler for `" in agent.errors[0]
    assert "@handles" in agent.errors[0]


def test_stop_discards_the_open_turn_and_runs_on_stop_once(swarm: Any) -> None:
    seen = []

    @script("hang")
    async def hang(me: Any, ctx: Context, message: Do) -> None:
        try:
            await ctx.sleep(1000)
        finally:
            seen.append("closed")

    async def on_stop(self: Any, ctx: Context) -> None:
        seen.append(f"stopped with {self.state.count}")
        await ctx.now()

    agent = swarm.start(Actor)
    Actor.on_stop = on_stop  # type: ignore[method-assign]
    try:
        swarm.send(agent, Do("hang"))
        swarm.runtime.stop(agent)
        swarm.run()
    finally:
        del Actor.on_stop
    assert seen == ["closed", "stopped with 0"]
    assert agent.ended
    assert agent.id not in swarm.process(swarm.cells[0][0]).scheduler


def test_evict_forgets_an_agent_at_once_and_late_answers_are_dropped(swarm: Any) -> None:
    @script("hang")
    async def hang(me: Any, ctx: Context, message: Do) -> None:
        await ctx.sleep(1000)

    agent = swarm.start(Actor)
    swarm.send(agent, Do("hang"))
    process = swarm.process(agent.cell)
    process.receive(Evict(agent.id))
    process.receive(Evict(agent.id))
    assert agent.id not in process.scheduler
    with pytest.raises(Malformed, match="does not live in this cell"):
        process.receive(Result(agent.id, 1, 0, True, canonical(None), None))


def test_a_stale_answer_is_dropped(swarm: Any) -> None:
    agent = swarm.start(Actor)
    process = swarm.process(agent.cell)
    process.receive(Result(agent.id, 99, 0, True, canonical(None), None))
    swarm.run()
    assert agent.errors == []


def test_frames_the_supervisor_never_sends_are_refused(swarm: Any) -> None:
    agent = swarm.start(Actor)
    process = swarm.process(agent.cell)
    mail = swarm.mail(Do(), None)
    for wrong in (
        Log(agent.id, "info", "x"),
        Stop(b"\x88" * 32, 1, ""),
        Deliver(b"\x88" * 32, 1, 1, mail, []),
        Deliver(agent.id, 2, 1, mail | {"extra": 1}, []),
        Deliver(agent.id, 2, 1, mail | {"sealed": {}}, []),
        Deliver(agent.id, 2, 1, mail | {"body": None}, []),
        Deliver(agent.id, 2, 1, mail | {"chain": [1]}, []),
        Deliver(agent.id, 2, 1, mail, [{"ordinal": 0}]),
    ):
        with pytest.raises(Malformed):
            process.receive(wrong)
