"""The terminal at 80x24 in a pseudo-terminal over a real supervisor: an ask is approved with the keyboard, end to end."""

from __future__ import annotations

import sys

from supervised import Supervised
from terminal import ENTER, Terminal

WRITER = """
from queenright.agent import Agent, Context

class Writer(Agent):
    async def on_start(self, ctx: Context) -> None:
        await ctx.act("fs.write", "ws:self", "a line for the record", path="a.txt", data=b"one")
        ctx.log("wrote it")
"""
INTENT = """
[intent]
purpose = "write one file"
swarm = "w"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "writer.Writer"
packages = ["writer"]

[[ask]]
do = ["fs.write"]
on = "ws:self"
"""


def test_an_operator_approves_an_ask_with_the_keyboard_at_80x24(supervised: Supervised) -> None:
    supervised.up()
    supervised.add("writer", WRITER, classes='"Writer"')
    supervised.apply(INTENT)
    supervised.until("an ask", lambda: supervised.call("asks", state="open")["rows"])
    command = [
        sys.executable,
        "-m",
        "queenright.cli",
        "--state",
        str(supervised.paths.state),
        "tui",
        "--key",
        str(supervised.key_file),
    ]
    with Terminal(command, size=(80, 24)) as terminal:
        terminal.wait("1 need you")
        terminal.press("2")
        terminal.wait("fs.write")
        terminal.press("A")
        terminal.wait("ARMED")
        terminal.press(ENTER)
        for _ in range(10):  # every line of the request must have been on screen
            if "keys are ready" in terminal.quiet():
                break
            terminal.press("j", "j", "j")
        terminal.wait("keys are ready")
        terminal.press("a")
        terminal.wait("you approved", but="keys are ready")
        terminal.press("q")
        terminal.leave()
    supervised.until("the write", lambda: "wrote it" in supervised.log("w/writer"))
    decided = [entry for entry in supervised.entries() if entry["kind"] == "ask.decided"]
    assert [entry["actor"]["name"] for entry in decided] == ["ana"]
    assert decided[0]["signed"]["namespace"] == "approve@queenright.v1"
