"""Every line of docs/start that calls `queenright` is a call that parses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from queenright.cli import registry
from queenright.cli.app import load, root
from queenright.cli.run import Run

DOCS = Path(__file__).resolve().parents[3] / "docs" / "start"
PAGES = sorted(DOCS.glob("*.md"))


def calls(text: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(queenright [^`]+)`", text)
    return [call for call in (*lines, *inline) if call.startswith("queenright ")]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_command_of_a_page_parses(page):
    for call in calls(page.read_text("utf-8")):
        args = shlex.split(re.split(r" > ", call)[0])[1:]
        words = args[0] if args[0] in registry.top() else " ".join(args[:2])
        command = load(words)
        rest = args[len(words.split()) :]
        parent = click.Context(root, info_name="queenright", obj=Run({}))
        if not rest and "`" + call + "`" in page.read_text("utf-8"):
            continue  # a command named in a sentence, not one to paste
        command.make_context(words, rest, parent=parent)


def test_each_page_links_to_pages_that_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
