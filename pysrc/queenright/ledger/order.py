"""What must hold among entries: an end for each start, nothing under what was taken away, no verdict beyond
its uses.

A supervisor that recorded truthfully cannot break these, and one that was made to act wrongly must lie in
its record to keep them; so they are checked by whoever verifies, from the entries alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from queenright.ledger.entry import Agent, Entry

__all__ = ["Order"]

# An undo is an act of its own, by an operator or the agent: it too starts, and ends by one of these.
_ENDS: Final = {
    "action.done": "done",
    "action.failed": "failed",
    "action.unknown": "unknown",
    "action.undone": "done",
    "undo.conflict": "failed",
}
# What makes an end of everything under the id in the entry's field of the same name.
_TAKEN: Final = {
    "intent.revoked": "intent",
    "intent.ended": "intent",
    "grant.revoked": "grant",
    "lease.ended": "lease",
    "agent.ended": "agent",
}


class Order:
    """Follows the entries in order. `follow` says what each contradicts of those before it.

    `uses` says how often a verdict may be used, as far as its signed document was seen; it may still grow.
    """

    def __init__(self, uses: Mapping[bytes, int]) -> None:
        self._actions: dict[bytes, str] = {}
        self._taken: dict[str, dict[bytes, str]] = {
            name: {} for name in ("intent", "grant", "lease", "agent")
        }
        self._above: dict[bytes, bytes] = {}
        self._uses = uses
        self._given: set[bytes] = set()
        self._used: Counter[bytes] = Counter()

    def follow(self, entry: Entry) -> list[str]:
        """Take in the next entry; what it contradicts, in words."""
        wrong = self._action(entry)
        # An operator's undo rests on an order of their own, and may come after everything else has ended.
        if entry.kind == "action.started" and isinstance(entry.actor, Agent):
            wrong += self._authority(entry, entry.actor.id)
        self._remember(entry)
        return wrong

    def open(self) -> list[str]:
        """Actions that started and whose end is not recorded."""
        return self._in_state("started")

    def unknown(self) -> list[str]:
        """Actions whose outcome nobody knows."""
        return self._in_state("unknown")

    def _in_state(self, wanted: str) -> list[str]:
        return [f"act-{id.hex()}" for id, state in self._actions.items() if state == wanted]

    def _action(self, entry: Entry) -> list[str]:
        if entry.action is None or (entry.kind != "action.started" and entry.kind not in _ENDS):
            if entry.kind == "action.started" or entry.kind in _ENDS:
                return [f"{entry.kind} without an action"]
            return []
        id, before = entry.action.id, self._actions.get(entry.action.id)
        if entry.kind == "action.started":
            self._actions[id] = "started"
            return [] if before is None else ["an action that started before starts again"]
        state = _ENDS[entry.kind]
        self._actions[id] = state
        wrong = (
            []
            if entry.result is not None and entry.result.state == state
            else [f"{entry.kind} with another result"]
        )
        # An unknown outcome may be settled later, by a person; any other end is final.
        if before is None:
            wrong.append("an action ends that never started")
        elif before not in ("started", "unknown") or (before == "unknown" and state == "unknown"):
            wrong.append(f"an action that was {before} ends again")
        return wrong

    def _authority(self, entry: Entry, agent: bytes) -> list[str]:
        held: dict[str, list[bytes | None]] = {
            "intent": [entry.intent],
            "lease": [entry.lease],
            "agent": [agent],
            "grant": self._chain(entry.grant),
        }
        wrong = [
            f"an action started under the {name} that had ended by `{self._taken[name][id]}`"
            for name, ids in held.items()
            for id in ids
            if id is not None and id in self._taken[name]
        ]
        if entry.verdict is not None:
            self._used[entry.verdict] += 1
            if entry.verdict not in self._given:
                wrong.append("an action started under a verdict that nobody gave")
            elif self._used[entry.verdict] > self._uses.get(entry.verdict, self._used[entry.verdict]):
                wrong.append(
                    f"an action started under a verdict that was used up ({self._uses[entry.verdict]})"
                )
        return wrong

    def _chain(self, grant: bytes | None) -> list[bytes | None]:
        chain: list[bytes | None] = []
        while grant is not None and grant not in chain:
            chain.append(grant)
            grant = self._above.get(grant)
        return chain

    def _remember(self, entry: Entry) -> None:
        taken = _TAKEN.get(entry.kind)
        if taken is not None:
            id = getattr(entry, taken)
            if id is not None:
                self._taken[taken][id] = entry.kind
        # A grant hangs under that of the agent who bore its holder: an agent's grant has the agent's id.
        if entry.kind == "agent.born" and entry.grant is not None and isinstance(entry.actor, Agent):
            self._above[entry.grant] = entry.actor.id
        if entry.kind == "ask.decided" and entry.verdict is not None and entry.facts.get("answer") != "deny":
            self._given.add(entry.verdict)
