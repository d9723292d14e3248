"""`queenright workspace …`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from queenright.cli import exit_codes
from queenright.cli.act import resolve
from queenright.cli.confirm import confirm_signing
from queenright.cli.output import MAX_TEXT, clean, table, when
from queenright.cli.run import Run, command
from queenright.core import digest
from queenright.errors import Unknown

__all__ = ["diff_command", "log_command", "restore_command", "show_command"]

_SIGNS = {"added": "A", "modified": "M", "deleted": "D"}


@command("log", "queenright workspace log sre/remedy", "queenright workspace log agent-7f3a --limit 5 --json")
@click.argument("agent")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
def log_command(run: Run, agent: str, limit: int) -> None:
    """List the versions of an agent's workspace, newest first: when, by which act, how many paths, how large."""
    with run.client() as client:
        rows = client.call("workspace_log", agent=resolve(client, agent, "agent"), limit=limit)
    lines = table(
        ("VERSION", "TIME", "BY", "ADDED", "MODIFIED", "DELETED", "FILES", "BYTES"),
        (
            (
                row["version"],
                when(row["at_ms"]),
                _cause(row),
                row["added"],
                row["modified"],
                row["deleted"],
                row["files"],
                row["bytes"],
            )
            for row in rows
        ),
    )
    run.out.data(rows, lines if rows else ["no version yet: nothing was changed"])


def _cause(row: dict[str, Any]) -> str:
    act = str(row["act"])[:16]
    match row["cause"]:
        case "undo":
            return f"undo of {row['of']} ({act})"
        case "restore":
            return f"restore of {row['of']} ({act})"
    return act


@command("diff", "queenright workspace diff sre/remedy", "queenright workspace diff sre/remedy 12 --json")
@click.argument("agent")
@click.argument("version", type=click.IntRange(1), required=False)
def diff_command(run: Run, agent: str, version: int | None) -> None:
    """List what a version changed (the newest, if none is named): added, modified, deleted; modes and links too."""
    with run.client() as client:
        full = resolve(client, agent, "agent")
        if version is None:
            newest = client.call("workspace_log", agent=full, limit=1)
            if not newest:
                raise Unknown("this workspace has no version yet", hint="nothing was changed in it")
            version = newest[0]["version"]
        found = client.call("workspace_diff", agent=full, version=version)
    lines = [f"version {version}: {found['count']} paths"]
    lines += [f"  {_SIGNS[row['change']]} {_shown(row['path'])}{_detail(row)}" for row in found["changes"]]
    if found["count"] > len(found["changes"]):
        lines.append(f"  and {found['count'] - len(found['changes'])} more")
    run.out.data(found, lines)


def _shown(path: bytes) -> str:
    return clean(path.decode("utf-8", "replace"), MAX_TEXT)


def _detail(row: dict[str, Any]) -> str:
    before, after = row["before"], row["after"]
    now = after or before
    words = [now["kind"]]
    if before and after and before["kind"] != after["kind"]:
        words = [f"{before['kind']} to {after['kind']}"]
    if before and after and before["mode"] != after["mode"]:
        words.append(f"mode {before['mode']:o} to {after['mode']:o}")
    if now["kind"] == "link":
        words.append(f"to {_shown(now['target'])}")
    if now["kind"] == "file":
        words.append(f"{now['bytes']} bytes")
    return f"  ({', '.join(words)})"


@command(
    "show",
    "queenright workspace show sre/remedy",
    "queenright workspace show sre/remedy notes --version 12",
    "queenright workspace show sre/remedy notes/plan.txt --content",
)
@click.argument("agent")
@click.argument("path", required=False, default="")
@click.option(
    "--version", type=click.IntRange(0), help="At this version instead of the newest; 0 is before the first."
)
@click.option("--content", is_flag=True, help="The file's content instead of a directory's names.")
def show_command(run: Run, agent: str, path: str, version: int | None, content: bool) -> int:
    """Show a directory of a workspace, or with --content a file (its first MiB), as it is or was at a version.

    A file goes to the screen made safe for it; to a pipe or a file it goes as it is.
    """
    with run.client() as client:
        found = client.call(
            "workspace_show",
            agent=resolve(client, agent, "agent"),
            path=os.fsencode(path),
            version=version,
            content=content,
        )
    if found["data"] is None:
        rows = [
            (_shown(row["name"]), row["kind"], f"{row['mode']:o}", row["bytes"]) for row in found["entries"]
        ]
        run.out.data(found, table(("NAME", "KIND", "MODE", "BYTES"), rows))
    elif run.out.as_json or sys.stdout.isatty():
        text = found["data"].decode("utf-8", "replace").splitlines()
        run.out.data(found, [clean(line, MAX_TEXT) for line in text])
    else:
        sys.stdout.buffer.write(found["data"])
        sys.stdout.buffer.flush()
    if found["cut"]:
        run.out.say("there is more than is shown")
        return exit_codes.INCOMPLETE
    return exit_codes.OK


@command(
    "restore",
    "queenright workspace restore sre/remedy 12 --preview",
    "queenright workspace restore sre/remedy 12 --yes",
)
@click.argument("agent")
@click.argument("version", type=click.IntRange(0))
@click.option("--preview", "only_preview", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask: sign the preview that was just made.")
def restore_command(run: Run, agent: str, version: int, only_preview: bool, yes: bool) -> int:
    """Put a workspace back to an earlier version, as a new one. Needs your key: it gives.

    Shows what would change and signs exactly that. A path that something else than a version changed is a
    conflict: nothing is done then. `queenright undo` takes back single acts, an agent's or an intent's.
    """
    with run.client(give=not only_preview) as client:
        full = resolve(client, agent, "agent")
        preview = client.call("workspace_restore_preview", agent=full, version=version)
        lines = [clean(line, MAX_TEXT) for line in preview["effect"].splitlines()]
        if only_preview:
            run.out.data(preview, lines)
            return exit_codes.OK
        run.out.show(lines)
        confirm_signing("sign and restore exactly this?", yes=yes)
        sealed = digest("plan", preview["bytes"])
        done = client.call("workspace_restore", agent=full, version=version, preview=sealed)
    if done["outcome"] != "done":
        run.out.data(done, [f"NOT restored ({done['outcome']}): {clean(done['message'], MAX_TEXT)}"])
        return exit_codes.FAILED
    line = f"put {done['changed']} paths back, as version {done['version']}, ledger #{done['leaf']}"
    run.out.data(done, [line])
    return exit_codes.OK
