"""A batch goes into the mailboxes in one call, and what does not go comes back in its order; a bag that is open takes what its
agent sends elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from queenright.agent import Message
from queenright.core import SigningKey
from queenright.core.cell import Arrival, ContextBase, Opener, Scheduler, Sealer
from queenright.core.host import Packet, sealing_keypair
from queenright.errors import Conflict, MailboxFull, Malformed

RUNTIME, SENDER, ONE, TWO, AWAY = (bytes([n]) * 32 for n in (9, 1, 2, 3, 4))
KEY = SigningKey.from_seed(b"k" * 32)
BAG = 4


class Said(Message, volatile=True):
    n: int


class Resident:
    def __init__(self, cell: Cell, agent: bytes) -> None:
        self.cell, self.me = cell, agent

    def open(self) -> tuple[Any, ContextBase]:
        return self, ContextBase(self.cell, self.cell.scheduler, self.me)


class Cell:
    """A scheduler whose agents note what they get, or do what `does` says; `asked` is what came to Python to be sent."""

    def __init__(self, *agents: bytes, **limits: int) -> None:
        self.scheduler = Scheduler(lambda agent: Resident(self, agent), self.fail, bytes, **limits)
        self.seen: list[tuple[bytes, int]] = []
        self.asked: list[int] = []
        self.failed: list[BaseException] = []
        self.does: Callable[[ContextBase], None] = lambda ctx: None

        async def hear(me: Resident, ctx: ContextBase, message: Said) -> None:
            self.seen.append((me.me, message.n))
            self.does(ctx)

        self.kind = self.scheduler.behaviour([(Said, hear)])
        for agent in agents:
            self.scheduler.add(agent, self.kind, b"")

    def fail(self, agent: bytes, turn: int, error: BaseException) -> None:
        self.failed.append(error)


class Context(ContextBase):
    """What of a context is Python: here it only notes what it was asked."""

    def _send(self, agent: bytes, message: Said) -> None:
        self._turn.asked.append(message.n)


def new_sealer(messages: int = 100) -> Sealer:
    sealer = Sealer(RUNTIME, SENDER, 1, messages, 1 << 20, BAG)
    for receiver in (ONE, TWO, AWAY):
        sealer.learn(receiver, sealing_keypair(b"u" * 32, receiver, 0)[1], 0, 1, receiver)
    return sealer


def arrival(*sends: tuple[bytes, int], find: Callable[[str], Any] = lambda name: Said) -> Arrival:
    sealer = new_sealer()
    for to, n in sends:
        sealer.add(to, Said(n))
    sealer.cut()
    opener = Opener(RUNTIME)
    opener.introduce(SENDER, 1, KEY.public_key)
    for receiver in (ONE, TWO, AWAY):
        opener.give_key(receiver, 0, sealing_keypair(b"u" * 32, receiver, 0)[0])
    return opener.open_packet(sealer.seal_bag(KEY, bytes(16 * len(sends))), find)


def weight(n: int = 1) -> int:
    pair = arrival((ONE, n)).messages
    return pair[0][3]


def test_a_batch_is_delivered_in_order_and_counted_for_each_receiver() -> None:
    cell = Cell(ONE, TWO)
    came = arrival((ONE, 1), (TWO, 2), (ONE, 3))
    assert (came.sender, came.life, len(came.messages)) == (SENDER, 1, 3)
    assert came.deliver(cell.scheduler, {}) == ([(ONE, 2, 2 * weight()), (TWO, 1, weight())], [])
    assert came.messages == []
    cell.scheduler.run()
    assert [n for agent, n in cell.seen if agent == ONE] == [1, 3]
    assert [n for agent, n in cell.seen if agent == TWO] == [2]


def test_behind_what_a_full_mailbox_hands_back_nothing_for_the_same_receiver_overtakes() -> None:
    cell = Cell(ONE, TWO, mailbox_messages=1)
    taken, left = arrival((ONE, 1), (ONE, 2), (TWO, 5), (ONE, 3)).deliver(cell.scheduler, {})
    assert taken == [(ONE, 1, weight()), (TWO, 1, weight())]
    assert [(to, message.n) for to, _, message, _ in left] == [(ONE, 2), (ONE, 3)]


def test_a_receiver_for_whom_something_waits_gets_nothing_before_it() -> None:
    cell = Cell(ONE, TWO)
    taken, left = arrival((ONE, 1), (TWO, 2)).deliver(cell.scheduler, {ONE: object()})
    assert taken == [(TWO, 1, weight())]
    assert [(to, message.n) for to, _, message, _ in left] == [(ONE, 1)]


def test_mail_for_who_does_not_live_here_and_what_was_refused_comes_back() -> None:
    cell = Cell(ONE)
    taken, left = arrival((AWAY, 1), (ONE, 2)).deliver(cell.scheduler, {})
    assert taken == [(ONE, 1, weight())]
    assert [(to, message.n) for to, _, message, _ in left] == [(AWAY, 1)]
    taken, left = arrival((ONE, 1), find=lambda name: None).deliver(cell.scheduler, {})
    assert taken == []
    assert [type(refused) for _, _, refused, _ in left] == [Malformed]


def writing(cell: Cell, to: bytes, *numbers: int) -> None:
    """The agent ONE sends these when it hears something."""

    def does(ctx: ContextBase) -> None:
        for n in numbers:
            Context(cell, cell.scheduler, ONE).send(to, Said(n))

    cell.does = does
    cell.scheduler.deliver(ONE, Said(0), 1, reserved=False)
    cell.scheduler.run()


def test_mail_elsewhere_joins_an_open_bag_in_order_and_opens_or_fills_none() -> None:
    cell = Cell(ONE)
    sealer = new_sealer()
    writing(cell, AWAY, 1)
    assert cell.asked == [1], "no sealer is known yet"
    sealer.add(AWAY, Said(1))
    cell.scheduler.seal_with(ONE, sealer)
    writing(cell, AWAY, 2, 3, 4)
    assert cell.asked == [1, 4], "the message that fills the bag is the post office's"
    sealer.cut()
    packet = Packet.parse(sealer.seal_bag(KEY, bytes(16 * 3)))
    assert packet.count == 3
    writing(cell, AWAY, 5)
    assert cell.asked == [1, 4, 5], "the bag is closed"


def test_what_an_open_bag_does_not_take_any_more_comes_back_to_the_handler() -> None:
    cell = Cell(ONE)
    sealer = new_sealer(messages=1)
    sealer.add(AWAY, Said(1))
    cell.scheduler.deliver(ONE, Said(0), 1, reserved=False)
    cell.scheduler.run()  # awake
    cell.scheduler.seal_with(ONE, sealer)
    writing(cell, AWAY, 2)
    assert [type(error) for error in cell.failed] == [MailboxFull]
    assert cell.failed[0].undelivered.n == 2  # type: ignore[attr-defined]


def test_who_lives_here_but_is_out_of_reach_is_left_to_the_supervisor() -> None:
    cell = Cell(ONE, TWO)
    sealer = new_sealer()
    sealer.add(AWAY, Said(1))
    writing(cell, ONE)
    cell.scheduler.seal_with(ONE, sealer)
    writing(cell, TWO, 7)
    assert cell.asked == [7]


def test_a_run_ends_early_when_something_comes_on_the_link() -> None:
    near, far = os.pipe()
    cell = Cell(ONE)
    cell.scheduler.heed(near)
    with pytest.raises(Conflict, match="already"):
        cell.scheduler.heed(near)
    for n in range(100):
        cell.scheduler.deliver(ONE, Said(n), 1, reserved=False)
    cell.does = lambda ctx: os.write(far, b"x") and None  # type: ignore[assignment]
    assert cell.scheduler.run(100) == 32
    os.read(near, 100)
    cell.does = lambda ctx: None
    assert cell.scheduler.run(100) == 68
    os.close(near)
    os.close(far)


def test_a_descriptor_that_is_not_open_is_not_heeded() -> None:
    with pytest.raises(OSError):
        Cell().scheduler.heed(1_000_000)
