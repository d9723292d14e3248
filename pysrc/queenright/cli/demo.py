"""`queenright demo`."""

from __future__ import annotations

import click

from queenright.cli.run import Run, command

__all__ = ["demo_command"]

FAULTS = ("bad-release", "dead-worker", "stuck-sessions", "missing-index", "bad-config", "false-alarm")


@command(
    "demo",
    "queenright demo",
    "queenright demo --fault dead-worker",
    "queenright demo --scripted --json",
    key=False,
)
@click.option("--fault", type=click.Choice(FAULTS), help="One fault instead of the story of two.")
@click.option("--scripted", is_flag=True, help="A scripted operator answers, with a key made for this demo.")
@click.option("--keep", is_flag=True, help="Leave the directory when it is over.")
def demo_command(run: Run, fault: str | None, scripted: bool, keep: bool) -> int:
    """Play an incident: a real shop breaks, a swarm finds out from its metrics and heals it, and you decide.

    Everything runs in a fresh directory with keys made for it; your own keys, agent and configuration are not touched.
    Ends with 0 only if every line of the closing table holds.
    """
    from queenright.demo.story import Options
    from queenright.demo.story import run as play

    return play(Options(fault=fault, scripted=scripted, as_json=run.as_json, keep=keep))
