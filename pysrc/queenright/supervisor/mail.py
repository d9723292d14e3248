"""Mailboxes: the durable queue of every agent, bounded, with a reserved lane that nothing can crowd out.

The truth is the store; memory holds the head of each queue as (key, bytes, reserved) so that nothing is read before it is
delivered. A key is the agent's id, a lane byte and a u64 sequence, so that scans come in order of arrival and
the reserved lane (stop, undelivered, child-ended, timers, operator) comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from queenright.core import canonical, decode
from queenright.store import Change, Store

__all__ = ["MAILBOX_BYTES", "MAILBOX_MESSAGES", "RUNTIME", "TABLE", "Head", "Mail", "Mailbox"]

TABLE = "mail"
DEAD = "mail.dead"
MAILBOX_MESSAGES = 1000  # design section 6, point 4
MAILBOX_BYTES = 8 * 1024 * 1024
RESERVED = 64  # messages of the reserved lane on top; beyond it even the runtime's own mail is a fault
_DEAD_AT_ONCE = 1000  # rows of one read at a start
RUNTIME = bytes(32)  # the sender id of the runtime's own messages


@dataclass(frozen=True, slots=True)
class Head:
    """A queued message without its body."""

    key: bytes
    size: int
    sender: bytes
    kind: str
    at_ms: int
    reserved: bool


@dataclass(slots=True)
class Mailbox:
    """The queue of one agent."""

    heads: deque[Head] = field(default_factory=deque)
    size: int = 0
    pending: int = 0  # messages and bytes of the commit being put together
    pending_bytes: int = 0

    @property
    def reserved(self) -> int:
        """Messages of the reserved lane: they stand before all others, so counting ends at the first ordinary one."""
        return sum(1 for _ in takewhile(lambda head: head.reserved, self.heads))

    @property
    def ordinary(self) -> int:
        return len(self.heads) - self.reserved


class Mail:
    """Every mailbox. Only those with something in them, or about to be, take any memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._boxes: dict[bytes, Mailbox] = {}
        # One sequence for all mailboxes: it is the order of arrival in each, and no key of one that was emptied comes again.
        self._next = 0

    def load(self) -> None:
        for key, value in self._store.scan(TABLE):
            row = decode(value)
            mail = row["mail"]
            box = self.box(key[:32])
            box.heads.append(Head(key, len(value), mail["sender"], mail["type"], row["t_ms"], key[32] == 0))
            box.size += len(value)
            self._next = max(self._next, int.from_bytes(key[33:], "big") + 1)
        after = None
        while rows := self._store.scan(DEAD, after=after, limit=_DEAD_AT_ONCE):
            self._next = max([self._next, *(int.from_bytes(key[33:], "big") + 1 for key, _ in rows)])
            after = rows[-1][0]

    def box(self, agent: bytes) -> Mailbox:
        """The mailbox, to put something in; `heads` and `count` only look."""
        found = self._boxes.get(agent)
        if found is None:
            found = self._boxes[agent] = Mailbox()
        return found

    def heads(self, agent: bytes) -> Sequence[Head]:
        """What waits, the next one first."""
        box = self._boxes.get(agent)
        return () if box is None else box.heads

    def count(self, agent: bytes) -> int:
        return len(self.heads(agent))

    def waiting(self) -> list[bytes]:
        """Every agent that something waits for."""
        return [agent for agent, box in self._boxes.items() if box.heads]

    def fullest(self) -> int:
        """How many messages the fullest mailbox holds."""
        return max((len(box.heads) for box in self._boxes.values()), default=0)

    def _settle(self, agent: bytes) -> None:
        box = self._boxes.get(agent)
        if box is not None and not box.heads and not box.pending:
            del self._boxes[agent]

    def has_room(self, agent: bytes, size: int, *, reserved: bool = False) -> bool:
        box = self._boxes.get(agent)
        if box is None:
            return reserved or size <= MAILBOX_BYTES
        if reserved:
            return len(box.heads) + box.pending < MAILBOX_MESSAGES + RESERVED
        return (
            box.ordinary + box.pending < MAILBOX_MESSAGES
            and box.size + box.pending_bytes + size <= MAILBOX_BYTES
        )

    def forget_pending(self) -> None:
        """A commit was refused: what it would have queued takes no room."""
        for agent, box in list(self._boxes.items()):
            box.pending = box.pending_bytes = 0
            self._settle(agent)

    def put(self, agent: bytes, mail: dict[str, Any], now_ms: int, *, reserved: bool = False) -> Change:
        """Queue one message. The caller has asked `has_room`; the sequence is taken now and kept even if refused."""
        box = self.box(agent)
        sequence = self._next
        self._next += 1
        body = canonical({"v": 1, "t_ms": now_ms, "mail": mail})
        key = agent + bytes([0 if reserved else 1]) + sequence.to_bytes(8, "big")
        head = Head(key, len(body), mail["sender"], mail["type"], now_ms, reserved)
        box.pending += 1
        box.pending_bytes += head.size

        def applied() -> None:
            box = self.box(agent)
            box.pending = max(0, box.pending - 1)
            box.pending_bytes = max(0, box.pending_bytes - head.size)
            if reserved:  # after the reserved ones already waiting, before everybody else
                box.heads.insert(box.reserved, head)
            else:
                box.heads.append(head)
            box.size += head.size

        return Change((("insert", TABLE, key, body),), applied)

    def head(self, agent: bytes, key: bytes) -> Head:
        """The queued message of that key. Raises LookupError: an open turn names only mail that waits."""
        for head in self.heads(agent):
            if head.key == key:
                return head
        raise LookupError(f"mail {key.hex()} is not queued")

    def read(self, key: bytes) -> dict[str, Any]:
        """The whole message. Raises LookupError for one that is not there."""
        body = self._store.get(TABLE, key)
        if body is None:
            raise LookupError(f"mail {key.hex()} is not stored")
        mail: dict[str, Any] = decode(body)["mail"]
        return mail

    def take(self, agent: bytes, key: bytes) -> Change:
        """The message was consumed: gone with the commit that consumes it."""
        return Change((("delete", TABLE, key),), lambda: self._drop(agent, key))

    def bury(self, agent: bytes, key: bytes, reason: str, now_ms: int) -> Change:
        """To the dead letters, with the reason."""
        body = self._store.get(TABLE, key) or b""
        dead = canonical({"v": 1, "mail": body, "reason": reason, "t_ms": now_ms})
        return Change((("delete", TABLE, key), ("put", DEAD, key, dead)), lambda: self._drop(agent, key))

    def bury_all(self, agent: bytes, reason: str, now_ms: int) -> list[Change]:
        return [self.bury(agent, head.key, reason, now_ms) for head in list(self.heads(agent))]

    def _drop(self, agent: bytes, key: bytes) -> None:
        box = self._boxes.get(agent)
        if box is None:
            return
        for head in box.heads:
            if head.key == key:
                box.heads.remove(head)
                box.size -= head.size
                self._settle(agent)
                return
