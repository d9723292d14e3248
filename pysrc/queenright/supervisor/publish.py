"""Telling watchers: changed rows are marked and sent at most ten times a second, so that a busy swarm floods nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from queenright.control.hub import Hub
from queenright.control.service import Caller, Peer
from queenright.errors import QueenrightError
from queenright.ledger.leaf import decode
from queenright.supervisor.explain import leaf_row
from queenright.supervisor.logs import AgentLine
from queenright.supervisor.rows import agent_row
from queenright.wire.ids import full

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Incident, Runtime
    from queenright.supervisor.service import Service

__all__ = ["Publisher"]

PERIOD_S = 0.1
ROWS_AT_ONCE = 500  # agents' rows of one period: what a large batch adds comes over the next ones
STATUS_EVERY = 10  # periods
# The caller of the status that is sent to everybody who watches: no operator, so no operator's key distance.
OURSELVES = Caller(0, Peer(0, 0, 0), None, "none", None)


class Publisher:
    """Between the runtime's changes and the control socket's events."""

    def __init__(self, rt: Runtime, hub: Hub, service: Service) -> None:
        self._rt = rt
        self._hub = hub
        self._service = service
        self._agents: set[bytes] = set()
        self._asks: set[bytes] = set()
        self._ledger_sent = rt.ledger.size

    def changed(self, topic: str, subject: bytes) -> None:
        """A row is worth reading again; an empty subject means the topic as a whole."""
        if topic == "agents" and subject:
            self._agents.add(subject)
        elif topic == "asks" and subject:
            self._asks.add(subject)

    def births(self, ids: Callable[[], list[bytes]]) -> None:
        """A batch was born: rows for whoever watches, none made for nobody."""
        if self._hub.wanted("agents"):
            self._agents.update(ids())

    def incident(self, incident: Incident) -> None:
        self._hub.publish(
            "incidents",
            {
                "at_ms": incident.at_ms,
                "kind": incident.kind,
                "subject": incident.subject,
                "text": incident.text,
                "leaf": None,
            },
        )

    def line(self, agent: bytes, line: AgentLine) -> None:
        topic = f"log:{full('agent', agent)}"
        if self._hub.wanted(topic):
            self._hub.publish(
                topic, {"seq": line.seq, "at_ms": line.at_ms, "stream": line.stream, "text": line.text}
            )

    async def run(self) -> None:
        """Until cancelled."""
        period = 0
        while True:
            await asyncio.sleep(PERIOD_S)
            period += 1
            try:
                self._send()
                if period % STATUS_EVERY == 0 and self._hub.wanted("status"):
                    self._hub.publish("status", dict(await self._service.status(OURSELVES)), key="status")
            except QueenrightError as error:
                self._rt.log.warning("publish.failed", error=error.message)

    def _send(self) -> None:
        rt = self._rt
        if self._hub.wanted("agents"):
            self._agents |= rt.turns.take_touched()
        if not self._hub.wanted("agents"):
            self._agents.clear()
        agents = [self._agents.pop() for _ in range(min(ROWS_AT_ONCE, len(self._agents)))]
        for agent_id in agents:
            agent = rt.agents.find(agent_id)
            if agent is None or not self._hub.wanted("agents"):
                continue
            name = full("agent", agent_id)
            row: dict[str, Any] = {"id": name, "gone": True} if agent.ended else dict(agent_row(rt, agent))
            self._hub.publish("agents", row, key=name)
        asks, self._asks = self._asks, set()
        for ask_id in asks:
            head = rt.asks.get(ask_id)
            self._hub.publish(
                "asks",
                dict(self._service.ask_row(head, len(rt.asks.members(ask_id)))),
                key=full("ask", ask_id),
            )
        size = rt.ledger.size
        if self._hub.wanted("ledger"):
            for index in range(max(self._ledger_sent, size - 500), size):
                self._hub.publish("ledger", dict(leaf_row(rt, index, decode(rt.ledger.leaf(index)))))
        self._ledger_sent = size
