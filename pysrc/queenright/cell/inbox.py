"""Volatile mail that came from other cells, on its way into mailboxes.

A message whose receiver's mailbox is full waits here, in its order, and its sender's window stays that much smaller: a flooder
feels its own back-pressure. What got into a mailbox, or can never, is acknowledged. The supervisor bounds what may wait for one
receiver (`supervisor.volatile`), so nothing here can grow without bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from queenright.core.cell import Arrival, Scheduler
from queenright.wire.link import Frame, Taken

__all__ = ["Inbox"]


class Inbox:
    """`deliver(receiver, sender, type, message)` says whether a message that the scheduler did not take at once is dealt with:
    False for a full mailbox.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        deliver: Callable[[bytes, bytes, str, Any], bool],
        send: Callable[[Frame], None],
    ) -> None:
        self._scheduler = scheduler
        self._deliver = deliver
        self._send = send
        # receiver -> (sender, its life, type, message, bytes of ciphertext)
        self._waiting: dict[bytes, deque[tuple[bytes, int, str, Any, int]]] = {}
        self._taken: dict[tuple[bytes, int, bytes], list[int]] = {}

    def arrive(self, arrival: Arrival) -> None:
        """Deliver what there is room for."""
        sender, life = arrival.sender, arrival.life
        taken, left = arrival.deliver(self._scheduler, self._waiting)
        for receiver, messages, size in taken:
            self._take(sender, life, receiver, size, messages)
        for receiver, kind, message, size in left:
            if receiver in self._waiting:
                self._waiting[receiver].append((sender, life, kind, message, size))
            elif self._deliver(receiver, sender, kind, message):
                self._take(sender, life, receiver, size)
            else:
                self._waiting[receiver] = deque([(sender, life, kind, message, size)])
        self._acknowledge()

    def feed(self) -> None:
        """Try again what waits."""
        if not self._waiting:
            return
        for receiver, queue in list(self._waiting.items()):
            while queue:
                sender, life, kind, message, size = queue[0]
                if not self._deliver(receiver, sender, kind, message):
                    break
                queue.popleft()
                self._take(sender, life, receiver, size)
            if not queue:
                del self._waiting[receiver]
        self._acknowledge()

    def forget(self, receiver: bytes) -> None:
        """The agent has left: what waits for it reaches nobody."""
        for sender, life, _, _, size in self._waiting.pop(receiver, ()):
            self._take(sender, life, receiver, size)
        self._acknowledge()

    def _take(self, sender: bytes, life: int, receiver: bytes, size: int, messages: int = 1) -> None:
        taken = self._taken.setdefault((sender, life, receiver), [0, 0])
        taken[0] += messages
        taken[1] += size

    def _acknowledge(self) -> None:
        if self._taken:
            counts = [[*pair, *taken] for pair, taken in self._taken.items()]
            self._taken.clear()
            self._send(Taken(counts))
