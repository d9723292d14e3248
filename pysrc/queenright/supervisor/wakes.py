"""Agents that wait for a cell of their own: first come first served within an intent, and intents in turn."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Wakes"]


class Wakes:
    """An agent waits once. `next` gives each waiting intent one place before any gets its second."""

    def __init__(self) -> None:
        # Dicts as ordered sets: an agent that ends while it waits leaves without a search.
        self._of: OrderedDict[bytes, OrderedDict[bytes, None]] = OrderedDict()
        self._intents: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._intents)

    def add(self, intent: bytes, agent: bytes) -> None:
        """Behind the others of its intent. One that waits already keeps its place."""
        if agent not in self._intents:
            self._intents[agent] = intent
            self._of.setdefault(intent, OrderedDict())[agent] = None

    def again(self, intent: bytes, agent: bytes) -> None:
        """Before the others of its intent, for one whose cell could not be started."""
        self.add(intent, agent)
        self._of[intent].move_to_end(agent, last=False)

    def next(self) -> bytes | None:
        """Take out whose turn it is; None if nobody waits."""
        if not self._of:
            return None
        intent, agents = self._of.popitem(last=False)
        agent, _ = agents.popitem(last=False)
        del self._intents[agent]
        if agents:
            self._of[intent] = agents
        return agent

    def discard(self, agent: bytes) -> None:
        """It waits no more."""
        intent = self._intents.pop(agent, None)
        if intent is not None:
            agents = self._of[intent]
            del agents[agent]
            if not agents:
                del self._of[intent]
