"""A command above the grant runs over a copy first: a person sees what it changed, and exactly that is kept or dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from acting_world import ActingWorld
from authority_world import agent_id

from queenright.actions.act import AskOpened, Done, Failed, Refused
from queenright.actions.rehearsal import content_diff, shown
from queenright.workspace.versions import has_proposals

pytestmark = pytest.mark.isolation

RULES = """
[[allow]]
do = ["fs.read", "fs.write"]
on = "ws:self"

[[ask]]
do = ["shell.run"]
on = "ws:self"
answer_within = "10m"
"""
COMMAND = "echo after > changed; rm gone; ln -s /etc/passwd link; printf x > '\x1b[2Jodd'; echo said; exit 3"


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., ActingWorld]]:
    worlds: list[ActingWorld] = []

    def build(rules: str = RULES) -> ActingWorld:
        worlds.append(ActingWorld(tmp_path, rules, ""))
        return worlds[-1]

    yield build
    for world in worlds:
        await world.close()


def workspace(world: ActingWorld) -> Path:
    """With two files in it."""
    place = world.engine.parts.workspaces.create(agent_id(0))
    for name in ("changed", "gone"):
        (place / name).write_text("before\n")
        world.launcher.give(place / name, 2)
    return place


def proposed(world: ActingWorld) -> bool:
    return has_proposals(world.base / "versions", agent_id(0))


async def run(world: ActingWorld, command: str = COMMAND, ordinal: int = 0) -> Any:
    return await world.act("shell.run", "ws:self", ordinal=ordinal, command=command)


async def test_what_it_changed_is_shown_before_any_of_it_is_kept(make: Callable[..., ActingWorld]) -> None:
    world = make()
    place = workspace(world)
    asked = await run(world)
    assert isinstance(asked, AskOpened)
    assert world.kinds()[-2:] == ["action.rehearsed", "ask.raised"]
    assert (place / "changed").read_text() == "before\n"
    assert not (place / "link").exists()
    card = world.engine.acts.shown(asked.ask_id)
    assert card["effect"] == (
        "keep what a command changed in a copy of version 0: 4 paths; it ended with code 3"
    )
    lines = card["diff"].split("\n")
    assert "A \\x1b[2Jodd  (file, mode 644, 1 bytes)" in lines
    assert "M changed  (file, mode 644, 6 bytes)" in lines
    assert "D gone  (file, mode 644, 7 bytes)" in lines
    assert "A link  (link, to /etc/passwd)" in lines
    at = lines.index("= changed")
    assert lines[at + 1 : at + 5] == ["  @@ -1,2 +1,2 @@", "  -before", "  +after", "   "]
    assert lines[-1] == "out| said"
    # Approved, that is kept, and the command is not run a second time.
    ran = len(world.commands)
    world.answer(asked.ask_id)
    done = await run(world)
    assert isinstance(done, Done)
    assert (done.value["code"], done.value["out"], done.value["version"]) == (3, b"said\n", 1)
    assert sorted(done.value["changed"]) == ["\x1b[2Jodd", "changed", "gone", "link"]
    assert len(world.commands) == ran == 1
    assert (place / "changed").read_text() == "after\n"
    assert not (place / "gone").exists()
    assert not proposed(world)
    # It can be put back as any other.
    preview = await world.undo.preview(("act", done.act))
    assert [step.conflict for step in preview.steps] == [""]


@pytest.mark.parametrize("answer", ["deny", "expire"])
async def test_what_nobody_approved_is_dropped(make: Callable[..., ActingWorld], answer: str) -> None:
    world = make()
    place = workspace(world)
    asked = await run(world)
    assert isinstance(asked, AskOpened)
    assert proposed(world)
    if answer == "deny":
        world.answer(asked.ask_id, "deny")
    else:
        world.clock.advance(11 * 60_000)
        world.commit(world.authority.asks.expire(asked.ask_id)[1])
    assert isinstance(await run(world), Refused)
    assert not proposed(world)
    assert (place / "changed").read_text() == "before\n"
    if answer == "deny":
        # Asked again at once it is refused without a card, and not even run.
        ran = len(world.commands)
        again = await run(world, ordinal=1)
        assert isinstance(again, Refused)
        assert again.denied.reason == "denied_recently"
        assert len(world.commands) == ran


async def test_an_approval_over_a_workspace_that_changed_since_is_void_and_asked_anew(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    place = workspace(world)
    asked = await run(world)
    assert isinstance(asked, AskOpened)
    written = await world.act("fs.write", "ws:self", ordinal=5, path="changed", data=b"meanwhile\n")
    assert isinstance(written, Done)
    world.answer(asked.ask_id)
    again = await run(world)
    assert isinstance(again, AskOpened)
    assert again.ask_id != asked.ask_id
    assert (place / "changed").read_text() == "meanwhile\n"
    assert "  -meanwhile" in world.engine.acts.shown(again.ask_id)["diff"].split("\n")
    world.answer(again.ask_id)
    assert isinstance(await run(world), Done)
    assert (place / "changed").read_text() == "after\n"


async def test_an_ask_outlives_kill_minus_nine_with_what_was_shown(make: Callable[..., ActingWorld]) -> None:
    world = make()
    place = workspace(world)
    asked = await run(world)
    assert isinstance(asked, AskOpened)
    world.answer(asked.ask_id)
    world.restart()
    done = await run(world)
    assert isinstance(done, Done)
    assert world.commands == [COMMAND]
    assert (place / "changed").read_text() == "after\n"


async def test_a_command_that_came_to_no_end_is_not_asked_about(make: Callable[..., ActingWorld]) -> None:
    world = make()
    workspace(world)
    result = await world.act("shell.run", "ws:self", command="echo x > y; sleep 60", timeout_ms=300)
    assert isinstance(result, Failed)
    assert (result.code, "it did not end in time" in result.message) == ("not_rehearsed", True)
    assert not proposed(world)
    assert not world.entries("ask.")


async def test_what_was_shown_for_an_act_that_nobody_can_release_is_swept_away(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    workspace(world)
    asked = await run(world)
    assert isinstance(asked, AskOpened)
    hands, agent, later = world.engine.hands, agent_id(0), world.clock.wall_ms() + 1
    await hands.keep(agent, "drop_old", keep=world.engine.waiting(agent), before_ms=later)
    assert proposed(world)
    world.commit(world.authority.asks.void(asked.ask_id, "its agent has ended"))
    await hands.keep(agent, "drop_old", keep=world.engine.waiting(agent), before_ms=later)
    assert not proposed(world)


async def test_a_workspace_whose_retention_is_over_goes_with_its_versions(
    make: Callable[..., ActingWorld],
) -> None:
    world = make()
    place = workspace(world)
    (place / "deep").mkdir()
    assert isinstance(await world.act("fs.write", "ws:self", path="a", data=b"x"), Done)
    await world.engine.remove_workspace(agent_id(0))
    assert not place.exists()
    assert not (world.base / "versions" / "agents" / agent_id(0).hex()).exists()


def test_no_name_or_line_of_a_workspace_is_taken_for_one_of_ours() -> None:
    assert shown(b"a\nD b") == "a\\nD b"
    assert shown("\u202ex\x9b".encode() + b"\xff\\") == "\\u202ex\\x9b\\xff\\\\"
    assert all(line.startswith("  ") for line in content_diff(b"a\n= b\nout| c", b"$ d"))
    assert content_diff(b"a\0b", b"") == ["  (not text)"]
    assert content_diff(b"x" * 40_000, b"") == ["  (too long to compare)"]
    assert content_diff(b"\n" * 500, b"") == ["  (too many lines to compare)"]
