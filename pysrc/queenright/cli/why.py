"""`queenright why`."""

from __future__ import annotations

import click

from queenright.cli.output import MAX_TEXT, clean, when
from queenright.cli.run import Run, command

__all__ = ["why_command"]


@command("why", "queenright why act-9f3c", "queenright why ask-77b0 --json")
@click.argument("id")
def why_command(run: Run, id: str) -> None:
    """Tell an act, a denial or an ask back to the person behind it.

    Each line says what, who, and under which lease, verdict and intent.
    A line is marked `ok` only where a signature or an inclusion proof was checked for it.
    """
    with run.client() as client:
        found = client.call("why", id=id)
    lines = [f"{clean(found['kind'])} {clean(found['id'])}"]
    for step in found["steps"]:
        where = "" if step["leaf"] is None else f" (ledger #{step['leaf']})"
        mark = "ok" if step["checked"] else "--"
        lines.append(f"  {mark} {when(step['at_ms'])}  {clean(step['what'])}: {clean(step['who'])}{where}")
        if step["detail"]:
            lines.append(f"     | {clean(step['detail'], MAX_TEXT)}")
    run.out.data(found, lines)
