"""Pictures are dropped while the terminal is behind, and one whole picture is owed for them."""

from __future__ import annotations

from queue import Queue
from types import SimpleNamespace

from textual.drivers._writer_thread import MAX_QUEUED_WRITES

from queenright_tui.pace import BEHIND, Pace


def driver(waiting: int) -> SimpleNamespace:
    queue: Queue[str] = Queue()
    for _ in range(waiting):
        queue.put("picture")
    return SimpleNamespace(_writer_thread=SimpleNamespace(_queue=queue))


def test_a_picture_is_dropped_long_before_the_writer_blocks() -> None:
    pace = Pace()
    assert BEHIND + 3 < MAX_QUEUED_WRITES
    assert pace.may_write(driver(BEHIND - 1))
    assert not pace.take_owed(driver(0))
    assert not pace.may_write(driver(BEHIND))
    assert pace.dropped == 1


def test_one_whole_picture_is_owed_once_the_terminal_has_caught_up() -> None:
    pace = Pace()
    pace.may_write(driver(BEHIND))
    pace.may_write(driver(BEHIND))
    assert not pace.take_owed(driver(1))
    assert pace.take_owed(driver(0))
    assert not pace.take_owed(driver(0))


def test_without_a_writer_nothing_is_dropped() -> None:
    assert Pace().may_write(None)
    assert Pace().may_write(SimpleNamespace())
