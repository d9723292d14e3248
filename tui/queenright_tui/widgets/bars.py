"""The rows that every place has: identity and stop state on top, the crumb, what happened last, the keys."""

from __future__ import annotations

from typing import Final

from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import Bit, Line, bit, line_cells, mark, strip

__all__ = ["Bar", "KeyBar", "spread"]


ALWAYS: Final = (("?", "keys"), ("q", "detach"))


def spread(left: Line, right: Line, width: int) -> Line:
    """`left`, then `right` against the right edge. Where both do not fit the left one is cut: right is the alarm."""
    gap = width - line_cells(left) - line_cells(right)
    if gap >= 1:
        return (*left, mark(" " * gap), *right)
    kept: list[Bit] = []
    room = width - line_cells(right) - 1
    for part in left:
        size = line_cells((part,))
        if size > room:
            break
        kept.append(part)
        room -= size
    return (*kept, mark(" " * (room + 1)), *right)


class Bar(Widget):
    """One row."""

    line: reactive[Line] = reactive(())

    def __init__(self, look: Look, *, ground: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self.ground = ground

    def render_line(self, y: int) -> Strip:
        return strip(self.line if y == 0 else (), self.size.width, self.look, ground=self.ground)


class KeyBar(Bar):
    """The keys that mean something here, as many as fit, then the way to all of them and the way out."""

    keys: reactive[tuple[tuple[str, str], ...]] = reactive(())
    """(key as shown, what it does)"""

    def render_line(self, y: int) -> Strip:
        line: list[Bit] = [mark(" ")]
        tail = tuple(part for key, label in ALWAYS for part in (bit(key, "key"), bit(f" {label} ", "dim")))
        room = self.size.width - 1 - line_cells(tail)
        for key, label in self.keys:
            size = len(key) + len(label) + 2
            if size > room:
                break
            line += [bit(key, "key"), bit(f" {label} ", "dim")]
            room -= size
        return strip((*line, *tail), self.size.width, self.look)
