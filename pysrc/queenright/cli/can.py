"""`queenright can` and `queenright who-can`."""

from __future__ import annotations

import click

from queenright.cli import exit_codes
from queenright.cli.act import resolve
from queenright.cli.output import clean, table
from queenright.cli.run import Run, command

__all__ = ["can_command", "who_can_command"]


@command(
    "can",
    "queenright can sre/remedy svc.restart svc:shop/web",
    "queenright can agent-9f3c db.write db:shop --json",
)
@click.argument("agent")
@click.argument("verb")
@click.argument("resource")
def can_command(run: Run, agent: str, verb: str, resource: str) -> int:
    """Say whether an agent may do something now: allow, ask or deny, with every reason and its level.

    Ends with 0 for allow and ask, with 3 for deny. Nothing is spent and nothing is asked.
    """
    with run.client() as client:
        found = client.call("can", agent=resolve(client, agent, "agent"), verb=verb, resource=resource)
    lines = [f"{found['outcome'].upper()} {clean(verb)} {clean(resource)} by {clean(found['agent_name'])}"]
    lines += [
        f"  {clean(d['name'])} at {clean(d['level'])}: {clean(d['detail'])}" for d in found["dimensions"]
    ]
    if found["amendment"]:
        lines.append(f"  would be allowed by: {clean(found['amendment'])}")
    run.out.data(found, lines)
    return exit_codes.DENIED if found["outcome"] == "deny" else exit_codes.OK


@command(
    "who-can",
    "queenright who-can release.rollback svc:shop/web",
    "queenright who-can shell.run ws:self --json",
)
@click.argument("verb")
@click.argument("resource")
def who_can_command(run: Run, verb: str, resource: str) -> None:
    """List the agents that may do something now, alone or by asking."""
    with run.client() as client:
        found = client.call("who_can", verb=verb, resource=resource)
    lines = table(
        ("OUTCOME", "AGENT", "ID"), ((r["outcome"], r["agent_name"], r["agent"][:18]) for r in found)
    )
    run.out.data(found, lines if found else ["nobody"])
