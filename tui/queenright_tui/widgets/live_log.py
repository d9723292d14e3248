"""A ring of lines that follows its end. Writing is an append; painting happens once a frame, for visible rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from textual import events
from textual.strip import Strip
from textual.widget import Widget

from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import Line, bit, mark, strip

__all__ = ["RING", "LiveLog"]

RING: Final = 20_000  # what a person can scroll back; older lines stay in the runtime's own log


class LiveLog(Widget):
    """Records, newest last. `paint` turns one into a line when it is on screen."""

    can_focus = True

    def __init__(self, look: Look, paint: Callable[[Any], Line], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self.paint = paint
        self.ring: deque[Any] = deque(maxlen=RING)
        self.back = 0
        """How many lines the view is above the end; 0 follows."""
        self.empty_line: Line = ()
        self._dirty = False

    def write(self, records: Iterable[Any]) -> None:
        """Append; nothing is painted until `sync`."""
        for record in records:
            self.ring.append(record)
            self._dirty = True
            if self.back:
                self.back = min(self.back + 1, len(self.ring))

    def replace(self, records: Iterable[Any]) -> None:
        """Start again with `records`."""
        self.ring.clear()
        self.back = 0
        self._dirty = True
        self.write(records)

    def sync(self) -> None:
        """Paint if anything was written. Called once a frame at most."""
        if self._dirty:
            self._dirty = False
            self.refresh()

    def scroll_by(self, rows: int) -> None:
        self.back = max(0, min(len(self.ring) - self.size.height, self.back - rows))
        self.refresh()

    def take_key(self, key: str) -> bool:
        """Scrolling."""
        page, all_ = max(1, self.size.height - 1), len(self.ring)
        steps = {
            "down": 1, "j": 1, "up": -1, "k": -1, "pagedown": page, "pageup": -page,
            "g": -all_, "home": -all_, "G": all_, "end": all_,
        }  # fmt: skip
        if key not in steps:
            return False
        self.scroll_by(steps[key])
        return True

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_by(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_by(-3)

    def render_line(self, y: int) -> Strip:
        height = self.size.height
        first = max(0, len(self.ring) - height - self.back)
        index = first + y
        if index >= len(self.ring):
            return strip(
                (mark(" "), *(self.empty_line if y == 0 and not self.ring else ())),
                self.size.width,
                self.look,
            )
        line = (mark(" "), *self.paint(self.ring[index]))
        if self.back and y == height - 1:
            line = (bit(f" {self.back} newer lines below (G follows) ", "need"),)
        return strip(line, self.size.width, self.look)
