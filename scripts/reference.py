"""Write docs/reference/cli.md from the commands themselves; with `--check` only say whether it is up to date."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from queenright.cli import exit_codes, registry
from queenright.cli.app import NOUNS, load, root
from queenright.cli.run import Command, Run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
WIDTH = 100
HEAD = """\
# The command line

Written by `scripts/reference.py` from the commands; a test fails when this page is older than they are. Data goes to stdout
and everything else to stderr, with `hint:` lines that name the way out. `--json` prints the result as one JSON document,
ids in full and bytes as hex. `NO_COLOR` is obeyed. Names and ids: any unambiguous prefix of an id will do, agents also go
by their name and swarms by theirs.
"""


def _options(command: Command, context: click.Context) -> list[str]:
    lines = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and parameter.name != "help":
            lines.append(f"- `{record[0]}`: {record[1]}")
    return lines


def _command(words: str) -> list[str]:
    command = load(words)
    parent = click.Context(root, info_name="queenright", obj=Run({}))
    context = click.Context(command, info_name=words, parent=parent, terminal_width=WIDTH)
    entry = registry.find(words)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"### queenright {words}", "", f"`queenright {words} {usage}`", ""]
    lines += ["\n".join(line.strip() for line in (command.help or "").strip().splitlines()), ""]
    lines += [*_options(command, context), ""]
    lines += ["```sh", *command.examples, "```", ""]
    if entry.methods:
        lines += [f"Calls {', '.join(f'`{method}`' for method in entry.methods)} of the control socket.", ""]
    return lines


def page() -> str:
    """The whole page."""
    lines = [HEAD, "## Exit codes", ""]
    lines += [f"- {code}: {meaning}" for code, meaning in exit_codes.MEANINGS.items()]
    lines += ["", "## Commands", ""]
    for words in registry.top():
        lines += _command(words)
    for noun, entries in registry.nouns().items():
        lines += [f"## {noun}: {NOUNS[noun]}", ""]
        for entry in entries:
            lines += _command(entry.words)
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)
        return 0
    there = PAGE.read_text() if PAGE.exists() else ""
    if there == text:
        return 0
    difference = difflib.unified_diff(
        there.splitlines(), text.splitlines(), str(PAGE), "commands", lineterm=""
    )
    print("\n".join(list(difference)[:40]), file=sys.stderr)
    print("docs/reference/cli.md is not what the commands say: python scripts/reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
