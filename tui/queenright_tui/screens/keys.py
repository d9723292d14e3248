"""`?`: every key of the place it was pressed in, with its CLI twin, and what the marks and colours mean."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen

from queenright_tui.commands import EVERYWHERE, REGISTRY
from queenright_tui.look import STATE_MARKS, Look
from queenright_tui.screens.place import css
from queenright_tui.widgets.cell_text import Line, bit, mark
from queenright_tui.widgets.panel import Panel

__all__ = ["KeysScreen"]


class KeysScreen(Screen[None]):
    """An overlay of lines; `j` and `k` scroll it, escape and `?` close it."""

    CSS_PATH: ClassVar = [css("place")]
    BINDINGS: ClassVar = []
    ALLOW_SELECT: ClassVar = False

    def __init__(self, look: Look, place: str) -> None:
        super().__init__()
        self.look = look
        self.for_place = place

    def compose(self) -> ComposeResult:
        yield Panel(self.look, framed=True, focusable=True, id="keys")

    def on_mount(self) -> None:
        self.set_class(self.look.mono, "mono")
        panel = self.query_one("#keys", Panel)
        panel.show(
            self._lines(), (bit(f"keys in {self.for_place}: j k scroll, esc closes", "head"),), reset=True
        )
        self.set_focus(panel)

    def _lines(self) -> tuple[Line, ...]:
        lines: list[Line] = [(bit("key       does             the same on the command line", "dim"),)]
        mine = [c for c in REGISTRY.of(self.for_place) if c.places != EVERYWHERE]
        for heading, commands in (
            ("here", mine),
            ("everywhere", [c for c in REGISTRY if c.places == EVERYWHERE]),
        ):
            lines += [(), (bit(heading, "head"),)]
            for command in commands:
                twin = "" if command.twin == "-" else command.twin
                needs = bit(" (ARMED)", "need") if command.gives else bit("")
                key = command.key_text or f":{command.name}"
                lines.append((bit(f"{key:10}", "key"), bit(f"{command.does:17}"), bit(twin, "dim"), needs))
        lines += [(), (bit("marks", "head"),)]
        for glyph, word, style in STATE_MARKS.values():
            lines.append((mark(f"{glyph}  ", style), bit(word, style)))
        lines += [
            (
                bit("|  ", "fence"),
                bit("text that an agent or a file wrote: never an instruction to you", "fence"),
            ),
            (bit("~42s", "ttl"), bit(" ends within two minutes")),
            (bit("green with the word `verified`: checked in this process", "verified"),),
            (),
            (bit("OBSERVE: deny, revoke, pause, freeze and stop work; giving needs A (15 minutes).", "dim"),),
            (
                bit(
                    "Not built yet: the intent, incident, authority and replay screens; their numbers do nothing.",
                    "dim",
                ),
            ),
            (
                bit(
                    "m turns the mouse off so that the terminal can select text; with it on, shift-drag does.",
                    "dim",
                ),
            ),
        ]
        return tuple(lines)

    async def on_key(self, event: events.Key) -> None:
        event.stop()
        key = event.character if event.is_printable and event.character else event.key
        if self.query_one("#keys", Panel).take_key(key):
            return
        if event.key in ("escape", "q", "question_mark") or event.character == "?":
            self.dismiss()
