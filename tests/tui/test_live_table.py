"""The table: the cursor is a row, not a place; what did not change is not painted; order is held under a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App, ComposeResult
from textual.geometry import Region

from queenright.clock import ManualClock
from queenright.core import View
from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import bit
from queenright_tui.widgets.live_table import HOLD_MS, Column, LiveTable

COLUMNS = [
    Column("name", "name", 0, "<", lambda _shown, row: bit(row["name"])),
    Column("n", "n", 6, ">", lambda _shown, row: bit(row["n"])),
]


class Bench(App[None]):
    def __init__(self, table: LiveTable) -> None:
        super().__init__()
        self.table = table

    def compose(self) -> ComposeResult:
        yield self.table


@asynccontextmanager
async def bench(
    count: int = 50, height: int = 11
) -> AsyncIterator[tuple[LiveTable, Any, ManualClock, list[Region]]]:
    clock = ManualClock()
    view = View((("name", "text"), ("n", "int")))
    view.set_sort("n", False)
    records: dict[bytes, Any] = {}
    table = LiveTable(Look(), clock, view, records, COLUMNS)
    painted: list[Region] = []

    def put(name: str, n: int) -> None:
        records[name.encode()] = {"name": name, "n": n}
        view.upsert(name.encode(), [name, n])

    for at in range(count):
        put(f"row{at:03}", at)
    app = Bench(table)
    async with app.run_test(size=(40, height)) as pilot:
        await pilot.pause()
        table.focus()
        table.sync()
        await pilot.pause()
        clock.advance(HOLD_MS)
        table.sync()
        real = table.refresh

        def watched(*regions: Region, **more: Any) -> Any:
            painted.extend(regions or [Region(0, 0, 40, height)])
            return real(*regions, **more)

        table.refresh = watched  # type: ignore[method-assign]
        yield table, put, clock, painted


def rows(table: LiveTable) -> list[str]:
    return [table.render_line(y).text for y in range(table.size.height)]


async def test_the_cursor_stays_on_its_row_when_rows_are_sorted_anew() -> None:
    async with bench() as (table, put, _clock, _painted):
        table.move_to(b"row003")
        put("row003", 30)
        put("row001", 40)
        table.sync()
        assert table.cursor_id == b"row003"
        table.view.set_sort("n", True)
        table.sync()
        assert table.cursor_id == b"row003"
        assert any("row003" in row and row.startswith("▸") for row in rows(table))


async def test_removing_another_row_does_not_move_the_cursor() -> None:
    async with bench() as (table, _put, _clock, _painted):
        table.move_to(b"row003")
        for name in (b"row001", b"row002"):
            table.view.remove(name)
            del table.records[name]
        table.sync()
        assert table.live_cursor == b"row003"
        assert rows(table)[2].startswith("▸row003")


async def test_a_row_that_vanished_under_the_cursor_stays_for_two_seconds_and_takes_no_command() -> None:
    async with bench() as (table, _put, clock, _painted):
        table.move_to(b"row003")
        table.sync()
        table.view.remove(b"row003")
        del table.records[b"row003"]
        table.sync()
        assert table.live_cursor is None
        assert "row003" in rows(table)[4]
        clock.advance(HOLD_MS - 1)
        table.sync()
        assert table.live_cursor is None
        clock.advance(1)
        table.sync()
        assert table.live_cursor == b"row004"
        assert not any("row003" in row for row in rows(table))


async def test_the_order_is_held_for_two_seconds_after_a_key_and_then_follows() -> None:
    async with bench() as (table, put, clock, _painted):
        table.move(1)
        put("row000", 999)
        table.sync()
        assert "row000" in rows(table)[1]
        assert "999" in rows(table)[1]
        clock.advance(HOLD_MS)
        table.sync()
        assert "row000" not in rows(table)[1]


async def test_the_order_is_held_until_asked_again() -> None:
    async with bench() as (table, put, clock, _painted):
        assert table.toggle_hold()
        put("row000", 999)
        clock.advance(10 * HOLD_MS)
        table.sync()
        assert "row000" in rows(table)[1]
        assert not table.toggle_hold()
        assert "row000" not in rows(table)[1]


async def test_only_rows_that_differ_are_painted() -> None:
    async with bench() as (table, put, _clock, painted):
        painted.clear()
        table.sync()
        assert painted == []
        put("row002", 2)  # the same again
        table.sync()
        assert painted == []
        table.records[b"row002"] = {"name": "row002 ", "n": 2}
        table.sync()
        assert [(region.y, region.height) for region in painted] == [(3, 1)]


async def test_moving_the_cursor_paints_two_rows() -> None:
    async with bench() as (table, _put, _clock, painted):
        painted.clear()
        table.move(1)
        assert {(region.y, region.height) for region in painted} == {(1, 1), (2, 1)}


async def test_at_an_edge_it_scrolls_a_third_of_a_page() -> None:
    async with bench(height=11) as (table, _put, _clock, _painted):
        table.move_to(b"row009")
        assert table.top == 0
        table.move(1)
        assert table.top == 10 - 10 + 1 + 3
        assert table.cursor_id == b"row010"
        table.move(-(1 << 40))
        assert (table.top, table.cursor_id) == (0, b"row000")
        table.move(1 << 40)
        assert table.cursor_id == b"row049"
        assert table.top == 40


async def test_every_row_has_exactly_the_cells_of_the_widget_whatever_it_holds() -> None:
    async with bench() as (table, put, _clock, _painted):
        for at, name in enumerate(["宽字符" * 20, "\x1b[2J", "a" * 500, "\u202e", ""]):
            put(name, at)
        for boxed in (False, True):
            table.set_columns(COLUMNS, boxed=boxed)
            for y in range(table.size.height):
                assert table.render_line(y).cell_length == 40


async def test_a_hundred_thousand_rows_are_never_walked_in_python() -> None:
    async with bench(count=0) as (table, put, _clock, _painted):
        for at in range(100_000):
            put(f"{at}", at)
        asked: list[int] = []
        real = table._paint

        def counted(row: Any) -> Any:
            asked.append(1)
            return real(row)

        table._paint = counted  # type: ignore[method-assign]
        table.move(50_000)
        table.sync()
        assert len(asked) <= 2 * table.body_rows
