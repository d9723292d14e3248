"""A table that draws only what is on screen, over the core's `View`.

Textual's own table rebuilds every cell when one changes and keeps its cursor on a position; here the cursor is
the row's identity, rows are asked for a window at a time, and only rows that differ from what was last painted
are repainted. The order is held for 2 s after a key (and for as long as the person says so), so that a key
never lands on a row that moved under it. A row that vanished under the cursor stays, struck through, for those
2 s and takes no command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from queenright.clock import Clock
from queenright.core import View
from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, fit, mark, strip

__all__ = ["HOLD_MS", "Column", "LiveTable", "Shown"]

HOLD_MS: Final = 2000  # long enough to read a row and press a key on it
FAR: Final = 1 << 40  # past the end of any table
MOVES: Final = {
    "down": 1, "j": 1, "up": -1, "k": -1,
}  # fmt: skip


class Shown(NamedTuple):
    """A row's place in the table."""

    id: bytes
    depth: int
    has_children: bool
    is_open: bool
    ghost: bool = False


class Column(NamedTuple):
    """`width` 0 takes what is left. `paint` gives the cell of a row; its text is sanitised when it is drawn."""

    key: str
    title: str
    width: int
    align: str
    paint: Callable[[Shown, Any], Bit]


class LiveTable(Widget):
    """Rows are `records[id]`, drawn by `columns` in the order and nesting that `view` gives."""

    can_focus = True

    @dataclass
    class Moved(Message):
        table: LiveTable
        row: bytes | None

    def __init__(
        self,
        look: Look,
        clock: Clock,
        view: View,
        records: dict[bytes, Any],
        columns: Sequence[Column],
        *,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.look = look
        self.clock = clock
        self.view = view
        self.records = records
        self.columns = tuple(columns)
        self.boxed = False
        self.empty_line: Line = ()
        self.cursor_id: bytes | None = None
        self.top = 0
        self.held = False
        """Held by the person (`h`), besides the 2 s after a key."""
        self._key_until = 0
        self._view_held = False
        self._ghost: tuple[int, Shown, Any] | None = None
        self._ghost_until = 0
        self._cursor_at = 0
        self._painted_cursor: bytes | None = None
        self._last_record: Any = None
        self._rows: list[Shown] = []
        self._cells: list[tuple[Bit, ...]] = []
        """What each row was last painted from, one Bit a column. A row is repainted only when this differs."""

    # --- state ---

    @property
    def body_rows(self) -> int:
        return max(0, self.size.height - (2 if self.boxed else 1))

    @property
    def live_cursor(self) -> bytes | None:
        """The row a command may act on: the cursor's, unless it is a ghost."""
        return None if self._ghost is not None else self.cursor_id

    @property
    def order_held(self) -> bool:
        return self.held or self.clock.boot_ms() < self._key_until

    def set_columns(self, columns: Sequence[Column], *, boxed: bool) -> None:
        """Another layout over the same rows."""
        self.columns, self.boxed = tuple(columns), boxed
        self.repaint_all()

    def touch(self) -> None:
        """A key was pressed: hold the order for a while."""
        self._key_until = self.clock.boot_ms() + HOLD_MS
        self._hold()

    def _hold(self) -> None:
        wanted = self.order_held
        if wanted != self._view_held:
            self._view_held = wanted
            self.view.hold(wanted)

    def toggle_hold(self) -> bool:
        """Hold the order until asked again. Returns whether it is held now."""
        self.held = not self.held
        self._key_until = 0
        self._hold()
        self.sync()
        return self.held

    # --- from the view to rows ---

    def sync(self) -> None:
        """Take the view as it is now and repaint the rows that differ. Called once a frame at most."""
        self._hold()
        self._settle_cursor()
        old_rows, old_cells = self._rows, self._cells
        self._rows = self._window()
        self._cells = [self._paint(row) for row in self._rows]
        for y in range(max(len(old_rows), len(self._rows))):
            before = (old_cells[y], old_rows[y].id) if y < len(old_rows) else None
            now = (self._cells[y], self._rows[y].id) if y < len(self._rows) else None
            if before != now:
                self._repaint(y)
        if self.cursor_id != self._painted_cursor:
            for rows in (old_rows, self._rows):
                for y, row in enumerate(rows):
                    if row.id in (self.cursor_id, self._painted_cursor):
                        self._repaint(y)
            self._painted_cursor = self.cursor_id

    def _repaint(self, y: int) -> None:
        self.refresh(Region(0, y + 1, self.size.width, 1))

    def _paint(self, row: Shown) -> tuple[Bit, ...]:
        record = self._ghost[2] if row.ghost and self._ghost is not None else self.records.get(row.id)
        return tuple(Bit("") if record is None else column.paint(row, record) for column in self.columns)

    def _settle_cursor(self) -> None:
        count = len(self.view)
        at = self.view.index_of(self.cursor_id) if self.cursor_id is not None else None
        if at is not None:
            self._ghost = None
            self._cursor_at = at
        elif self.cursor_id is None:
            if count:
                self._place(0)
        elif self._ghost is None:
            last = next((row for row in self._rows if row.id == self.cursor_id), None)
            record = self._last_record
            if last is not None and record is not None:
                self._ghost = (self._cursor_at, last._replace(ghost=True), record)
                self._ghost_until = self.clock.boot_ms() + HOLD_MS
            else:
                self._place(self._cursor_at)
        elif self.clock.boot_ms() >= self._ghost_until:
            self._ghost = None
            self._place(self._cursor_at)
        if self.cursor_id in self.records:
            self._last_record = self.records[self.cursor_id]
        self._keep_visible(count)

    def _place(self, index: int) -> None:
        """Put the cursor on the row at `index` of the view, or the nearest."""
        count = len(self.view)
        if not count:
            changed = self.cursor_id is not None
            self.cursor_id, self._cursor_at = None, 0
        else:
            index = max(0, min(count - 1, index))
            row = self.view.window(index, 1)[0][0]
            changed = row != self.cursor_id
            self.cursor_id, self._cursor_at = row, index
            self._ghost = None
            if row in self.records:
                self._last_record = self.records[row]
        if changed:
            self.post_message(self.Moved(self, self.cursor_id))

    def _keep_visible(self, count: int) -> None:
        rows = max(1, self.body_rows)
        third = max(1, rows // 3)
        total = count + (self._ghost is not None)
        # A scroll repaints every row, so it goes a third of a page at a time.
        if self._cursor_at < self.top:
            self.top = max(0, self._cursor_at - third)
        elif self._cursor_at >= self.top + rows:
            self.top = self._cursor_at - rows + 1 + third
        self.top = max(0, min(self.top, total - rows))

    def _window(self) -> list[Shown]:
        rows = self.body_rows
        found: list[Shown] = []
        for row, depth, children, is_open, _values in self.view.window(self.top, rows):
            found.append(Shown(row, depth, children, is_open))
        if self._ghost is not None:
            at, ghost, _record = self._ghost
            if 0 <= at - self.top < rows:
                found.insert(at - self.top, ghost)
                del found[rows:]
        return found

    # --- moving ---

    def move(self, rows: int) -> None:
        """Move the cursor by `rows` of the view."""
        self.touch()
        self._place(self._cursor_at + rows)
        self.sync()

    def move_to(self, row: bytes) -> bool:
        """Put the cursor on `row`. False if the view does not hold it."""
        at = self.view.index_of(row)
        if at is None:
            return False
        self._place(at)
        self.sync()
        return True

    def take_key(self, key: str) -> bool:
        """Moving and folding. Every key, also one that means nothing here, holds the order for a while."""
        self.touch()
        page = max(1, self.body_rows - 1)
        step = MOVES.get(key)
        if step is None:
            step = {"pagedown": page, "pageup": -page, "g": -FAR, "home": -FAR, "G": FAR, "end": FAR}.get(key)
        if step is not None:
            self.move(step)
            return True
        if key in ("left", "right") and self.live_cursor is not None:
            row = next((row for row in self._rows if row.id == self.live_cursor), None)
            if row is not None and row.has_children and row.is_open == (key == "left"):
                self.view.toggle(row.id)
                self.sync()
                return True
        return False

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor and does nothing else."""
        index = event.y - 1
        if 0 <= index < len(self._rows) and not self._rows[index].ghost:
            self.touch()
            self.move_to(self._rows[index].id)

    def on_resize(self) -> None:
        self.repaint_all()

    def repaint_all(self) -> None:
        """Every row, whether it differs or not: after a change of size or layout."""
        self._rows, self._cells = [], []
        self.sync()
        self.refresh()

    # --- drawing ---

    def _widths(self, width: int) -> list[int]:
        gaps = len(self.columns) + 1
        fixed = sum(column.width for column in self.columns)
        rest = max(4, width - gaps - fixed)
        return [column.width or rest for column in self.columns]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        widths = self._widths(width)
        if y == 0:
            return self._head(width, widths)
        if self.boxed and y == self.size.height - 1:
            line = "└" + "┴".join("─" * size for size in widths) + "┘"
            return strip((mark(line, "frame"),), width, self.look)
        index = y - 1
        if index >= len(self._rows):
            if index == 0 and self.empty_line:
                return strip((mark("│ " if self.boxed else " ", "frame"), *self.empty_line), width, self.look)
            if not self.boxed:
                return strip((), width, self.look)
            return strip(
                (mark("│" + "│".join(" " * size for size in widths) + "│", "frame"),), width, self.look
            )
        return self._row(index, width, widths)

    def _head(self, width: int, widths: list[int]) -> Strip:
        line: list[Bit] = []
        for column, size in zip(self.columns, widths, strict=True):
            if self.boxed:
                line += [mark("┬" if line else "┌", "frame")]
                title = f" {column.title} " if len(column.title) + 2 <= size else column.title[:size]
                line += [bit(title, "head"), mark("─" * (size - len(title)), "frame")]
            else:
                line += [mark(" "), bit(fit(column.title.upper(), size, column.align), "head")]
        if self.boxed:
            line.append(mark("┐", "frame"))
        return strip(line, width, self.look)

    def _row(self, index: int, width: int, widths: list[int]) -> Strip:
        row = self._rows[index]
        cursor = row.id == self.cursor_id
        line: list[Bit] = []
        for at, (cell, column, size) in enumerate(zip(self._cells[index], self.columns, widths, strict=True)):
            edge = "│" if self.boxed else " "
            if cursor and at == 0:
                edge = "▸"
            line.append(mark(edge, "key" if edge == "▸" else "frame"))
            text = cell.text if cell.marks else clean(cell.text)
            style = "ghost" if row.ghost else cell.style
            line.append(Bit(fit(text, size, column.align), style, cell.marks))
        if self.boxed:
            line.append(mark("│", "frame"))
        return strip(line, width, self.look, cursor=cursor and self.has_focus)

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        self.refresh()
