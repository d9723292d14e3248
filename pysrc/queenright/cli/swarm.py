"""`queenright swarm …`:

a swarm is named by its intent's id, a prefix of it, or its own name; `all` means every one.
"""

from __future__ import annotations

import click

from queenright.cli.act import act
from queenright.cli.output import left, table
from queenright.cli.run import Run, command

__all__ = [
    "freeze_command",
    "list_command",
    "pause_command",
    "resume_command",
    "revoke_command",
    "stop_command",
    "unfreeze_command",
]

_reason = click.option("--reason", metavar="TEXT", help="Recorded with the act.")


@command("list", "queenright swarm list", "queenright swarm list --json")
def list_command(run: Run) -> None:
    """List the swarms: one per intent, with its agents, asks, leases and time left."""
    with run.client() as client:
        intents = client.call("intents")
    now = run.clock.wall_ms()
    lines = table(
        ("SWARM", "INTENT", "STATE", "AGENTS", "ASKS", "LEASES", "TTL", "PURPOSE"),
        (
            (
                row["swarm"],
                row["id"][:19],
                row["state"],
                f"{row['agents']}/{row['max_agents']}",
                row["asks_open"],
                row["leases"],
                left(row["not_after_ms"], now),
                row["purpose"],
            )
            for row in intents
        ),
    )
    run.out.data(intents, lines)


@command("pause", "queenright swarm pause sre", "queenright swarm pause all")
@click.argument("swarm")
@_reason
def pause_command(run: Run, swarm: str, reason: str | None) -> int:
    """Hold a swarm: nothing of it runs, and running commands are dropped, until it is resumed; its authority stays."""
    return act(run, "pause", swarm, "intent", reason=reason)


@command("resume", "queenright swarm resume sre")
@click.argument("swarm")
def resume_command(run: Run, swarm: str) -> None:
    """Let a paused swarm go on. Needs your key: it gives."""
    act(run, "resume", swarm, "intent", give=True)


@command("freeze", "queenright swarm freeze sre --reason 'wrong service'")
@click.argument("swarm")
@_reason
def freeze_command(run: Run, swarm: str, reason: str | None) -> int:
    """Hold a swarm: nothing of it runs and its grants deny, until an operator unfreezes it."""
    return act(run, "freeze", swarm, "intent", reason=reason)


@command("unfreeze", "queenright swarm unfreeze sre")
@click.argument("swarm")
def unfreeze_command(run: Run, swarm: str) -> None:
    """Let a frozen swarm go on. Needs your key: it gives."""
    act(run, "unfreeze", swarm, "intent", give=True)


@command("revoke", "queenright swarm revoke sre --reason 'incident over'", "queenright swarm revoke all")
@click.argument("swarm")
@_reason
def revoke_command(run: Run, swarm: str, reason: str | None) -> int:
    """End the authority of a swarm: its intent, every grant, lease and open ask."""
    return act(run, "revoke", swarm, "intent", reason=reason)


@command("stop", "queenright swarm stop sre", "queenright swarm stop all --reason drill")
@click.argument("swarm")
@_reason
def stop_command(run: Run, swarm: str, reason: str | None) -> int:
    """End a swarm, children first; `all` ends every one and leaves the supervisor running."""
    return act(run, "stop", swarm, "intent", reason=reason)
