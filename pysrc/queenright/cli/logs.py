"""`queenright logs`."""

from __future__ import annotations

from typing import Any

import click

from queenright.cli.act import resolve
from queenright.cli.output import MAX_TEXT, clean, when
from queenright.cli.run import Run, command
from queenright.control.client import Client

__all__ = ["follow", "logs_command"]

POLL_S = 1.0  # the supervisor's own log has no topic: it is asked again at this pace while following


@command("logs", "queenright logs", "queenright logs sre/logs/07 -f", "queenright logs --json")
@click.argument("agent", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as lines come.")
def logs_command(run: Run, agent: str | None, following: bool) -> None:
    """Print the supervisor's log, or one agent's (untrusted text). With --json one object a line."""
    follow(run, agent, following)


def follow(run: Run, agent: str | None, following: bool) -> None:
    """Print a log; with `following`, go on until interrupted."""
    with run.client() as client:
        full = agent and resolve(client, agent, "agent")
        if full and following:
            # Watch before the first listing, so that no line falls between the two.
            events = client.watch([f"log:{full}"])
            after = _print_new(run, client, full, None)
            for event in events:
                if event["topic"] == "resync":
                    after = _print_new(run, client, full, after)
                elif after is None or event["data"]["seq"] > after:
                    _print(run, event["data"])
                    after = event["data"]["seq"]
            return
        after = _print_new(run, client, full, None)
        while following:
            for _ in client.watch([], idle_s=POLL_S):
                pass
            after = _print_new(run, client, full, after)


def _print_new(run: Run, client: Client, agent: str | None, after: int | None) -> int | None:
    """Print what came after line `after`; the number of the last line printed, or `after`."""
    while True:
        page = (
            client.call("agent_log", agent=agent, after=after) if agent else client.call("logs", after=after)
        )
        if page["dropped"]:
            run.out.say(f"{page['dropped']} older lines were dropped: the log is bounded")
        fresh = [line for line in page["lines"] if after is None or line["seq"] > after]
        for line in fresh:
            _print(run, line)
            after = line["seq"]
        if not fresh:
            return after


def _print(run: Run, line: dict[str, Any]) -> None:
    run.out.data(line, [f"{when(line['at_ms'])} {clean(line['stream'])} {clean(line['text'], MAX_TEXT)}"])
