"""Frames at the terminal's pace. Textual queues thirty writes for a slow terminal and then blocks the event loop on it.

So a frame is dropped while earlier ones still wait, and once they are out the whole screen is painted once. What is
dropped is only pictures: keys, events and calls go on.
"""

from __future__ import annotations

import select
from typing import Any, Final, Protocol

__all__ = ["BEHIND", "FRAME_S", "Pace", "hung_up"]

FRAME_S: Final = 0.1
# A frame is up to three writes (begin, picture, end); two frames may wait before the next one is dropped. Far below the
# thirty at which Textual's writer blocks whoever writes.
BEHIND: Final = 6


def hung_up(driver: Any) -> bool:
    """Whether the terminal at the other end is gone. Textual reads on for ever: it takes the end for an empty pipe."""
    fileno = getattr(driver, "fileno", None)
    if not isinstance(fileno, int):
        return False
    poll = select.poll()
    poll.register(fileno, 0)
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


class _Queue(Protocol):
    def qsize(self) -> int: ...


class Pace:
    """Asks the writer how far it is behind, and remembers that a picture was dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._owed = False

    @staticmethod
    def backlog(driver: Any) -> int:
        """How many writes wait. 0 for a driver without a writer thread (headless)."""
        queue: _Queue | None = getattr(getattr(driver, "_writer_thread", None), "_queue", None)
        return queue.qsize() if queue is not None else 0

    def may_write(self, driver: Any) -> bool:
        """Whether a frame may be written now; if not, a whole frame is owed later."""
        if self.backlog(driver) < BEHIND:
            return True
        self.dropped += 1
        self._owed = True
        return False

    def take_owed(self, driver: Any) -> bool:
        """True once, when a whole frame is owed and the writer has caught up."""
        if self._owed and self.backlog(driver) == 0:
            self._owed = False
            return True
        return False
