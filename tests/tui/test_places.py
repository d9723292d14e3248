"""Swarm, agent, ledger and the stop panel: what they show, what a key does, what they never say too early."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from desk import desk
from fake_feed import INTENT, NOW, hex_id

from queenright.errors import LedgerBroken, NotEntitled
from queenright_tui.feed import Changed, Verified

REMEDY = hex_id("agent", "remedy-2")


# --- swarm ---


async def test_the_swarm_is_a_tree_under_its_intent_with_states_in_words() -> None:
    async with desk() as at:
        text = at.text()
        for words in (
            "shop  keep the shop's checkout",
            "NEEDS YOU",
            "paused",
            "wait",
            "~42s",
            "wants db.session.kill",
        ):
            assert words in text
        await at.press("t")
        assert "flat" in at.text()


async def test_a_degraded_tier_stands_in_the_first_line_of_every_place_and_soft_memory_in_the_swarm() -> None:
    async with desk() as at:
        assert "DEGRADED" not in at.text()
        assert "memory:" not in at.text()
        at.feed.tier, at.feed.memory = "landlock-strict", "soft"
        at.feed.emit(Changed("status", at.feed.status()))
        await at.see("DEGRADED landlock-strict")
        assert "memory: soft" in at.text()
        for key in ("2", "4"):
            await at.press(key)
            assert "DEGRADED landlock-strict" in at.text().splitlines()[0]


async def test_events_are_drawn_and_gone_rows_go() -> None:
    async with desk() as at:
        row = at.feed.agents[2]
        at.feed.emit(Changed("agents", row | {"mailbox": 777}))
        await at.see("777")
        at.feed.emit(Changed("agents", {"id": row["id"], "gone": True}))
        await at.until(lambda: "log-1" not in at.text())


async def test_filter_narrows_as_it_is_typed_and_escape_clears() -> None:
    async with desk() as at:
        await at.press("/")
        await at.type("metric")
        assert "log-1" not in at.text()
        assert "metric-1" in at.text()
        await at.press("enter")
        assert "swarm /metric" in at.text()
        await at.press("escape")
        assert "log-1" in at.text()


async def test_sorting_twice_by_the_same_column_reverses() -> None:
    async with desk() as at:
        await at.press("t", "s")
        await at.type("mailbox")
        await at.press("enter")
        first = at.swarm.table.view.window(0, 1)[0][0]
        assert first == REMEDY.encode()
        await at.press("s", "m", "enter")
        assert at.swarm.table.view.window(0, 1)[0][0] != first


async def test_pause_takes_enter_and_says_enforced_only_after_the_answer() -> None:
    async with desk() as at:
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("p", "x")
        assert not at.called("pause")
        gate = asyncio.Event()
        real = at.feed.take

        async def slow(method: str, target: str, reason: str):
            await gate.wait()
            return await real(method, target, reason)

        at.feed.take = slow  # type: ignore[method-assign]
        await at.press("p", "enter")
        assert "sent" in at.text()
        assert "enforced" not in at.text()
        gate.set()
        await at.see("enforced, 3 reached, entry 141")
        assert at.called("pause") == [("pause", REMEDY)]


async def test_resume_needs_arming_and_the_name() -> None:
    async with desk() as at:
        row = hex_id("agent", "remedy-1")
        at.swarm.table.move_to(row.encode())
        await at.press(":")
        await at.type("resume")
        await at.press("enter")
        assert "OBSERVE: A arms" in at.text()
        await at.arm()
        for typed in ("remedy-2", "remedy-1"):
            await at.press(":")
            await at.type("resume")
            await at.press("enter")
            await at.type(typed)
            await at.press("enter")
        assert at.called("resume") == [("resume", row)]


async def test_copying_writes_only_an_id() -> None:
    async with desk() as at:
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("y")
        assert at.app.clipboard == REMEDY
        at.app.copy_id("x\x1b]0;y\x07")
        assert at.app.clipboard == REMEDY


async def test_too_small_names_the_command_line_and_takes_no_key() -> None:
    async with desk((60, 20)) as at:
        assert "too small" in at.text()
        assert "queenright" in at.text()
        await at.press("2", "A")
        assert at.app.place is at.swarm
        assert not at.app.arming.armed


async def test_escape_and_minus_lead_back() -> None:
    async with desk() as at:
        await at.press("2", "4", "-")
        assert at.app.place is at.inbox
        await at.press("-")
        assert at.app.place is at.swarm


async def test_an_exported_screen_holds_what_is_shown_and_is_private(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with desk() as at:
        await at.press("w")
        [path] = tmp_path.glob("*.svg")
        assert path.stat().st_mode & 0o777 == 0o600
        assert "remedy-2" in path.read_text()


# --- agent ---


async def open_remedy(at, size_narrow: bool = False) -> None:
    at.swarm.table.move_to(REMEDY.encode())
    await at.press("enter")
    await at.until(
        lambda: at.app.place is at.agent and at.agent.detail is not None and len(at.agent.acts) == 4
    )
    await at.settle()


async def put_cursor_on(at, verb: str) -> None:
    await at.press("o")
    key = next(key for key, act in at.agent.acts.items() if act["verb"] == verb)
    at.agent.table.move_to(key)
    await at.settle()


async def test_the_agent_shows_identity_grant_lease_mailbox_log_and_undo_classes() -> None:
    async with desk() as at:
        await open_remedy(at)
        await at.see("http_errors_total rose to 203")
        text = at.text()
        for words in (
            "agent-0a9eeda42589",
            "shop (intent) > remedy-2 (birth)",
            "svc:shop/admin",
            "ask   db.session.kill",
            "sre.Fix 812 B",
            "REVERSIBLE exact",
            "COMPENSATE",
            "NOT REVERSIBLE",
            "nothing to undo",
        ):
            assert words in text
        assert ("watch_log", REMEDY) in at.feed.calls


async def test_new_log_lines_arrive_while_it_is_open() -> None:
    async with desk() as at:
        await open_remedy(at)
        await at.see("rose to 203")
        at.feed.emit(
            Changed(f"log:{REMEDY}", {"seq": 31, "at_ms": NOW, "stream": "stderr", "text": "a new line"})
        )
        await at.see("err | a new line")


async def test_undo_previews_first_and_signs_exactly_that() -> None:
    async with desk() as at:
        await open_remedy(at)
        await put_cursor_on(at, "release.rollback")
        await at.press("u")
        await at.see("what would happen")
        assert "+current -> releases/42" in at.text()
        await at.press("enter")
        assert not at.called("undo"), "before 0.4 s"
        await at.wait(500)
        await at.press("enter")
        assert not at.called("undo"), "in OBSERVE"
        assert "OBSERVE" in at.text()
        await at.arm()
        await at.press("enter")
        await at.see("undone 1, entry 144")
        [(_, target, data)] = at.called("undo")
        assert target == hex_id("act", "rollback")
        assert target.encode() in data


async def test_undoing_by_compensation_takes_a_word() -> None:
    async with desk() as at:
        await open_remedy(at)
        await at.arm()
        await put_cursor_on(at, "svc.restart")
        await at.press("u")
        await at.see("then type worker-2")
        await at.wait(500)
        await at.press("enter")
        await at.type("worker-1")
        await at.press("enter")
        assert not at.called("undo")
        await at.press("enter")
        await at.type("worker-2")
        await at.press("enter")
        await at.see("undone 1")


@pytest.mark.parametrize(
    ("verb", "words"), [("db.session.kill", "nothing can put it back"), ("metrics.read", "it only read")]
)
async def test_what_cannot_be_undone_says_why(verb: str, words: str) -> None:
    async with desk() as at:
        await open_remedy(at)
        await put_cursor_on(at, verb)
        await at.press("u")
        assert words in at.text()
        assert not at.called("undo_preview")


async def test_leaving_the_preview_leaves_everything_as_it_is() -> None:
    async with desk() as at:
        await open_remedy(at)
        await put_cursor_on(at, "release.rollback")
        await at.press("u")
        await at.see("what would happen")
        await at.press("escape")
        assert "what would happen" not in at.text()
        assert not at.called("undo")


async def test_brackets_step_through_agents() -> None:
    async with desk() as at:
        await open_remedy(at)
        before = at.agent.agent
        await at.press("]")
        await at.until(lambda: at.agent.agent != before)
        await at.press("[")
        await at.until(lambda: at.agent.agent == before)


# --- ledger ---


async def test_verified_is_written_only_from_a_result_of_this_process() -> None:
    async with desk() as at:
        await at.press("4")
        assert "not verified by this process yet" in at.text()
        assert "VERIFIED" not in at.text()
        await at.press("V")
        await at.see("VERIFIED  140 entries, root 4813 494d")
        assert at.called("verify")


@pytest.mark.parametrize(
    ("result", "words", "never"),
    [
        (
            Verified(False, True, 131, bytes(32), "entry 131: its hash is not in the tree"),
            "NOT VERIFIED  entry 131",
            "VERIFIED, INCOMPLETE",
        ),
        (
            Verified(True, False, 140, hashlib.sha256(b"x").digest(), "tail: not checked"),
            "VERIFIED, INCOMPLETE",
            "VERIFIED  140",
        ),
    ],
)
async def test_a_failed_or_incomplete_verification_is_said_plainly(
    result: Verified, words: str, never: str
) -> None:
    async with desk() as at:
        at.feed.verified = result
        await at.press("4", "V")
        await at.see(words)
        assert never not in at.text()


async def test_a_verification_that_could_not_run_is_not_a_verified_ledger() -> None:
    async with desk() as at:
        at.feed.refuse["verify"] = LedgerBroken("the export stopped at byte 7", index=None)
        await at.press("4", "V")
        await at.see("could not be verified: the export stopped at byte 7")


async def test_an_entry_is_shown_whole_and_why_tells_the_chain() -> None:
    async with desk() as at:
        at.feed.leaves[-1]["entry"] = b'{"action": "act-77", "note": "line\\u001b[2J"}'
        await at.press("4")
        at.ledger.on_live_table_moved(None)  # type: ignore[arg-type]
        assert "act-77" in at.text()
        assert r"line\u{1b}[2J" in at.text()
        await at.press("W")
        await at.see("intent signed")
        assert ("why", "act-77") in at.feed.calls


async def test_a_query_asks_the_ledger_and_escape_goes_back() -> None:
    async with desk() as at:
        await at.press("4", "/")
        await at.type("net.open")
        await at.press("enter")
        await at.see("1 found")
        assert "release.rollback" not in at.ledger.table.render_line(1).text
        await at.press("escape")
        await at.until(lambda: len(at.ledger.table.view) == 20)


# --- stop ---


async def test_the_stop_panel_works_in_observe_and_names_what_each_lever_does() -> None:
    async with desk() as at:
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("!")
        text = at.text()
        for words in (
            "OBSERVE",
            "selection  remedy-2",
            "PAUSE selection",
            "takes: type shop",
            "takes: type STOP shop-demo",
            "back: a new grant only",
        ):
            assert words in text
        await at.press("p", "enter")
        await at.see("enforced, 3 reached")
        assert at.called("pause") == [("pause", REMEDY)]


async def test_stopping_a_swarm_takes_its_name_and_everything_takes_more() -> None:
    async with desk() as at:
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("!", "s")
        await at.type("shop-demo")
        await at.press("enter")
        assert not at.called("stop")
        await at.press("s")
        await at.type("shop")
        await at.press("enter")
        await at.until(lambda: bool(at.called("stop")))
        assert at.called("stop") == [("stop", INTENT)]
        await at.press("a")
        await at.type("shop-demo")
        await at.press("enter")
        assert len(at.called("stop")) == 1
        await at.press("a")
        await at.type("STOP shop-demo")
        await at.press("enter")
        await at.until(lambda: len(at.called("stop")) == 2)
        assert at.called("stop")[1] == ("stop", "all")


async def test_nothing_is_green_before_it_was_acknowledged() -> None:
    async with desk() as at:

        async def partly(method: str, target: str, reason: str):
            return {"count": 7, "leaf": 150, "unacked": 2}

        at.feed.take = partly  # type: ignore[method-assign]
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("!", "r", "enter")
        await at.see("NOT ACKED by 2")
        assert "enforced" not in at.text()
        at.feed.emit(Changed("status", at.feed.status() | {"stop": "stopping", "stop_unacked": 2}))
        await at.see("stop: NOT ACKED 2")
        assert "they may still act" in at.text()
        at.feed.emit(Changed("status", at.feed.status() | {"stop": "stopped", "stop_unacked": 0}))
        await at.see("acknowledged by all")
        assert "stop: ready" not in at.text()


async def test_the_stop_panel_says_what_is_gone_by_whose_word_and_names_what_is_not() -> None:
    reach = {
        "verb": "stop", "cells": 1, "turns": 2, "commands": 3, "acts": 0, "connections": 0, "processes": 57, "ms": 1990, "unreached": 1,
        "late": ["command of sre/logs, pid 4711"], "finishing": ["svc.restart on svc:shop/web by sre/fix"],
        "unknown": ["flag.set on svc:shop/web by sre/flag"],
    }  # fmt: skip
    async with desk() as at:

        async def partly(method: str, target: str, reason: str):
            return {"count": 7, "leaf": 150, "unacked": 1, "reach": reach}

        at.feed.take = partly  # type: ignore[method-assign]
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("!", "r", "enter")
        await at.see("NOT REACHED: command of sre/logs, pid 4711")
        text = at.text()
        assert "kernel: 1 cells, 3 commands, 57 processes gone; let go by shared cells: 2; 1990 ms" in text
        assert "goes on to its own end: svc.restart on svc:shop/web by sre/fix" in text
        assert "UNKNOWN, ended in its effect: flag.set on svc:shop/web by sre/flag" in text
        status = at.feed.status() | {"stop": "stopping", "stop_unacked": 1, "stop_late": reach["late"]}
        at.feed.emit(Changed("status", status))
        await at.see("NOT REACHED, ordered again: command of sre/logs, pid 4711")


async def test_a_refused_lever_says_so() -> None:
    async with desk() as at:
        at.feed.refuse["pause"] = NotEntitled("your row does not cover `pause`", hint="ask an owner")
        at.swarm.table.move_to(REMEDY.encode())
        await at.press("!", "p", "enter")
        await at.see("REFUSED: your row does not cover `pause`. ask an owner")


async def test_detaching_stops_nothing() -> None:
    async with desk() as at:
        await at.press("q")
        await at.pilot.pause()
        assert at.app.return_value == 0
        assert not [call for call in at.feed.calls if call[0] in ("stop", "pause", "revoke", "freeze")]
