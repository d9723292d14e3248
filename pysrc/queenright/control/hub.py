"""What the supervisor tells its watchers, without ever waiting for one.

`Hub.publish` never blocks and never fails: each watcher has a bounded queue in which a newer row replaces
an older one of the same key. A watcher that still falls behind loses its queue and gets one `resync`, which
means: list again. Both are for the event loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from queenright.control.protocol import TOPICS, Event
from queenright.errors import Malformed

__all__ = ["MAX_QUEUED", "Hub", "Subscription", "check_topics"]

# Rows of a screen replace each other by key, so only log lines and leaves pile up: some seconds of a busy
# log.
MAX_QUEUED = 4096
_LOG = "log:agent-"


def check_topics(topics: Iterable[str]) -> frozenset[str]:
    """Known topics only. Raises Malformed."""
    wanted = frozenset(topics)
    for topic in wanted:
        if topic not in TOPICS and not (topic.startswith(_LOG) and len(topic) == len(_LOG) + 64):
            raise Malformed(
                f"no such topic; there are {', '.join(sorted(TOPICS))} and log:<agent id in full>"
            )
    return wanted


class Subscription:
    """One watcher's queue.

    `ready` is handed in and set whenever something waits; `take` empties the queue.
    """

    def __init__(self, ready: asyncio.Event, limit: int = MAX_QUEUED) -> None:
        self.topics: frozenset[str] = frozenset()
        self.seq = 0
        self._ready = ready
        self._limit = limit
        self._queue: dict[tuple[str, str | int], dict[str, Any]] = {}
        self._lost: set[str] = set()
        self._anonymous = 0

    def put(self, topic: str, data: dict[str, Any], key: str | None) -> None:
        """Queue one event; past the limit the whole queue becomes one resync."""
        if topic in self._lost:
            return  # the resync that already waits covers it
        if key is None:
            self._anonymous += 1
        slot = (topic, self._anonymous if key is None else key)
        self._queue.pop(
            slot, None
        )  # a replaced row goes to the end: events keep the order of the last changes
        self._queue[slot] = data
        if len(self._queue) > self._limit:
            self._lost |= {topic for topic, _ in self._queue}
            self._queue.clear()
        self._ready.set()

    def take(self) -> list[Event]:
        """Everything that waits, oldest first; a resync comes before what followed it."""
        events: list[Event] = []
        if self._lost:
            events.append(self._event("resync", {"topics": sorted(self._lost)}))
            self._lost.clear()
        events += [self._event(topic, data) for (topic, _), data in self._queue.items()]
        self._queue.clear()
        return events

    def keep_only(self, topics: frozenset[str]) -> None:
        """Drop what waits on other topics. What waits on these stays: opening a log must not cost an ask."""
        self._queue = {slot: data for slot, data in self._queue.items() if slot[0] in topics}
        self._lost &= topics

    def _event(self, topic: str, data: dict[str, Any]) -> Event:
        self.seq += 1
        return {"topic": topic, "seq": self.seq, "data": data}


class Hub:
    """Every watcher of one supervisor."""

    def __init__(self) -> None:
        self._watchers: set[Subscription] = set()

    def publish(self, topic: str, data: dict[str, Any], key: str | None = None) -> None:
        """Tell whoever watches `topic`. With `key` (an id) a newer event replaces one that still waits."""
        for watcher in self._watchers:
            if topic in watcher.topics:
                watcher.put(topic, data, key)

    def wanted(self, topic: str) -> bool:
        """Whether anybody watches it: rows nobody looks at need not be built."""
        return any(topic in watcher.topics for watcher in self._watchers)

    def watch(self, watcher: Subscription, topics: Iterable[str]) -> None:
        """Let `watcher` have exactly these topics from now on. Raises Malformed."""
        watcher.topics = check_topics(topics)
        watcher.keep_only(watcher.topics)
        self._watchers.add(watcher)

    def leave(self, watcher: Subscription) -> None:
        """Forget a watcher; leaving twice is no error."""
        self._watchers.discard(watcher)
