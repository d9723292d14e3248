"""`queenright ledger …`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from queenright.cli.output import MAX_TEXT, clean, table, when
from queenright.cli.run import Run, command
from queenright.cli.signed_file import read_bytes, read_text
from queenright.control.ledger_copy import LOG_VKEY, copying, drive
from queenright.control.operator_key import read_public
from queenright.errors import Malformed, QueenrightError, Unknown
from queenright.ledger.checkpoint import Checkpoint, LogKey
from queenright.ledger.verify import verify_directory

__all__ = [
    "checkpoint_command",
    "copies_command",
    "export_command",
    "list_command",
    "show_command",
    "verify_command",
]

_path = click.Path(path_type=Path)


@command(
    "verify",
    "queenright ledger verify ./copy --vkey queenright+1a2b3c4d+AbC --checkpoint seen.note --operator-key ana.pub",
    "queenright ledger verify ./copy --json",
    key=False,
)
@click.argument("directory", type=_path)
@click.option("--vkey", metavar="VKEY", help="The log's public key, known from elsewhere.")
@click.option(
    "--checkpoint", type=_path, help="A signed checkpoint kept elsewhere: without one a cut tail is not seen."
)
@click.option(
    "--operator-key", "keys", multiple=True, type=_path, help="An operator's public key file (.pub)."
)
def verify_command(
    run: Run, directory: Path, vkey: str | None, checkpoint: Path | None, keys: tuple[Path, ...]
) -> int:
    """Verify a copied ledger with public keys alone; no supervisor and no secret is needed.

    Ends with 0 if all was checked and holds, 1 if the record is broken, 8 if what was checked holds but something could
    not be: no checkpoint kept elsewhere, no key. Without --checkpoint the last one this client saw of that log is taken.
    """
    if not directory.is_dir():
        raise Unknown(f"there is no directory {directory}", hint="copy one: `queenright ledger export DIR`")
    own_key = vkey is None
    line = vkey.strip() if vkey is not None else _own_vkey(directory)
    note = read_bytes(checkpoint) if checkpoint is not None else _seen_here(run, line)
    operators = [
        read_public(text).line for path in keys for text in read_text(path).splitlines() if text.strip()
    ]
    report = verify_directory(directory, line, note, operators)
    if own_key:
        report.not_checked.append("the log's key: it was taken from the copy itself (--vkey)")
    told = {
        "entries": report.size,
        "signed": report.signed,
        "root": report.root,
        "tail": report.tail,
        "checked": Checkpoint.open(note, LogKey.parse(line)).size if note is not None else None,
        "signatures": report.signatures,
        "broken": [{"index": found.index, "what": found.what} for found in report.broken],
        "not_checked": report.not_checked,
        "open": report.open_actions,
        "unknown": report.unknown_actions,
        "exit": report.exit_code,
    }
    run.out.data(told, [clean(text, MAX_TEXT) for text in report.lines()])
    return report.exit_code


def _own_vkey(directory: Path) -> str:
    try:
        return read_text(directory / LOG_VKEY).strip()
    except Unknown:
        raise Unknown("the copy names no log key", hint="give the one you know: --vkey") from None


def _seen_here(run: Run, vkey: str) -> bytes | None:
    try:
        seen = run.memory().of_log(vkey)
    except QueenrightError as error:
        run.out.say(error.message)
        return None
    if seen is None:
        return None
    run.out.say(f"checking the tail against the checkpoint of {seen.checkpoint.size} entries seen here")
    return seen.note.encode()


@command(
    "list",
    "queenright ledger list",
    "queenright ledger list 'kind:action who:sre/remedy since:2h' --json",
)
@click.argument("query", required=False)
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="At most so many."
)
@click.option("--oldest", is_flag=True, help="Oldest first.")
def list_command(run: Run, query: str | None, limit: int, oldest: bool) -> None:
    """List entries, newest first. A query is words `field:text`, as on the ledger screen."""
    rows: list[dict[str, Any]] = []
    with run.client() as client:
        after = None
        while len(rows) < limit:
            page = client.call(
                "ledger", query=query, after=after, limit=min(500, limit - len(rows)), newest=not oldest
            )
            rows += page["rows"]
            after = page["next"]
            if after is None:
                break
    lines = table(
        ("#", "TIME", "KIND", "WHO", "VERB", "RESOURCE", "OUTCOME", "UNDO"),
        (
            (
                row["index"],
                when(row["at_ms"]),
                row["kind"],
                row["who"],
                row["verb"],
                row["resource"],
                row["outcome"],
                row["undo"],
            )
            for row in rows
        ),
    )
    run.out.data(rows, lines if rows else ["no entry"])


@command("show", "queenright ledger show 482113", "queenright ledger show 482113 --json")
@click.argument("index", type=click.IntRange(0))
def show_command(run: Run, index: int) -> None:
    """Show one entry as it stands in the ledger, and its hash."""
    with run.client() as client:
        page = client.call("ledger", after=index - 1 if index else None, limit=1, newest=False)
    row = next((row for row in page["rows"] if row["index"] == index), None)
    if row is None:
        raise Unknown(f"there is no entry {index}; the ledger has {page['size']}")
    try:
        entry = json.loads(row["entry"])
    except ValueError:
        raise Malformed(
            f"entry {index} is not JSON", hint="verify a copy: `queenright ledger export DIR`"
        ) from None
    lines = [f"#{index}  {row['hash'].hex()}"]
    lines += [clean(line, MAX_TEXT) for line in json.dumps(entry, indent=1, sort_keys=True).splitlines()]
    run.out.data(row | {"entry": entry}, lines)


@command("export", "queenright ledger export ./copy", "queenright ledger export ./copy --json")
@click.argument("directory", type=_path)
def export_command(run: Run, directory: Path) -> None:
    """Copy the ledger into an empty directory for someone else to verify: entries, checkpoint, signed documents.

    No secret and no private text is in it.
    """
    with run.client() as client:
        vkey = drive(client, copying(directory))
    run.out.data(
        {"directory": str(directory), "vkey": vkey}, [f"copied to {clean(str(directory))}, log key {vkey}"]
    )
    run.out.hint(
        f"verify it elsewhere: `queenright ledger verify {directory} --vkey '{vkey}' --checkpoint FILE`"
    )


@command("checkpoint", "queenright ledger checkpoint", "queenright ledger checkpoint > seen.note")
def checkpoint_command(run: Run) -> None:
    """Print the signed head of the ledger, after checking that it continues the last one seen here."""
    with run.client(remember=False) as client:
        found = drive(client, run.memory().checking(client.hello.runtime))
        seen = run.memory().last(client.hello.runtime)
    if found is None or seen is None:
        raise QueenrightError("the ledger has no checkpoint yet", hint="`queenright unlock`")
    if run.as_json:
        run.out.data({"note": seen.note, "vkey": seen.vkey, "size": found.size, "root": found.root}, [])
    else:
        sys.stdout.write(seen.note)  # byte for byte: any C2SP verifier reads it


@command("copies", "queenright ledger copies", "queenright ledger copies --json")
def copies_command(run: Run) -> None:
    """List who was last given which checkpoint: each is a second reader that could show a cut tail."""
    with run.client() as client:
        copies = client.call("ledger_copies")
    lines = table(
        ("WHO", "ENTRIES", "ROOT", "AT"),
        ((copy["who"], copy["size"], copy["root"].hex()[:16], when(copy["at_ms"])) for copy in copies),
    )
    run.out.data(copies, lines if copies else ["nobody holds a checkpoint"])
