"""The life of an action over the real store, ledger, grants, asks and executors."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from acting_world import PERSON, TOKEN, ActingWorld
from authority_world import agent_id

from queenright.actions.act import AskOpened, Done, Failed, Refused, UnknownEnd
from queenright.actions.executors import Session
from queenright.actions.hands import Cut
from queenright.actions.record import ACTS
from queenright.authority.grants import Grants
from queenright.errors import LedgerUnwritable
from queenright.ledger import Ledger
from queenright.ledger.entry import Agent

RULES = """
[[allow]]
do = ["logs.read", "metrics.read", "fs.read", "fs.list", "fs.write", "shell.run"]
on = "**"

[[allow]]
do = ["flag.set"]
on = "svc:shop/web"
max = 2

[[ask]]
do = ["config.restore"]
on = "svc:shop/web"
answer_within = "10m"
"""


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., ActingWorld]]:
    worlds: list[ActingWorld] = []

    def build(rules: str = RULES) -> ActingWorld:
        shop = tmp_path / "shop"
        shop.mkdir()
        (shop / "flags.json").write_text(json.dumps({"read_only": False, "limit": 3}))
        (shop / "edge.json").write_text('{"version": 1}')
        (shop / "web.jsonl").write_text('{"ts": 1}\n{"ts": 2}\n')
        text = f"""
[svc."shop/web"]
flags = "{shop}/flags.json"
config = ["{shop}/edge.json"]
logs = ["{shop}/web.jsonl"]
"""
        worlds.append(ActingWorld(tmp_path, rules, text))
        return worlds[-1]

    yield build
    for world in worlds:
        await world.close()


def flags(world: ActingWorld) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.base / "shop" / "flags.json").read_text())
    return found


async def flip(world: ActingWorld, value: bool, ordinal: int = 0, **more: Any) -> Any:
    return await world.act("flag.set", "svc:shop/web", ordinal=ordinal, name="read_only", value=value, **more)


async def test_an_act_is_recorded_with_its_undo_before_it_happens(make: Callable[..., ActingWorld]) -> None:
    world = make()
    seen: list[list[str]] = []
    run = world.engine._run

    async def watched(*args: Any) -> Any:
        # What an outsider would find in the ledger's own file at the moment the executor is told to run.
        seen.append(world.kinds())
        return await run(*args)

    world.engine._run = watched  # type: ignore[method-assign]
    result = await flip(world, True, reason="too many writes")
    assert isinstance(result, Done)
    assert flags(world)["read_only"] is True
    assert seen[0][-1] == "action.started"
    started, done = world.entries("action.")
    assert (started.kind, done.kind) == ("action.started", "action.done")
    assert isinstance(started.action and started.action.undo, bytes)
    assert started.action is not None
    assert started.action.id == result.act
    assert started.intent == world.standing.intent.id
    assert isinstance(started.actor, Agent)
    assert started.actor.id == agent_id(0)
    assert {blob.role for blob in started.blobs} == {"plan", "reason"}
    assert done.result is not None
    assert done.result.state == "done"
    leaf = b"".join(world.ledger.leaf(index) for index in range(world.ledger.size))
    assert b"too many writes" not in leaf


async def test_the_same_step_is_done_once_and_replayed(make: Callable[..., ActingWorld]) -> None:
    world = make()
    first, second = await asyncio.gather(flip(world, True), flip(world, True))
    assert first == second
    assert await flip(world, True) == first
    world.restart()
    assert await flip(world, True) == first
    assert [entry.kind for entry in world.entries("action.")] == ["action.started", "action.done"]


async def test_what_no_grant_allows_touches_nothing_and_is_attributed(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    for verb, resource in (
        ("svc.restart", "svc:shop/web"),
        ("flag.set", "svc:shop/other"),
        ("metrics.scrape", "svc:shop/web"),
        ("fs.write", "svc:shop/web"),
        ("flag.set", "ws:self"),
    ):
        result = await world.act(verb, resource, ordinal=hash(verb + resource) % 1000)
        assert isinstance(result, Refused), (verb, result)
        assert result.denied.dimensions
    assert world.spawned == []
    denied = world.entries("action.denied")
    assert len(denied) == 5
    assert all(isinstance(entry.actor, Agent) for entry in denied)
    for _ in range(50):
        await world.act("svc.restart", "svc:shop/web", ordinal=7)
    assert len(world.entries("action.denied")) == 5
    world.clock.advance(61_000)
    world.engine.flush()
    assert world.entries("action.denied")[-1].facts["count"] == 50


@pytest.mark.parametrize(
    ("verb", "resource", "args"),
    [
        ("flag.set", "svc:shop/web", {"name": "read_only"}),
        ("flag.set", "svc:shop/web", {"name": "read_only", "value": True, "force": True}),
        ("flag.set", "svc:shop/web", {"name": "read_only", "value": 1.5}),
        ("flag.set", "svc:shop/web", {"name": "../x", "value": True}),
        ("fs.write", "ws:self", {"path": "../../etc/passwd", "data": b""}),
        ("fs.write", "ws:self", {"path": "a", "data": "text"}),
        ("logs.read", "svc:shop/web", {"limit": 10**9}),
        ("not a verb", "svc:shop/web", {}),
        ("flag.set", "svc:shop/web\x1b[2J", {}),
    ],
)
async def test_malformed_acts_are_refused_by_name(
    make: Callable[..., ActingWorld], verb: str, resource: str, args: dict[str, Any]
) -> None:
    world = make()
    result = await world.act(verb, resource, **args)
    assert isinstance(result, Failed), result
    assert result.code == "malformed"
    assert world.entries("action.denied")[-1].facts["reason"] == "malformed"
    assert not world.entries("action.started")


async def test_a_budget_is_exact_and_a_failure_before_the_effect_costs_nothing(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    wrong = await world.act("flag.set", "svc:shop/web", ordinal=1, name="absent", value=True)
    assert (wrong.code, isinstance(wrong, Failed)) == ("unknown", True)
    assert isinstance(await flip(world, True, 2), Done)
    # Changed between plan and run: the executor finds it, the cost comes back.
    run = world.engine._run

    async def meddled(*args: Any) -> Any:
        (world.base / "shop" / "flags.json").write_text(json.dumps({"read_only": "neither"}))
        return await run(*args)

    world.engine._run = meddled  # type: ignore[method-assign]
    lost = await flip(world, False, 3)
    assert (lost.code, isinstance(lost, Failed)) == ("conflict", True)
    world.engine._run = run  # type: ignore[method-assign]
    (world.base / "shop" / "flags.json").write_text(json.dumps({"read_only": True}))
    assert isinstance(await flip(world, False, 4), Done)
    third = await flip(world, True, 5)
    assert isinstance(third, Refused)
    assert [dimension.name for dimension in third.denied.dimensions] == ["budget"]


async def test_acts_on_one_resource_go_one_after_another_and_the_budget_holds(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    results = await asyncio.gather(*(flip(world, n % 2 == 0, n) for n in range(6)))
    done = [result for result in results if isinstance(result, Done)]
    assert len(done) == 2
    assert all(isinstance(result, Done | Refused | Failed) for result in results)
    assert len(world.entries("action.done")) == 2


async def test_an_ask_waits_as_a_row_survives_a_crash_and_is_spent_once(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    edge = world.base / "shop" / "edge.json"
    await world.engine.observe()
    edge.write_text('{"version": 2}')

    async def restore(ordinal: int = 0) -> Any:
        return await world.act("config.restore", "svc:shop/web", ordinal=ordinal, reason="it broke then")

    asked = await restore()
    assert isinstance(asked, AskOpened)
    assert await restore() == asked
    assert [entry.kind for entry in world.entries("ask.")] == ["ask.raised"]
    shown = world.engine.acts.shown(asked.ask_id)
    assert "edge.json" in shown["effect"]
    assert '-{"version": 2}' in shown["diff"]
    world.restart()
    assert await restore() == asked
    world.answer(asked.ask_id)
    result = await restore()
    assert isinstance(result, Done)
    assert edge.read_text() == '{"version": 1}'
    started = world.entries("action.started")[0]
    assert started.ask == asked.ask_id
    assert started.verdict is not None
    assert await restore() == result
    edge.write_text('{"version": 2}')
    again = await restore(1)
    assert isinstance(again, AskOpened)
    assert again.ask_id != asked.ask_id


async def test_a_target_that_changed_voids_the_verdict_and_asks_anew(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    edge = world.base / "shop" / "edge.json"
    await world.engine.observe()
    edge.write_text('{"version": 2}')
    asked = await world.act("config.restore", "svc:shop/web")
    world.answer(asked.ask_id)
    edge.write_text('{"version": 3}')
    again = await world.act("config.restore", "svc:shop/web")
    assert isinstance(again, AskOpened)
    assert again.ask_id != asked.ask_id
    assert edge.read_text() == '{"version": 3}'
    assert [entry.kind for entry in world.entries("ask.")] == ["ask.raised", "ask.void", "ask.raised"]
    assert not world.entries("action.started")


async def test_a_denial_and_an_expiry_refuse_with_who_and_why(make: Callable[..., ActingWorld]) -> None:
    world = make()
    edge = world.base / "shop" / "edge.json"
    await world.engine.observe()
    edge.write_text('{"version": 2}')
    asked = await world.act("config.restore", "svc:shop/web")
    world.answer(asked.ask_id, "deny", reason="wait for the release")
    result = await world.act("config.restore", "svc:shop/web")
    assert isinstance(result, Refused)
    assert result.denied.reason == "ask_denied"
    assert "ben" in result.denied.message
    assert "wait for the release" in result.denied.message
    edge.write_text('{"version": 4}')
    asked = await world.act("config.restore", "svc:shop/web", ordinal=1, version="previous")
    if isinstance(asked, AskOpened):
        world.clock.advance(11 * 60_000)
        _, change = world.authority.asks.expire(asked.ask_id)
        world.store.commit(change)
        result = await world.act("config.restore", "svc:shop/web", ordinal=1, version="previous")
        assert isinstance(result, Refused)
        assert result.denied.reason == "ask_expired"


async def test_a_crash_in_the_act_makes_it_unknown_and_never_repeats_it(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    stuck = asyncio.Event()

    async def never(*args: Any) -> Any:
        stuck.set()
        await asyncio.Event().wait()

    world.engine._run = never  # type: ignore[method-assign]
    task = asyncio.ensure_future(flip(world, True))
    await asyncio.wait_for(stuck.wait(), 30)
    old = world.engine
    lost = world.restart()
    assert [row.state for row in lost] == ["unknown"]
    result = await flip(world, True)
    assert isinstance(result, UnknownEnd)
    assert flags(world)["read_only"] is False
    assert [entry.kind for entry in world.entries("action.")] == ["action.started", "action.unknown"]
    assert world.restart() == []
    # Its cost stays spent: one of two is left.
    assert isinstance(await flip(world, True, 1), Done)
    assert isinstance(await flip(world, False, 2), Refused)
    for running in old._running.values():
        running.cancel()
    await asyncio.wait([task])


async def test_a_dead_executor_costs_the_act_which_becomes_unknown(make: Callable[..., ActingWorld]) -> None:
    world = make()
    run = world.engine._run

    async def cut(*args: Any) -> Any:
        assert world.engine.cut(frozenset({agent_id(0)}), "revoked")
        return await run(*args)

    world.engine._run = cut  # type: ignore[method-assign]
    result = await flip(world, True)
    assert isinstance(result, UnknownEnd)
    assert "cut off: revoked" in result.message
    assert world.entries("action.")[-1].kind == "action.unknown"
    world.engine._run = run  # type: ignore[method-assign]
    assert isinstance(await flip(world, not flags(world)["read_only"], 1), Done)


async def during(world: ActingWorld, op: str, order: Callable[[], None], value: bool, ordinal: int) -> Any:
    """Flip the flag; the order comes while the executor is asked for `op`."""
    answered = Session._reply

    async def reply(self: Session) -> dict[str, Any]:
        if self.op == op:
            order()
        return await answered(self)

    Session._reply = reply  # type: ignore[method-assign]
    try:
        return await flip(world, value, ordinal)
    finally:
        Session._reply = answered  # type: ignore[method-assign]


@pytest.mark.parametrize("op", ["run", "verify"])
async def test_a_hold_lets_an_act_in_its_effect_come_to_its_own_end(
    make: Callable[..., ActingWorld], op: str
) -> None:
    world = make()
    found: list[Cut] = []
    result = await during(
        world,
        op,
        lambda: found.extend(world.engine.cut(frozenset({agent_id(0)}), "frozen", hold=True)),
        True,
        0,
    )
    assert isinstance(result, Done)
    assert [(cut.left, cut.unknown) for cut in found] == [(True, False)]
    assert flags(world)["read_only"] is True
    assert world.entries("action.")[-1].kind == "action.done"


async def test_the_end_of_authority_ends_an_act_in_its_effect_and_says_that_nobody_knows(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    found: list[Cut] = []
    result = await during(
        world, "run", lambda: found.extend(world.engine.cut(frozenset({agent_id(0)}), "revoked")), True, 0
    )
    assert isinstance(result, UnknownEnd)
    assert [(cut.left, cut.unknown, cut.what.split()[0]) for cut in found] == [(False, True, "flag.set")]
    await asyncio.wait_for(found[0].session.gone(), 30)


async def test_what_is_held_before_it_begins_is_not_begun_and_can_be_asked_for_again(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    world.engine.parts.held = lambda agent: "its agent is paused"
    held = await flip(world, True)
    assert isinstance(held, Failed)
    assert (held.code, held.act) == ("held", None)
    assert flags(world)["read_only"] is False
    assert not [entry for entry in world.entries("action.") if entry.kind == "action.started"]
    world.engine.parts.held = lambda agent: ""
    assert isinstance(await flip(world, True), Done), "the same act, once it is let go"


async def test_with_an_unwritable_ledger_nothing_is_done(
    make: Callable[..., ActingWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()

    def refuse(self: object) -> None:
        raise LedgerUnwritable("the disk is full")

    monkeypatch.setattr(Ledger, "require_writable", refuse)
    for verb, resource, args in (
        ("flag.set", "svc:shop/web", {"name": "read_only", "value": True}),
        ("logs.read", "svc:shop/web", {}),
    ):
        result = await world.act(verb, resource, **args)
        assert (type(result), result.code) == (Failed, "ledger_unwritable")
    assert world.spawned == []


async def test_a_ledger_that_fails_between_record_and_run_stops_the_act_and_gives_its_cost_back(
    make: Callable[..., ActingWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    real, calls = Ledger.require_writable, []

    def third(self: Ledger) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise LedgerUnwritable("the disk filled up just now")
        real(self)

    monkeypatch.setattr(Ledger, "require_writable", third)
    result = await flip(world, True)
    assert (type(result), result.code) == (Failed, "ledger_unwritable")
    assert flags(world)["read_only"] is False
    assert [entry.kind for entry in world.entries("action.")] == ["action.started", "action.failed"]
    monkeypatch.setattr(Ledger, "require_writable", real)
    assert [type(await flip(world, n % 2 == 1, n)) for n in (1, 2, 3)] == [Done, Done, Refused]


async def test_a_revocation_between_check_and_record_stops_the_act(
    make: Callable[..., ActingWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    real = Grants.reserve

    def reserve(self: Grants, *args: Any, **more: Any) -> Any:
        found = real(self, *args, **more)
        world.store.commit(self.revoke(agent_id(0)))
        return found

    monkeypatch.setattr(Grants, "reserve", reserve)
    result = await flip(world, True)
    assert isinstance(result, Failed | Refused)
    assert flags(world)["read_only"] is False
    assert not world.entries("action.started")


async def test_an_end_that_cannot_be_written_is_not_claimed(
    make: Callable[..., ActingWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    real = world.engine.parts.commit

    def commit(*changes: Any) -> Any:
        if any(record[:2] == ("expect", ACTS) for change in changes for record in change.records):
            raise OSError("disk")
        return real(*changes)

    world.engine.parts.commit = commit
    result = await flip(world, True)
    assert isinstance(result, UnknownEnd)
    assert "could not be recorded" in result.message
    world.engine.parts.commit = real
    assert isinstance(await flip(world, True), UnknownEnd)


async def test_reads_make_one_leaf_a_minute_and_one_process_a_resource(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    for ordinal in range(20):
        result = await world.act("logs.read", "svc:shop/web", ordinal=ordinal)
        assert result.value["text"].count("\n") == 2
    assert len(world.spawned) == 1
    assert world.entries("reads.") == []
    assert world.store.count("action.read") == 1
    world.clock.advance(60_000)
    world.engine.flush()
    (summary,) = world.entries("reads.")
    assert (summary.facts["count"], summary.facts["resource"]) == (20, "svc:shop/web")
    assert summary.result is not None
    assert summary.result.length > 0
    assert summary.result.digest is not None
    assert world.store.count("action.read") == 0


async def test_reads_that_a_crash_interrupted_are_still_counted(make: Callable[..., ActingWorld]) -> None:
    world = make()
    await world.act("logs.read", "svc:shop/web")
    await world.act("logs.read", "svc:shop/web", ordinal=1)
    await world.executors.close()
    world.restart()
    world.clock.advance(60_000)
    world.engine.flush()
    assert [entry.facts["count"] for entry in world.entries("reads.")] == [2]


async def test_an_agents_files_are_its_own_and_come_back(make: Callable[..., ActingWorld]) -> None:
    world = make()
    first = await world.act("fs.write", "ws:self", path="notes/a.txt", data=b"one")
    second = await world.act("fs.write", "ws:self", ordinal=1, path="notes/a.txt", data=b"two")
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert (await world.act("fs.read", "ws:self", ordinal=2, path="notes/a.txt")).value == b"two"
    assert (await world.act("fs.list", "ws:self", ordinal=3)).value == ["notes"]
    workspace = world.engine.parts.workspaces.path(agent_id(0))
    assert all(str(workspace) in read + write for read, write in world.spawned)
    (workspace / "out").symlink_to(world.base)
    for path in ("out/shop/flags.json", "../shop/flags.json"):
        stolen = await world.act("fs.read", "ws:self", ordinal=len(path), path=path)
        assert (type(stolen), stolen.code) == (Failed, "malformed")
    preview = await world.undo.preview(("agent", agent_id(0)))
    assert [(step.verb, step.conflict) for step in preview.steps] == [("fs.write", "")] * 2
    outcome = await world.undo.execute(preview, PERSON)
    assert (len(outcome.done), outcome.failed) == (2, ())
    assert not (workspace / "notes" / "a.txt").exists()


async def test_a_command_is_undone_file_by_file(make: Callable[..., ActingWorld]) -> None:
    world = make()
    workspace = world.engine.parts.workspaces.create(agent_id(0))
    (workspace / "keep").write_text("as it was")
    (workspace / "changed").write_text("before")
    (workspace / "gone").write_text("precious")
    (workspace / "dir").mkdir()
    (workspace / "dir" / "link").symlink_to("../keep")
    for path in workspace.rglob("*"):
        world.launcher.give(path, 2)
    command = "echo after > changed; rm gone; rm -r dir; mkdir new; echo x > new/file; echo said; exit 3"
    result = await world.act("shell.run", "ws:self", command=command)
    assert isinstance(result, Done)
    assert (result.value["code"], result.value["out"]) == (3, b"said\n")
    assert sorted(result.value["changed"]) == ["changed", "dir", "dir/link", "gone", "new", "new/file"]
    preview = await world.undo.preview(("act", result.act))
    assert [step.conflict for step in preview.steps] == [""]
    (workspace / "changed").write_text("by somebody else")
    conflict = await world.undo.preview(("act", result.act))
    assert '"changed" was changed since' in conflict.steps[0].conflict
    outcome = await world.undo.execute(conflict, PERSON)
    assert (outcome.done, outcome.failed[0][1]) == ((), "conflict")
    (workspace / "changed").write_text("after\n")
    outcome = await world.undo.execute(preview, PERSON)
    assert (len(outcome.done), outcome.failed) == (1, ())
    assert (workspace / "changed").read_text() == "before"
    assert (workspace / "gone").read_text() == "precious"
    assert os.readlink(workspace / "dir" / "link") == "../keep"
    assert not (workspace / "new").exists()


async def test_no_secret_stands_in_the_state_directory_or_the_ledger(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    await flip(world, True)
    await world.act("logs.read", "svc:shop/web", ordinal=1)
    await world.engine.close()
    for path in world.base.rglob("*"):
        if path.is_file():
            assert TOKEN not in path.read_bytes(), path
