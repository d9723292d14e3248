"""The reading half of the control service: rows and details, never a secret, never a message's body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queenright.authority.intents import Standing
from queenright.control.protocol import (
    AgentDetail,
    AgentPage,
    CertificateRow,
    GrantRow,
    Health,
    IntentDetail,
    IntentRow,
    LogPage,
    Resolved,
    Status,
)
from queenright.control.service import Caller
from queenright.core import canonical, sanitize_name
from queenright.errors import Malformed
from queenright.supervisor.agents import Agent
from queenright.supervisor.find import find
from queenright.supervisor.rows import NAME_CHARACTERS, agent_row, agent_states, lease_row, mailbox_heads
from queenright.wire.ids import full, parse

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Reading"]

PAGE = 500  # rows of one answer, so that an answer fits a frame
LOG_PAGE = 1000


class Reading:
    """What any session may see."""

    def __init__(self, rt: Runtime, name: str) -> None:
        self.rt = rt
        self.name = name

    def locked(self) -> bool:
        return self.rt.locked

    # --- the whole ------------------------------------------------------------------------------------------------

    async def health(self, caller: Caller) -> Health:
        rt = self.rt
        return {
            "version": rt.version,
            "locked": rt.locked,
            "ledger_ok": rt.ledger_ok(),
            "stopped": rt.stopped,
            "tier": rt.launcher.tier,
            "memory": rt.launcher.memory,
            "uptime_ms": rt.clock.boot_ms() - rt.started_boot,
            "agents": len(rt.agents) - rt.agents.table.counts()["ended"],
            "cells": len(rt.cells),
            "own_cells": rt.cells.own.counts(),
            "asks_open": sum(1 for head in rt.asks if head.state == "open"),
            "leases": len(rt.leases),
        }

    async def status(self, caller: Caller) -> Status:
        rt = self.rt
        boot = rt.clock.boot_ms()
        opened = [head.raised_ms for head in rt.asks if head.state == "open"]
        return {
            "name": self.name,
            "version": rt.version,
            "runtime": rt.runtime_key,
            "locked": rt.locked,
            "stop": "stopped" if rt.stopped else ("stopping" if rt.stops.unacked else "ready"),
            "stop_unacked": rt.stops.unacked,
            "stop_late": rt.stops.late(),
            "uptime_ms": boot - rt.started_boot,
            "now_ms": rt.clock.wall_ms(),
            "distance": rt.gate.distance(caller.operator) if caller.operator is not None else "none",
            "policy_revision": rt.documents.policy_revision,
            "tier": rt.launcher.tier,
            "memory": rt.launcher.memory,
            "agents": agent_states(rt),
            "swarms": len(rt.swarms.live()),
            "cells": len(rt.cells),
            "own_cells": rt.cells.own.counts(),
            "asks_open": len(opened),
            "oldest_ask_ms": min(opened, default=None),
            "leases": len(rt.leases),
            "ledger_size": rt.ledger.size,
            "ledger_root": rt.ledger.root(),
            "ledger_ok": rt.ledger_ok(),
            "messages_per_s": rt.meters.total_rate(boot),
            "denials_per_min": rt.meters.denials_per_minute(boot),
            "volatile_dropped": rt.volatile.dropped,
            "mailbox_max": rt.mail.fullest(),
        }

    async def resolve(self, caller: Caller, text: str, kind: str | None = None) -> Resolved:
        kinds = ("agent", "intent", "ask", "lease", "act") if kind is None else (kind,)
        found, digest = find(self.rt, text, kinds)
        name = self.rt.agents.get(digest).name if found == "agent" else ""
        return {"kind": found, "id": full(found, digest), "name": sanitize_name(name, NAME_CHARACTERS)}

    async def logs(self, caller: Caller, after: int | None = None, limit: int | None = None) -> LogPage:
        lines, following, dropped = self.rt.log.read(
            after if after is not None else -1, min(limit or LOG_PAGE, LOG_PAGE)
        )
        return {
            "lines": [
                {"seq": line.seq, "at_ms": line.at_ms, "stream": "runtime", "text": line.text}
                for line in lines
            ],
            "next": following,
            "dropped": dropped,
        }

    # --- intents --------------------------------------------------------------------------------------------------

    def intent_row(self, standing: Standing) -> IntentRow:
        rt, intent = self.rt, standing.intent
        return {
            "id": full("intent", intent.id),
            "swarm": intent.swarm,
            "purpose": intent.purpose,
            "revision": intent.revision,
            "operator": standing.signer,
            "state": standing.state_at(rt.clock.wall_ms()),
            "applied_ms": standing.applied_ms,
            "not_after_ms": intent.not_after,
            "agents": rt.agents.table.intent_counts(intent.id)[0],
            "max_agents": intent.limits.max_agents,
            "asks_open": sum(1 for head in rt.asks if head.intent == intent.id and head.state == "open"),
            "leases": sum(1 for lease in rt.leases if lease.intent == intent.id and lease.live),
        }

    async def intents(self, caller: Caller) -> list[IntentRow]:
        return [self.intent_row(standing) for standing in self.rt.intents]

    async def intent(self, caller: Caller, intent: str) -> IntentDetail:
        _, digest = find(self.rt, intent, ("intent",))
        standing = self.rt.intents.get(digest)
        budgets: list[dict[str, Any]] = []
        if digest in self.rt.grants:
            budgets = [
                {
                    "verbs": list(rule["verbs"]),
                    "resource": rule["on"],
                    "used": rule["used"],
                    "max": rule["max"],
                }
                for rule in self.rt.grants.view(digest).rules
            ]
        return {
            "row": self.intent_row(standing),
            "document": standing.intent.encode(),
            "signature": standing.signature,
            "budgets": budgets,
        }

    # --- agents ---------------------------------------------------------------------------------------------------

    async def agents(
        self,
        caller: Caller,
        parent: str | None = None,
        intent: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> AgentPage:
        above = find(self.rt, parent, ("agent",))[1] if parent is not None else None
        swarm = find(self.rt, intent, ("intent",))[1] if intent is not None else None
        start = _id_after(after) if after is not None else None
        count = max(1, min(limit or PAGE, PAGE))
        found = self.rt.agents.table.page(parent=above, intent=swarm, after=start, limit=count + 1)
        rows = [agent_row(self.rt, self.rt.agents.get(one)) for one in found[:count]]
        return {"rows": rows, "next": rows[-1]["id"] if len(found) > count else None}

    async def agent(self, caller: Caller, agent: str) -> AgentDetail:
        rt = self.rt
        _, digest = find(rt, agent, ("agent",))
        found = rt.agents.get(digest)
        standing = rt.intents.get(found.intent)
        grant, not_after = self._grant_rows(found)
        return {
            "row": agent_row(rt, found),
            "chain": self._chain(found, standing),
            "born_ms": found.born_ms,
            "children": rt.agents.table.live_children(found.id),
            "grant": grant,
            "not_after_ms": not_after,
            "leases": [lease_row(rt, lease) for lease in rt.leases.ever_of(digest)],
            "mailbox": mailbox_heads(rt, found),
            "actions": rt.acting.rows(digest),
            "ask": full("ask", found.waiting_ask) if found.waiting_ask is not None else None,
            "last_error": rt.logs.last(digest),
        }

    def _chain(self, agent: Agent, standing: Standing) -> list[CertificateRow]:
        signature = standing.signature.encode()
        rows: list[CertificateRow] = [
            {
                "kind": "intent",
                "id": full("intent", agent.intent),
                "name": standing.intent.purpose,
                "certificate": standing.intent.encode(),
                "signature": signature,
            }
        ]
        for member in self.rt.agents.chain(agent.id):
            signature = member.runtime_signature
            if member.origin is not None:
                root, position = member.origin
                head, path = self.rt.births.proof(root, position)
                rows.append(
                    {
                        "kind": "batch",
                        "id": root.hex(),
                        "name": f"{head.statement.count} births",
                        "certificate": head.statement.encode(),
                        "signature": signature,
                    }
                )
                signature = canonical({"position": position, "path": path})
            rows.append(
                {
                    "kind": "birth",
                    "id": full("agent", member.id),
                    "name": sanitize_name(member.name, NAME_CHARACTERS),
                    "certificate": member.birth,
                    "signature": signature,
                }
            )
        if agent.certificate:
            rows.append(
                {
                    "kind": "incarnation",
                    "id": full("agent", agent.id),
                    "name": f"incarnation {agent.incarnation}",
                    "certificate": agent.certificate,
                    "signature": agent.certificate_signature,
                }
            )
        return rows

    def _grant_rows(self, agent: Agent) -> tuple[list[GrantRow], int]:
        if agent.id not in self.rt.grants:
            return [], agent.ended_ms
        view = self.rt.grants.view(agent.id)
        rows: list[GrantRow] = []
        for rule in view.rules:
            for authority in ("exercise", "delegate"):
                if rule[authority]:
                    rows.append(
                        {
                            "authority": authority,
                            "mode": rule["mode"],
                            "verbs": list(rule["verbs"]),
                            "resource": rule["on"],
                            "max": rule["max"],
                            "used": rule["used"],
                        }
                    )
        return rows, view.not_after

    async def agent_log(
        self, caller: Caller, agent: str, after: int | None = None, limit: int | None = None
    ) -> LogPage:
        _, digest = find(self.rt, agent, ("agent",))
        lines, following, dropped = self.rt.logs.read(
            digest, after if after is not None else -1, min(limit or LOG_PAGE, LOG_PAGE)
        )
        return {
            "lines": [
                {"seq": ln.seq, "at_ms": ln.at_ms, "stream": ln.stream, "text": ln.text} for ln in lines
            ],
            "next": following,
            "dropped": dropped,
        }


def _id_after(text: str) -> bytes:
    """The agent a page ended with. Raises Malformed."""
    kind, digits = parse(text)
    if kind not in (None, "agent") or len(digits) != 64:
        raise Malformed(f"`{text[:80]}` is no agent that a page ended with")
    return bytes.fromhex(digits)
