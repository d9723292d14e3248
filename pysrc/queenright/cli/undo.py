"""`queenright undo`."""

from __future__ import annotations

from typing import Any

import click

from queenright.authority.amount import duration_ms
from queenright.cli import exit_codes
from queenright.cli.act import resolve
from queenright.cli.confirm import confirm_signing
from queenright.cli.output import MAX_TEXT, clean
from queenright.cli.run import Run, command
from queenright.core import digest

__all__ = ["undo_command"]


@command(
    "undo",
    "queenright undo act-9f3c --preview",
    "queenright undo sre --yes",
    "queenright undo --since 20m --preview",
)
@click.argument("target", required=False)
@click.option("--since", metavar="TIME", help="Everything in the last 30s, 20m, 2h instead of one target.")
@click.option("--preview", "only_preview", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask: sign the preview that was just made.")
def undo_command(run: Run, target: str | None, since: str | None, only_preview: bool, yes: bool) -> int:
    """Put back what an action, an agent, a swarm or an intent did, newest first.

    Shows a preview, and signs exactly that preview with your key. What somebody changed since is a
    conflict: it is reported and left as it is. Ends with 1 if a step failed or was in conflict.
    """
    if (target is None) == (since is None):
        raise click.UsageError("name a target, or give --since TIME")
    since_ms = None if since is None else run.clock.wall_ms() - duration_ms(since)
    with run.client(give=not only_preview) as client:
        full = "all" if target is None else resolve(client, target, None)
        preview = client.call("undo_preview", target=full, since_ms=since_ms)
        if only_preview:
            run.out.data(preview, _lines(preview))
            return exit_codes.OK
        run.out.show(_lines(preview))
        if not preview["steps"]:
            run.out.data({"target": full, "done": [], "failed": []}, ["nothing to undo"])
            return exit_codes.OK
        confirm_signing("sign and undo exactly this?", yes=yes)
        sealed = digest("undo", preview["bytes"])
        result = client.call("undo", target=full, since_ms=since_ms, preview=sealed)
    lines = [f"undone {clean(action)}" for action in result["done"]]
    lines += [f"NOT undone {clean(f['action'])}: {clean(f['message'])}" for f in result["failed"]]
    run.out.data(result, [*lines, f"ledger #{result['leaf']}"])
    conflicts = any(step["conflict"] for step in preview["steps"])
    return exit_codes.FAILED if result["failed"] or conflicts else exit_codes.OK


def _lines(preview: dict[str, Any]) -> list[str]:
    lines = [f"undo of {clean(preview['target'])}: {len(preview['steps'])} steps, newest first"]
    for step in preview["steps"]:
        lines.append(f"  {clean(step['verb'])} {clean(step['resource'])}: {clean(step['what'], MAX_TEXT)}")
        lines += [f"    | {clean(line, MAX_TEXT)}" for line in step["diff"].splitlines()]
        if step["conflict"]:
            lines.append(f"    CONFLICT, will not be touched: {clean(step['conflict'])}")
    lines += [
        f"  not undoable: {clean(s['verb'])} {clean(s['resource'])}: {clean(s['what'])}"
        for s in preview["skipped"]
    ]
    return lines
