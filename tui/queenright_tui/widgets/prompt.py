"""A one-row field. Its letters are never a decision: while it has the focus no key reaches a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from queenright_tui.look import Look
from queenright_tui.widgets.cell_text import bit, clean, mark, strip

__all__ = ["Prompt"]

MAX_TYPED: Final = 512  # longer than any reason, filter or resource name; bounds a paste


class Prompt(Widget):
    """Label, then what was typed. Enter posts `Done`, escape posts `Left`, each change posts `Changed`."""

    can_focus = True
    value: reactive[str] = reactive("")
    label: reactive[str] = reactive("")
    hint: reactive[str] = reactive("")
    """Our own words after the field."""

    @dataclass
    class Done(Message):
        prompt: Prompt
        value: str

    @dataclass
    class Changed(Message):
        prompt: Prompt
        value: str

    @dataclass
    class Left(Message):
        prompt: Prompt

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self.hidden_text = False

    def ask(self, label: str, *, value: str = "", hidden: bool = False) -> None:
        """Start afresh. `hidden` draws nothing of what is typed, not even its length."""
        self.hidden_text = hidden
        self.label = label
        self.hint = ""
        self.set_reactive(Prompt.value, value[:MAX_TYPED])
        self.display = True
        self.refresh()
        # Not `focus`, which waits its turn: a paste right behind the key would miss the field.
        self.screen.set_focus(self)

    def forget(self) -> None:
        """Hide the field and drop what was typed."""
        self.set_reactive(Prompt.value, "")
        self.display = False

    def render_line(self, y: int) -> Strip:
        if y:
            return strip((), self.size.width, self.look)
        shown = "" if self.hidden_text else clean(self.value)
        room = max(1, self.size.width - len(self.label) - 4)
        shown = shown[-room:]
        return strip(
            (
                mark(" "),
                bit(self.label, "head"),
                mark(" "),
                bit(shown, "field"),
                mark("_", "field"),
                bit(f"  {self.hint}", "dim"),
            ),
            self.size.width,
            self.look,
        )

    def _type(self, text: str) -> None:
        kept = "".join(c for c in text if c.isprintable())
        self.value = (self.value + kept)[:MAX_TYPED]
        self.post_message(self.Changed(self, self.value))

    @property
    def is_open(self) -> bool:
        """Whether every key belongs to it."""
        return self.display

    def take(self, event: events.Key) -> None:
        """One key: every key is the field's while it is open."""
        if event.key == "enter":
            self.post_message(self.Done(self, self.value))
        elif event.key == "escape" or event.key == "ctrl+c":
            self.post_message(self.Left(self))
        elif event.key in ("backspace", "ctrl+h"):
            self.value = self.value[:-1]
            self.post_message(self.Changed(self, self.value))
        elif event.key == "ctrl+u":
            self.value = ""
            self.post_message(self.Changed(self, self.value))
        elif event.is_printable and event.character:
            self._type(event.character)

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self._type(event.text.split("\n", 1)[0])
