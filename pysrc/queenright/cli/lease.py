"""`queenright lease …`."""

from __future__ import annotations

import click

from queenright.authority.amount import duration_ms
from queenright.cli.act import act, resolve
from queenright.cli.output import left, table
from queenright.cli.run import Run, command

__all__ = ["extend_command", "list_command", "revoke_command"]


@command("list", "queenright lease list", "queenright lease list --agent sre/remedy --json")
@click.option("--agent", metavar="AGENT", help="Only this agent's.")
@click.option("--ended", "also_ended", is_flag=True, help="Those that have ended too.")
def list_command(run: Run, agent: str | None, also_ended: bool) -> None:
    """List the live rights to use a credential: whose, for what, how long still. Never the credential."""
    with run.client() as client:
        full = agent and resolve(client, agent, "agent")
        leases = client.call("leases", agent=full, state=None if also_ended else "active")
    now = run.clock.wall_ms()
    lines = table(
        ("LEASE", "AGENT", "SECRET", "RESOURCE", "STATE", "USES", "TTL"),
        (
            (
                lease["id"][:18],
                lease["agent_name"],
                lease["secret"],
                lease["resource"],
                lease["state"],
                lease["uses"],
                left(lease["expires_ms"], now),
            )
            for lease in leases
        ),
    )
    run.out.data(leases, lines)


@command(
    "revoke", "queenright lease revoke lease-7f3a", "queenright lease revoke lease-7f3a --reason rotated"
)
@click.argument("lease")
@click.option("--reason", metavar="TEXT", help="Recorded with the act.")
def revoke_command(run: Run, lease: str, reason: str | None) -> int:
    """End a lease: its next use is refused, and a connection that uses it is cut."""
    return act(run, "revoke", lease, "lease", reason=reason)


@command("extend", "queenright lease extend lease-7f3a --by 10m")
@click.argument("lease")
@click.option("--by", required=True, metavar="TIME", help="How much longer: 30s, 10m, 2h.")
def extend_command(run: Run, lease: str, by: str) -> None:
    """Let a lease run longer, never past its intent. Needs your key: it gives."""
    with run.client(give=True) as client:
        row = client.call("lease_extend", lease=resolve(client, lease, "lease"), by_ms=duration_ms(by))
    run.out.data(row, [f"{row['id'][:18]} ends in {left(row['expires_ms'], run.clock.wall_ms())}"])
