"""Actions of a real agent in a real cell: allowed, asked, denied, undone, and across a kill -9."""

from __future__ import annotations

import os

import pytest
from supervised import Supervised

from queenright.control.operator_key import FileSigner
from queenright.core import digest
from queenright.core.operator import OperatorKey
from queenright.errors import AskExpired, Conflict, NotEntitled, QueenrightError

WRITER = """
from dataclasses import dataclass
from queenright.agent import Agent, AskExpired, Context, Denied, Message, handles

class Write(Message):
    path: str
    text: str

@dataclass
class Done:
    count: int = 0

class Writer(Agent):
    state: Done

    async def on_start(self, ctx: Context) -> None:
        ctx.send(ctx.self, Write("a.txt", "one"))

    @handles
    async def write(self, ctx: Context, message: Write) -> None:
        try:
            await ctx.act("fs.write", "ws:self", "because I say so", path=message.path, data=message.text.encode())
        except Denied as denied:
            ctx.log(f"denied: {denied.message}")
            return
        self.state.count += 1
        ctx.log(f"wrote {message.path} {self.state.count}")
        if message.text == "one":
            ctx.send(ctx.self, Write("a.txt", "two"))
"""
INTENT = """
[intent]
purpose = "write files"
swarm = "w"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "writer.Writer"
packages = ["writer"]

[[{mode}]]
do = ["fs.write"]
on = "ws:self"
{more}
"""


def start(supervised: Supervised, mode: str, more: str = "") -> str:
    supervised.up()
    supervised.add("writer", WRITER, classes='"Writer"')
    return supervised.apply(INTENT.format(mode=mode, more=more))


def open_ask(supervised: Supervised) -> str:
    def found() -> str | None:
        rows = supervised.call("asks", state="open")["rows"]
        return rows[0]["id"] if rows else None

    return supervised.until("an ask", found)


def test_an_act_within_the_intent_is_recorded_before_and_after_and_can_be_undone(
    supervised: Supervised,
) -> None:
    intent = start(supervised, "allow")
    supervised.until("two writes", lambda: "wrote a.txt 2" in supervised.log("w/writer"))
    kinds = [entry["kind"] for entry in supervised.entries("what:fs.write")]
    assert kinds.count("action.started") == 2
    assert kinds.count("action.done") == 2
    workspace = next(supervised.paths.workspaces.iterdir())
    assert (workspace / "a.txt").read_text() == "two"
    preview = supervised.call("undo_preview", target=intent)
    assert [step["verb"] for step in preview["steps"]] == ["fs.write", "fs.write"]
    result = supervised.call("undo", target=intent, preview=digest("undo", preview["bytes"]))
    assert len(result["done"]) == 2, result
    assert not (workspace / "a.txt").exists()


def test_an_ask_waits_for_a_person_and_everybody_else_goes_on(supervised: Supervised) -> None:
    start(supervised, "ask")
    ask = open_ask(supervised)
    assert supervised.agents()["w/writer"]["state"] == "needs_human"
    detail = supervised.call("ask", ask=ask)
    assert detail["context"]["reason"] == "because I say so"
    assert supervised.decide(ask)["state"] == "approved"
    supervised.until("the write", lambda: "wrote a.txt 1" in supervised.log("w/writer"))
    with pytest.raises(Conflict):
        supervised.decide(ask)


def test_a_denial_reaches_the_author_with_its_reason(supervised: Supervised) -> None:
    start(supervised, "ask")
    ask = open_ask(supervised)
    supervised.call("ask_deny", ask=ask, reason="not today")
    supervised.until("the denial", lambda: any("not today" in line for line in supervised.log("w/writer")))
    kinds = [entry["kind"] for entry in supervised.entries()]
    assert "action.started" not in kinds


def test_no_answer_by_the_deadline_is_a_denial(supervised: Supervised) -> None:
    start(supervised, "ask", 'answer_within = "1s"')
    ask = open_ask(supervised)
    supervised.until("expiry", lambda: any("denied" in line for line in supervised.log("w/writer")))
    with pytest.raises((AskExpired, Conflict)):
        supervised.decide(ask)


def test_an_ask_survives_kill_minus_nine_and_its_verdict_works_once(supervised: Supervised) -> None:
    start(supervised, "ask")
    ask = open_ask(supervised)
    supervised.kill()
    assert supervised.processes() == []
    supervised.up()
    assert open_ask(supervised) == ask
    supervised.until("parked again", lambda: supervised.agents()["w/writer"]["state"] == "needs_human")
    supervised.decide(ask)
    supervised.until("the write", lambda: "wrote a.txt 1" in supervised.log("w/writer"))
    started = [e for e in supervised.entries("what:fs.write") if e["kind"] == "action.started"]
    assert len(started) == 1
    assert started[0]["verdict"]


def test_a_key_that_is_not_enrolled_decides_nothing(supervised: Supervised) -> None:
    start(supervised, "ask")
    ask = open_ask(supervised)
    enrolled = supervised.key
    supervised.key = OperatorKey.generate(os.urandom(32), "stranger")
    with pytest.raises(QueenrightError):
        supervised.decide(ask)
    supervised.signer = FileSigner(supervised.key_file, supervised.key)
    with pytest.raises((NotEntitled, QueenrightError)):
        supervised.call("asks")
    supervised.key = enrolled
    supervised.signer = FileSigner(supervised.key_file, enrolled)
    assert supervised.call("asks", state="open")["rows"]
