"""`queenright agent …`."""

from __future__ import annotations

from typing import Any

import click

from queenright.cli.act import act, resolve
from queenright.cli.logs import follow
from queenright.cli.output import MAX_TEXT, ago, clean, left, table, when
from queenright.cli.run import Run, command
from queenright.control.client import Client

__all__ = [
    "freeze_command",
    "list_command",
    "logs_command",
    "pause_command",
    "resume_command",
    "revoke_command",
    "rows",
    "show_command",
    "stop_command",
    "unfreeze_command",
]

MARKS = {"needs_human": "NEEDS YOU"}
_reason = click.option("--reason", metavar="TEXT", help="Recorded with the act.")


def rows(client: Client, **which: Any) -> list[dict[str, Any]]:
    """Every agent, page by page."""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = client.call("agents", after=after, **which)
        found += page["rows"]
        after = page["next"]
        if after is None:
            return found


def _tree(agents: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    known = {agent["id"] for agent in agents}
    children: dict[str | None, list[dict[str, Any]]] = {}
    for agent in agents:
        children.setdefault(agent["parent"] if agent["parent"] in known else None, []).append(agent)
    placed: list[tuple[int, dict[str, Any]]] = []
    waiting = [(0, agent) for agent in reversed(children.get(None, []))]
    while waiting:
        depth, agent = waiting.pop()
        placed.append((depth, agent))
        waiting += [(depth + 1, child) for child in reversed(children.get(agent["id"], []))]
    return placed


@command("list", "queenright agent list", "queenright agent list --intent sre --json")
@click.option("--intent", metavar="INTENT", help="Only the swarm of this intent (id, prefix or swarm name).")
@click.option("--parent", metavar="AGENT", help="Only this agent's children.")
def list_command(run: Run, intent: str | None, parent: str | None) -> None:
    """List the agents as a tree: state, mailbox, rate, leases, time left, health."""
    with run.client() as client:
        which = {
            "intent": intent and resolve(client, intent, "intent"),
            "parent": parent and resolve(client, parent, "agent"),
        }
        agents = rows(client, **which)
    now = run.clock.wall_ms()
    lines = table(
        ("AGENT", "ID", "STATE", "MBOX", "MSG/S", "LEASES", "TTL", "ERRORS 60s", "CELL", "DOING"),
        (
            (
                "  " * depth + clean(agent["name"]),
                agent["id"][:18],
                MARKS.get(agent["state"], agent["state"]),
                agent["mailbox"],
                f"{agent['rate']:.1f}",
                agent["leases"],
                left(agent["ttl_ms"], now),
                sum(agent["health"]),
                agent["cell"] + (" shared" if agent["shared"] else ""),
                agent["doing"],
            )
            for depth, agent in _tree(agents)
        ),
    )
    run.out.data(agents, lines)


@command("show", "queenright agent show sre/logs/07", "queenright agent show agent-9f3c --json")
@click.argument("agent")
def show_command(run: Run, agent: str) -> None:
    """Show one agent:

    its certificates up to the operator, grant, leases, mailbox (never bodies) and actions.
    """
    with run.client() as client:
        found = client.call("agent", agent=resolve(client, agent, "agent"))
    run.out.data(found, _detail(found, run.clock.wall_ms()))


def _detail(found: dict[str, Any], now: int) -> list[str]:
    row = found["row"]
    lines = [
        f"{clean(row['name'])}  {row['id']}",
        f"  {row['state']}: {clean(row['doing']) or 'nothing now'}; behaviour {clean(row['behaviour'])}",
        f"  cell {clean(row['cell'])}{' (shared)' if row['shared'] else ''}, "
        f"incarnation {row['incarnation']}, "
        f"born {ago(found['born_ms'], now)} ago, {found['children']} children",
        "  chain: " + " > ".join(f"{link['kind']} {clean(link['name'])}" for link in found["chain"]),
    ]
    if found["ask"]:
        lines.append(f"  waits for a person: {found['ask']}")
    lines.append(f"  grant (ends in {left(found['not_after_ms'], now)}):")
    for rule in found["grant"]:
        used = f", {rule['used']} of {rule['max']} used" if rule["max"] is not None else ""
        lines.append(
            f"    {rule['authority']} {rule['mode']} {', '.join(map(clean, rule['verbs']))} "
            f"on {clean(rule['resource'])}{used}"
        )
    lines += [f"  lease {lease['id'][:18]} {clean(lease['secret'])} for {clean(lease['resource'])}, "
              f"{left(lease['expires_ms'], now)} left" for lease in found["leases"]]  # fmt: skip
    lines += [f"  mail from {clean(head['sender_name'])}: {clean(head['type'])}, {head['bytes']} bytes"
              for head in found["mailbox"]]  # fmt: skip
    lines += [f"  #{done['leaf']} {when(done['at_ms'])} {clean(done['verb'])} {clean(done['resource'])} "
              f"{done['outcome']}; undo: {clean(done['undo'])}" for done in found["actions"]]  # fmt: skip
    if found["last_error"]:
        lines.append(f"  last error (agent says): {clean(found['last_error'], MAX_TEXT)}")
    return lines


@command(
    "revoke",
    "queenright agent revoke sre/logs/07",
    "queenright agent revoke sre/commander --reason 'odd reads'",
)
@click.argument("agent")
@_reason
def revoke_command(run: Run, agent: str, reason: str | None) -> int:
    """End the authority of an agent and of its subtree: grants, leases and open asks."""
    return act(run, "revoke", agent, "agent", reason=reason)


@command("freeze", "queenright agent freeze sre/commander --reason 'reading too much'")
@click.argument("agent")
@_reason
def freeze_command(run: Run, agent: str, reason: str | None) -> int:
    """Hold an agent and its subtree: no act, no spawn, no ask, until an operator unfreezes it."""
    return act(run, "freeze", agent, "agent", reason=reason)


@command("unfreeze", "queenright agent unfreeze sre/commander")
@click.argument("agent")
def unfreeze_command(run: Run, agent: str) -> None:
    """Let a frozen agent and its subtree go on. Needs your key: it gives."""
    act(run, "unfreeze", agent, "agent", give=True)


@command("pause", "queenright agent pause sre/logs/07")
@click.argument("agent")
@_reason
def pause_command(run: Run, agent: str, reason: str | None) -> int:
    """Stop handing messages to an agent and its subtree; what runs finishes its turn."""
    return act(run, "pause", agent, "agent", reason=reason)


@command("resume", "queenright agent resume sre/logs/07")
@click.argument("agent")
def resume_command(run: Run, agent: str) -> None:
    """Let a paused agent and its subtree go on, or a quarantined one alone. Needs your key: it gives."""
    act(run, "resume", agent, "agent", give=True)


@command("stop", "queenright agent stop sre/logs/07 --reason 'done with it'")
@click.argument("agent")
@_reason
def stop_command(run: Run, agent: str, reason: str | None) -> int:
    """End an agent and its subtree, children first.

    Leases end, mail goes to dead letters, the workspace is kept.
    """
    return act(run, "stop", agent, "agent", reason=reason)


@command("logs", "queenright agent logs sre/logs/07", "queenright agent logs sre/logs/07 -f")
@click.argument("agent")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as lines come.")
def logs_command(run: Run, agent: str, following: bool) -> None:
    """Print what an agent logged and what its cell wrote to stderr (untrusted text)."""
    follow(run, agent, following)
