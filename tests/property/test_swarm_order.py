"""A swarm whose cells die whenever they like: each durable message is handled once, in its sender's order; a volatile one at
most once, and never after a later one of its sender. (A turn that runs again says its volatile messages again: each is a new
one, with a stamp of its own here.)"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from cells import Swarm
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from queenright.agent import Agent, AgentRef, Context, Message, handles
from queenright.core import decode
from queenright.testing.records import AgentRecord

AGENTS = 3
CELLS = 2
HEARD: list[tuple[int, int, int]] = []  # (receiver, sender, stamp) of volatile messages, as handlers saw them
SAID: list[tuple[int, int]] = []  # (sender, stamp), as they were sent
STAMPS = itertools.count()


class Note(Message):
    sender: int
    serial: int
    fails: bool = False


class Whisper(Message, volatile=True):
    sender: int
    stamp: int


class Tell(Message):
    """Send these serials on to that agent, in one turn; perhaps wait within it, or fail after it."""

    to: AgentRef
    serials: tuple[int, ...]
    durable: bool
    sleeps: bool = False
    fails: bool = False


@dataclass
class Diary:
    notes: list[list[int]] = field(default_factory=list)


class Member(Agent):
    state: Diary

    @handles
    async def note(self, ctx: Context, message: Note) -> None:
        self.state.notes.append([message.sender, message.serial])
        if message.fails:
            raise RuntimeError("a handler that raises")

    @handles
    async def whisper(self, ctx: Context, message: Whisper) -> None:
        HEARD.append((ctx.args["n"], message.sender, message.stamp))

    @handles
    async def tell(self, ctx: Context, message: Tell) -> None:
        me = ctx.args["n"]
        half = len(message.serials) // 2 if message.sleeps else len(message.serials)
        self._send(ctx, message, me, message.serials[:half])
        if message.sleeps:
            await ctx.sleep(1)
            self._send(ctx, message, me, message.serials[half:])
        if message.fails:
            raise RuntimeError("nothing of this turn counts")

    def _send(self, ctx: Context, message: Tell, me: int, serials: tuple[int, ...]) -> None:
        for serial in serials:
            if message.durable:
                ctx.send(message.to, Note(me, serial))
            else:
                SAID.append((me, stamp := next(STAMPS)))
                ctx.send(message.to, Whisper(me, stamp))


class Story(RuleBasedStateMachine):
    """Random sends, waits, failures and deaths of cells, against the list of what was sent."""

    agents = Bundle("agents")

    def __init__(self) -> None:
        super().__init__()
        HEARD.clear()
        SAID.clear()
        self.swarm = Swarm(Member)
        self.sent: dict[tuple[int, int], list[int]] = {}
        self.serial = 0
        self.records: list[AgentRecord] = []
        self.poisoned: set[tuple[int, int]] = set()

    @initialize()
    def born(self) -> None:
        cells = [self.swarm.cell() for _ in range(CELLS)]
        self.records = [
            self.swarm.start(Member, cells[n % CELLS], name=f"member-{n}", n=n) for n in range(AGENTS)
        ]

    def serials(self, count: int) -> tuple[int, ...]:
        self.serial += count
        return tuple(range(self.serial - count, self.serial))

    @rule(
        of=st.integers(0, AGENTS - 1), to=st.integers(0, AGENTS - 1), count=st.integers(1, 4), durable=st.booleans(),
        sleeps=st.booleans(), fails=st.sampled_from([False, False, False, True]),
    )  # fmt: skip
    def tell(self, of: int, to: int, count: int, durable: bool, sleeps: bool, fails: bool) -> None:
        serials = self.serials(count)
        target = AgentRef(self.records[to].id)
        if durable:
            # Of a turn that fails, what left with a recorded step stands; the rest is as if it had never been said.
            stands = count if not fails else count // 2 if sleeps else 0
            self.sent.setdefault((of, to), []).extend(serials[:stands])
        self.swarm.send(self.records[of], Tell(target, serials, durable, sleeps, fails))

    @rule(to=st.integers(0, AGENTS - 1))
    def a_message_that_always_fails(self, to: int) -> None:
        serial = self.serials(1)[0]
        self.poisoned.add((to, serial))
        self.swarm.send(self.records[to], Note(99, serial, True))

    @rule(cell=st.integers(0, CELLS - 1))
    def a_cell_dies(self, cell: int) -> None:
        self.swarm.crash(self.swarm.cells[cell][0])

    @rule()
    def time_passes(self) -> None:
        self.swarm.advance(1)

    @invariant()
    def nothing_is_doubled_or_out_of_order(self) -> None:
        for to, record in enumerate(self.records):
            notes = decode(record.state)["notes"] if record.state else []
            assert not [note for note in notes if note[0] == 99], "of a turn that failed nothing counts"
            for of in range(AGENTS):
                handled = [serial for sender, serial in notes if sender == of]
                assert handled == self.sent.get((of, to), [])[: len(handled)]
                heard = [stamp for at, sender, stamp in HEARD if (at, sender) == (to, of)]
                assert heard == sorted(set(heard)), "a volatile message twice or out of order"
                assert {(of, stamp) for stamp in heard} <= set(SAID)

    def teardown(self) -> None:
        """Once nothing waits any more, every durable message has been handled."""
        if not self.records:
            return
        for _ in range(200):
            if not any(record.turn or record.mailbox for record in self.records):
                break
            self.swarm.advance(1)
        for to, record in enumerate(self.records):
            assert record.turn is None
            assert not record.mailbox, "a message was left lying"
            notes = decode(record.state)["notes"] if record.state else []
            for of in range(AGENTS):
                assert [serial for sender, serial in notes if sender == of] == self.sent.get((of, to), [])
            dead = [mail for mail in record.dead if mail["type"].endswith("Note")]
            assert len(dead) == len([1 for at, _ in self.poisoned if at == to]), (
                "what fails for good is kept apart"
            )
        self.nothing_is_doubled_or_out_of_order()


Story.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestStory: Any = Story.TestCase
