"""The log: a ring, painted once a frame, read from its end."""

from __future__ import annotations

from typing import Any

from textual.app import App, ComposeResult

from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import bit
from queenright_tui.widgets.live_log import RING, LiveLog


class Bench(App[None]):
    def compose(self) -> ComposeResult:
        yield LiveLog(Look(), lambda record: (bit(record),))


def shown(log: LiveLog) -> list[str]:
    return [log.render_line(y).text.strip() for y in range(log.size.height)]


async def test_it_follows_its_end_and_stays_where_it_was_scrolled_to() -> None:
    app = Bench()
    async with app.run_test(size=(40, 5)) as pilot:
        log = app.query_one(LiveLog)
        log.write(f"line {n}" for n in range(20))
        log.sync()
        await pilot.pause()
        assert shown(log) == [f"line {n}" for n in range(15, 20)]
        log.scroll_by(-10)
        before = shown(log)[:4]
        log.write(["new 1", "new 2"])
        log.sync()
        assert shown(log)[:4] == before
        assert "12 newer lines below" in shown(log)[4]
        log.scroll_by(1000)
        assert shown(log)[-1] == "new 2"


async def test_writing_paints_nothing_until_the_frame() -> None:
    app = Bench()
    async with app.run_test(size=(40, 5)):
        log = app.query_one(LiveLog)
        painted: list[Any] = []
        log.refresh = lambda *a, **k: painted.append(a) or log  # type: ignore[method-assign, assignment]
        for n in range(5000):
            log.write([f"line {n}"])
        assert painted == []
        log.sync()
        log.sync()
        assert len(painted) == 1


async def test_the_ring_is_bounded() -> None:
    app = Bench()
    async with app.run_test(size=(40, 5)):
        log = app.query_one(LiveLog)
        log.write(str(n) for n in range(RING + 500))
        assert len(log.ring) == RING
        assert shown(log)[-1] == str(RING + 499)
