"""The rows that screens and commands show, made from the runtime's parts. Text an agent chose is sanitised here and again
where it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queenright.authority.lease import Lease
from queenright.control.protocol import AgentRow, AgentState, LeaseRow, MailboxHead
from queenright.core import sanitize_name
from queenright.supervisor.agents import Agent
from queenright.wire.ids import full

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["agent_row", "agent_state", "agent_states", "lease_row", "mailbox_heads"]

NAME_CHARACTERS = 96
DOING_CHARACTERS = 80


def agent_state(rt: Runtime, agent: Agent) -> AgentState:
    """One word for what an agent is about."""
    if agent.ended:
        return "ended"
    if agent.status in ("frozen", "paused"):
        return "frozen" if agent.status == "frozen" else "paused"
    if agent.status in ("suspect", "quarantined"):
        return "suspect"
    if agent.waiting_ask is not None:
        return "needs_human"
    turn = rt.turns.open.get(agent.id)
    return "run" if turn is not None and turn.delivered and not turn.parked else "wait"


def agent_states(rt: Runtime) -> dict[str, int]:
    """How many agents are about what: from counts that are kept, and a look at those that are awake."""
    counts = rt.agents.table.counts()
    found = {
        "ended": counts["ended"],
        "frozen": counts["frozen"],
        "paused": counts["paused"],
        "suspect": counts["suspect"] + counts["quarantined"],
        "wait": counts["live"] + counts["stopping"],
    }
    busy = {agent.id: agent for agent in rt.agents.awake()}
    for turn in rt.turns.open:
        agent = busy.get(turn) or rt.agents.find(turn)
        if agent is not None:
            busy[agent.id] = agent
    for agent in busy.values():
        state = agent_state(rt, agent)
        if state in ("needs_human", "run"):
            found[state] = found.get(state, 0) + 1
            found["wait"] -= 1
    return {state: count for state, count in found.items() if count}


def agent_row(rt: Runtime, agent: Agent) -> AgentRow:
    """The swarm screen's row."""
    boot = rt.clock.boot_ms()
    leases = rt.leases.of_agent(agent.id)
    now = rt.clock.wall_ms()
    ends = min((lease.expires_ms for lease in leases), default=None)
    cell = rt.cells.of(agent)
    return {
        "id": full("agent", agent.id),
        "name": sanitize_name(agent.name, NAME_CHARACTERS),
        "behaviour": agent.behaviour,
        "intent": full("intent", agent.intent),
        "parent": full("agent", agent.parent) if any(agent.parent) else None,
        "depth": rt.agents.table.depth(agent.id),
        "state": agent_state(rt, agent),
        "mailbox": rt.mail.count(agent.id),
        "rate": rt.meters.rate(agent.id, boot),
        "leases": len(leases),
        "ttl_ms": None if ends is None else max(0, ends - now),
        "health": rt.meters.errors(agent.id, boot),
        "cell": agent.cell or "",
        "shared": cell.shared if cell is not None else not agent.own_cell,
        "incarnation": agent.incarnation,
        "doing": sanitize_name(agent.doing, DOING_CHARACTERS),
    }


def lease_row(rt: Runtime, lease: Lease) -> LeaseRow:
    """Names a secret, never holds one."""
    agent = rt.agents.find(lease.agent)
    return {
        "id": full("lease", lease.id),
        "agent": full("agent", lease.agent),
        "agent_name": sanitize_name(agent.name, NAME_CHARACTERS) if agent is not None else "",
        "intent": full("intent", lease.intent),
        "resource": lease.resource,
        "secret": lease.secret,
        "delivery": "act",
        "state": lease.state,
        "issued_ms": lease.issued_ms,
        "expires_ms": lease.expires_ms,
        "uses": rt.leases.uses(lease.id),
    }


def mailbox_heads(rt: Runtime, agent: Agent, limit: int = 20) -> list[MailboxHead]:
    """Who wrote what kind of message and how large; never the body."""
    rows: list[MailboxHead] = []
    for head in list(rt.mail.heads(agent.id))[:limit]:
        sender = rt.agents.find(head.sender)
        rows.append(
            {
                "sender": full("agent", head.sender),
                "sender_name": sanitize_name(sender.name, NAME_CHARACTERS)
                if sender is not None
                else "runtime",
                "type": head.kind,
                "bytes": head.size,
                "at_ms": head.at_ms,
            }
        )
    return rows
