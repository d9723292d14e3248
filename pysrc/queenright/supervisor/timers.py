"""Durable timers: rows that fire as messages in the reserved lane. `every` never piles up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queenright.core import canonical, decode
from queenright.errors import Malformed, QueenrightError
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.alarms import Alarm
from queenright.supervisor.mail import RUNTIME
from queenright.supervisor.post import runtime_mail

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["TABLE", "Timers"]

TABLE = "timer"  # agent + 16-byte id
MINIMUM_EVERY_MS = 50  # a faster tick is a busy loop with extra steps
MAX_PER_AGENT = 64
LATER_MS = 1000


class Timers:
    """All timers of all agents."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._rows: dict[bytes, dict[str, Any]] = {}
        self._of: dict[bytes, set[bytes]] = {}  # keys by agent
        self._alarms: dict[bytes, Alarm] = {}

    def load(self) -> None:
        """Those due while we were down fire once, now."""
        for key, value in self._rt.store.scan(TABLE):
            self._keep(key, decode(value))

    def _keep(self, key: bytes, row: dict[str, Any]) -> None:
        self._rows[key] = row
        self._of.setdefault(key[:32], set()).add(key)
        self._arm(key)

    def _arm(self, key: bytes) -> None:
        self._alarms[key] = self._rt.alarms.at_wall(self._rows[key]["due_ms"], lambda: self._fire(key))

    def set(self, agent: Agent, op: dict[str, Any]) -> Change:
        """From an op of a turn record. Raises Malformed on shapes no cell of ours would send."""
        shape = {"op": str, "id": bytes, "after_ms": int, "type": str, "body": bytes}
        if op.keys() != shape.keys() | {"every_ms"} or any(type(op[k]) is not v for k, v in shape.items()):
            raise Malformed("a timer has an id, a delay, a type and a body")
        if (
            len(op["id"]) != 16
            or op["after_ms"] < 0
            or not (op["every_ms"] is None or type(op["every_ms"]) is int)
        ):
            raise Malformed("a timer's id has 16 bytes and its delay is not negative")
        if len(self._of.get(agent.id, ())) >= MAX_PER_AGENT:
            reason = f"an agent has at most {MAX_PER_AGENT} timers"
            body = {"to": agent.id, "type": op["type"], "body": op["body"], "reason": reason}
            mail = runtime_mail("queenright.Undelivered", body)
            return self._rt.mail.put(agent.id, mail, self._rt.clock.wall_ms(), reserved=True)
        every = None if op["every_ms"] is None else max(MINIMUM_EVERY_MS, op["every_ms"])
        row = {
            "v": 1,
            "due_ms": self._rt.clock.wall_ms() + op["after_ms"],
            "every_ms": every,
            "type": op["type"],
            "body": op["body"],
            "queued": b"",
        }
        key = agent.id + op["id"]

        def applied() -> None:
            self._keep(key, row)

        return Change((("put", TABLE, key, canonical(row)),), applied)

    def cancel(self, agent: Agent, op: dict[str, Any]) -> Change:
        """Cancelling a timer that is gone is no error: it may have fired this instant."""
        if op.keys() != {"op", "id"} or not isinstance(op["id"], bytes) or len(op["id"]) != 16:
            raise Malformed("a cancel names a timer by its 16-byte id")
        return self._remove(agent.id + op["id"])

    def _remove(self, key: bytes) -> Change:
        def applied() -> None:
            self._rows.pop(key, None)
            mine = self._of.get(key[:32], set())
            mine.discard(key)
            if not mine:
                self._of.pop(key[:32], None)
            alarm = self._alarms.pop(key, None)
            if alarm is not None:
                alarm.cancel()

        return Change((("delete", TABLE, key),), applied)

    def remove_all(self, agent: bytes) -> list[Change]:
        return [self._remove(key) for key in list(self._of.get(agent, ()))]

    def _fire(self, key: bytes) -> None:
        try:
            self._due(key)
        except QueenrightError:
            # The disk is full, say: the tick is late, not lost.
            self._alarms[key] = self._rt.alarms.after(LATER_MS, lambda: self._fire(key))
            raise

    def _due(self, key: bytes) -> None:
        row = self._rows.get(key)
        agent = self._rt.agents.find(key[:32])
        if row is None or agent is None or agent.ended:
            return
        waiting = any(head.key == row["queued"] for head in self._rt.mail.heads(agent.id))
        changes: list[Change] = []
        if not waiting and self._rt.mail.has_room(agent.id, len(row["body"]), reserved=True):
            mail = {
                "id": key[32:],
                "sender": RUNTIME,
                "sender_name": "timer",
                "type": row["type"],
                "body": row["body"],
                "sealed": None,
                "call": None,
                "chain": [],
            }
            change = self._rt.mail.put(agent.id, mail, self._rt.clock.wall_ms(), reserved=True)
            changes.append(change)
            row = row | {"queued": change.records[0][2]}
        if row["every_ms"] is None:
            changes.append(self._remove(key))
        else:
            # The next tick counts from now: after a pause there is one tick, not a burst of the missed ones.
            row = row | {"due_ms": self._rt.clock.wall_ms() + row["every_ms"]}
            later = row

            def applied() -> None:
                self._keep(key, later)

            changes.append(Change((("put", TABLE, key, canonical(row)),), applied))
        self._rt.commit(*changes)
        self._rt.turns.pump(agent.id)
