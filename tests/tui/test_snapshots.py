"""Every place at both sizes, in colour, without colour and in ASCII: as text (what is where) and as SVG (how it looks).

After a wanted change: `pytest tests/tui/test_snapshots.py --snapshot-update`, then look at the difference.
"""

from __future__ import annotations

import pytest
from desk import SIZES, Desk, desk
from fake_feed import hex_id
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from queenright_tui.look import Look

SCREENS = ["swarm", "inbox-list", "inbox-card", "agent", "agent-undo", "ledger", "stop", "keys"]


class Svg(SingleFileSnapshotExtension):
    file_extension = "svg"
    _write_mode = WriteMode.TEXT


async def show(at: Desk, screen: str) -> None:
    """Go to a screen as a person would, and wait until it is whole."""
    remedy = hex_id("agent", "remedy-2").encode()
    if screen == "swarm":
        at.swarm.table.move_to(remedy)
    elif screen == "inbox-list":
        await at.press("2")
        await at.until(lambda: at.inbox.open_ask is not None)
    elif screen == "inbox-card":
        await at.arm()
        await at.open_ask(at.feed.kill)
        await at.press("pageup", "pageup", "pageup")
    elif screen in ("agent", "agent-undo"):
        at.swarm.table.move_to(remedy)
        await at.press("enter")
        await at.until(lambda: len(at.agent.acts) == 4)
        await at.see("rose to 203")
        if screen == "agent-undo":
            await at.press("o", "u")
            await at.see("what would happen")
    elif screen == "ledger":
        await at.press("4", "V")
        await at.see("VERIFIED")
    elif screen == "stop":
        at.swarm.table.move_to(remedy)
        await at.press("!", "r", "enter")
        await at.see("enforced")
    elif screen == "keys":
        await at.press("?")
    at.clock.advance(3000)
    await at.settle()
    at.app.model.dirty.add("all")
    await at.settle()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
async def test_screen_as_text_and_picture(
    screen: str, size: tuple[int, int], snapshot: SnapshotAssertion
) -> None:
    async with desk(size) as at:
        await show(at, screen)
        text = at.text()
        rows = text.split("\n")
        assert len(rows) == size[1]
        assert all(len(row) <= size[0] for row in rows)
        assert text == snapshot(name="text")
        if screen in ("swarm", "inbox-card"):
            assert at.app.export_screenshot(title="queenright") == snapshot(
                name="picture", extension_class=Svg
            )


@pytest.mark.parametrize("screen", ["swarm", "inbox-card", "ledger", "stop"])
async def test_every_screen_reads_in_ascii(screen: str) -> None:
    async with desk((80, 24), look=Look(ascii=True)) as at:
        await show(at, screen)
        assert at.text().isascii()
        assert "! 3 need you" in at.text() or "!3 need you" in at.text()


@pytest.mark.parametrize("screen", ["swarm", "inbox-card", "agent", "ledger", "stop"])
async def test_without_colour_nothing_is_told_by_colour(screen: str) -> None:
    async with desk((80, 24)) as at:
        await show(at, screen)
        coloured = at.text()
    async with desk((80, 24), look=Look(mono=True)) as at:
        await show(at, screen)
        assert at.text() == coloured
        for strip in at.app.screen._compositor.render_strips():
            for segment in strip:
                colour = segment.style.color if segment.style is not None else None
                assert colour is None or colour.is_default or segment.text.isspace(), segment


async def test_no_place_draws_past_its_room_when_the_terminal_changes_size() -> None:
    async with desk((120, 36)) as at:
        for place in ("1", "2", "3", "4", "!"):
            await at.press(place)
            for size in ((80, 24), (100, 28), (200, 60), (120, 36)):
                await at.pilot.resize_terminal(*size)
                await at.settle()
                strips = at.app.screen._compositor.render_strips()
                assert len(strips) == size[1]
                assert all(strip.cell_length == size[0] for strip in strips)
