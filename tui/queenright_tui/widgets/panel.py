"""A framed block of lines: the card, the identity, a peek. Draws from `lines`, scrolls by whole lines, never wraps."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, fit, line_cells, line_text, mark, strip

__all__ = ["Panel"]


class Panel(Widget):
    """`lines` under an optional title row. With `framed`, a box around them; else a rule above if there is a title."""

    @dataclass
    class Seen(Message):
        """The last line was on screen."""

        panel: Panel

    @dataclass
    class Sized(Message):
        """Its width or height changed: whoever folded lines for it folds them again."""

        panel: Panel

    lines: reactive[tuple[Line, ...]] = reactive((), repaint=False)
    title: reactive[Line] = reactive((), repaint=False)
    top: reactive[int] = reactive(0, repaint=False)
    """The first line shown."""

    def __init__(
        self, look: Look, *, framed: bool = False, focusable: bool = False, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.look = look
        self.framed = framed
        self.can_focus = focusable
        self.seen_to = 0
        """How many lines from the first on have stood on the screen since the lines were last replaced."""

    # --- what it holds ---

    def show(self, lines: tuple[Line, ...], title: Line = (), *, reset: bool = False) -> None:
        """Replace what is shown; only rows that differ are repainted. `reset` starts again from the first line."""
        old, old_title, old_top = self.lines, self.title, self.top
        self.lines, self.title = lines, title
        if reset:
            self.seen_to = 0
        self.top = 0 if reset else min(self.top, self.last_top)
        if self.top != old_top or old_title != title:
            self.refresh()
            return
        shift = self.head_rows - self.top
        for index in range(max(len(old), len(lines))):
            if (old[index] if index < len(old) else None) != (lines[index] if index < len(lines) else None):
                self.refresh(Region(0, index + shift, self.size.width, 1))

    @property
    def head_rows(self) -> int:
        return 1 if self.framed or self.title else 0

    @property
    def room(self) -> int:
        """How many lines fit."""
        return max(0, self.size.height - self.head_rows - (1 if self.framed else 0))

    @property
    def inner_width(self) -> int:
        """Cells of a line inside the frame."""
        return max(1, self.size.width - (4 if self.framed else 2))

    @property
    def last_top(self) -> int:
        return max(0, len(self.lines) - self.room)

    @property
    def hidden_below(self) -> int:
        return max(0, len(self.lines) - self.top - self.room)

    @property
    def seen_whole(self) -> bool:
        """Whether every line has stood on the screen. Only what was drawn counts."""
        return self.seen_to >= len(self.lines)

    def scroll_by(self, rows: int) -> None:
        """Move by `rows`, stopping at either end."""
        self.top = max(0, min(self.last_top, self.top + rows))

    def on_resize(self) -> None:
        self.post_message(self.Sized(self))

    def take_key(self, key: str) -> bool:
        """Scrolling: a panel knows no command."""
        page, all_ = max(1, self.room - 1), len(self.lines)
        steps = {
            "down": 1, "j": 1, "up": -1, "k": -1, "pagedown": page, " ": page, "pageup": -page,
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

    def watch_top(self) -> None:
        self.refresh()

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        self.refresh(Region(0, 0, self.size.width, 1))

    # --- how it is drawn ---

    def render_line(self, y: int) -> Strip:
        width, look = self.size.width, self.look
        if y < self.head_rows:
            return strip(self._head(width), width, look)
        if self.framed and y == self.size.height - 1:
            return strip(self._foot(width), width, look)
        index = y - self.head_rows + self.top
        line: Line = ()
        if index < len(self.lines):
            line = self.lines[index]
            if index == self.seen_to:
                self.seen_to = index + 1
                # The last of them decides whether a request may be approved: whoever asks hears of it.
                if self.seen_whole:
                    self.post_message(self.Seen(self))
        if not self.framed:
            return strip((mark(" "), *line), width, look)
        inside = strip(line, width - 4, look)
        side = mark("│", "frame")
        return Strip.join([strip((side, mark(" ")), 2, look), inside, strip((mark(" "), side), 2, look)])

    def _head(self, width: int) -> Line:
        left, right = ("┌─ ", "┐") if self.framed else (" ", "")
        if not self.title:
            return (mark("┌" + "─" * (width - 2) + "┐", "frame"),)
        focused = self.has_focus and self.can_focus
        room = width - len(left) - len(right) - 2
        title: list[Bit] = []
        for part in self.title:
            # A title ends before the corner does, whatever is in it.
            text = part.text if part.marks else clean(part.text)
            size = line_cells((part,))
            if size > room:
                text, size = fit(text, room), room
            style = "observe" if focused and not part.style else part.style
            title.append(Bit(text, style, part.marks))
            room -= size
            if room <= 0:
                break
        return (mark(left, "frame"), *title, mark(" " + "─" * (room + 1) + right, "frame"))

    def _foot(self, width: int) -> Line:
        below = self.hidden_below
        note = f" {below} more below " if below else ""
        return (mark("└─", "frame"), bit(note, "need"), mark("─" * (width - 3 - len(note)) + "┘", "frame"))

    def text(self) -> str:
        """Everything the panel holds, as plain rows."""
        return "\n".join(line_text(line, self.look) for line in self.lines)
