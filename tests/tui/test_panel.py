"""A panel: what was on screen is known line by line, and nothing in a title moves its corner."""

from __future__ import annotations

from hostile import EVERYTHING
from textual.app import App, ComposeResult

from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import bit
from queenright_tui.widgets.panel import Panel


class Bench(App[None]):
    def compose(self) -> ComposeResult:
        yield Panel(Look(), framed=True, focusable=True)


def lines(count: int) -> tuple:
    return tuple((bit(f"line {n}"),) for n in range(count))


async def test_only_lines_that_were_drawn_count_as_seen() -> None:
    app = Bench()
    async with app.run_test(size=(40, 7)) as pilot:
        panel = app.query_one(Panel)
        panel.show(lines(30), (bit("title"),), reset=True)
        await pilot.pause()
        assert panel.seen_to == 5
        assert not panel.seen_whole
        assert "25 more below" in panel.render_line(6).text
        panel.scroll_by(3)
        await pilot.pause()
        assert panel.seen_to == 8
        panel.take_key("G")
        await pilot.pause()
        assert panel.seen_to == 8, "a jump skipped lines: they were not seen"
        panel.take_key("g")
        for _ in range(8):
            panel.take_key(" ")
            await pilot.pause()
        assert panel.seen_whole
        panel.show(lines(12), (bit("title"),), reset=True)
        await pilot.pause()
        assert not panel.seen_whole


async def test_a_title_never_moves_the_corner() -> None:
    app = Bench()
    async with app.run_test(size=(40, 7)) as pilot:
        panel = app.query_one(Panel)
        for text in (EVERYTHING, "x" * 100, "", "宽字符" * 20, "t"):
            panel.show(lines(2), (bit("HIGH", "bad"), bit(" "), bit(text)))
            await pilot.pause()
            head = panel.render_line(0)
            assert head.cell_length == 40
            assert head.text.startswith("┌─ HIGH")
            assert head.text.endswith("─┐")


async def test_a_panel_that_shrinks_shows_its_first_lines_again() -> None:
    app = Bench()
    async with app.run_test(size=(40, 7)) as pilot:
        panel = app.query_one(Panel)
        panel.show(lines(30))
        panel.scroll_by(100)
        assert panel.top == 25
        panel.show(lines(3))
        await pilot.pause()
        assert panel.top == 0
        assert "line 0" in panel.render_line(1).text
