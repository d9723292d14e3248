"""The stop panel: four ways to take away, each with what it does, what it takes and what gives it back.

It works in OBSERVE. After a lever is pulled the panel says `sent`, then what the runtime acknowledged; it never
says a thing is stopped because the key was pressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult

from queenright.control.protocol import Done, Reach
from queenright_tui.look import Look
from queenright_tui.messages import Take, TakeMethod
from queenright_tui.model import Model, row_key
from queenright_tui.screens.place import Place, css
from queenright_tui.widgets.cell_text import Line, bit, clean
from queenright_tui.widgets.panel import Panel
from queenright_tui.words import clock, count, short_id

__all__ = ["StopScreen"]


@dataclass
class Pull:
    """One lever that was pulled."""

    what: str
    sent_ms: int
    done: Done | None = None
    refused: str = ""
    answered_ms: int = 0


class StopScreen(Place):
    """The fifth place, opened by `!`."""

    CSS_PATH: ClassVar = [css("place"), css("stop")]
    place: ClassVar = "stop"

    def __init__(self, model: Model, look: Look) -> None:
        super().__init__(model, look)
        self.target: str | None = None
        """The agent or intent that was selected where `!` was pressed."""
        self.pulls: list[Pull] = []

    def body(self) -> ComposeResult:
        yield Panel(self.look, id="what")
        yield Panel(self.look, focusable=True, id="levers")
        yield Panel(self.look, id="acks")

    def take_layout(self) -> None:
        for name in ("#what", "#levers", "#acks"):
            self.query_one(name, Panel).framed = self.wide

    def on_screen_resume(self) -> None:
        self.set_focus(self.query_one("#levers", Panel))

    # --- what is shown ---

    def _row(self) -> Any:
        return None if self.target is None else self.model.agents.get(row_key(self.target))

    def _swarm(self) -> Any:
        """The intent the selection lives under."""
        row = self._row()
        if row is None or "swarm" in row:
            return row
        return self.model.agents.get(row_key(row["intent"]))

    def refresh_view(self) -> None:
        row, swarm = self._row(), self._swarm()
        status = self.model.status
        lines: list[Line] = []
        if row is None:
            lines.append((bit("nothing is selected: only `everything` can be stopped", "need"),))
        else:
            name = clean(row["swarm"] if "swarm" in row else row["name"], 60)
            kind = "swarm" if "swarm" in row else "agent and everything it spawned"
            lines.append(
                (bit("selection  ", "dim"), bit(name, "bold"), bit(f"   {kind}   {short_id(row['id'])}"))
            )
        if swarm is not None:
            words = f"{swarm['agents']} agents, {swarm['leases']} leases, {swarm['asks_open']} open asks"
            lines.append(
                (bit("swarm      ", "dim"), bit(clean(swarm["swarm"], 60), "bold"), bit(f"   {words}"))
            )
        if status is not None:
            total = sum(status["agents"].values())
            words = f"{count(total)} agents, {count(status['leases'])} leases"
            lines.append(
                (bit("everything ", "dim"), bit(clean(status["name"], 60), "bold"), bit(f"   {words}"))
            )
        self.query_one("#what", Panel).show(tuple(lines), (bit("what can be stopped", "head"),))
        title = (bit("STOP: taking authority away is fast, giving it back is slow", "head"),)
        self.query_one("#levers", Panel).show(self._levers(swarm), title)
        self.query_one("#acks", Panel).show(self._acks(), (bit("sent and acknowledged", "head"),))

    def _levers(self, swarm: Any) -> tuple[Line, ...]:
        swarm_name = clean(swarm["swarm"], 40) if swarm is not None else "-"
        status = self.model.status
        all_name = clean(status["name"], 40) if status is not None else "-"

        def lever(key: str, name: str, does: str, takes: str, back: str) -> list[Line]:
            return [
                (bit(f"{key}  ", "key"), bit(f"{name:20}", "bold"), bit(does)),
                (bit(" " * 24), bit(f"takes: {takes}", "write"), bit(f"   back: {back}", "dim")),
            ]

        lines: list[Line] = [
            *lever(
                "!p",
                "PAUSE selection",
                "nothing of it runs; a command in progress is dropped",
                "enter",
                ":resume, signed",
            ),
            *lever(
                "!r",
                "REVOKE selection",
                "its leases and grants end at once; it may ask again",
                "enter",
                "a new grant only",
            ),
            *lever(
                "!s",
                "STOP swarm",
                "all its agents end, leases end, workspaces are kept",
                f"type {swarm_name}",
                "a new intent",
            ),
            *lever(
                "!a",
                "STOP EVERYTHING",
                "every agent and lease ends; the runtime stays up",
                f"type STOP {all_name}",
                "a new intent",
            ),
            (),
            (
                bit("Leaving this panel stops nothing (esc). The same by hand: ", "dim"),
                bit("queenright swarm stop", "dim"),
            ),
        ]
        return tuple(lines)

    def _acks(self) -> tuple[Line, ...]:
        status = self.model.status
        lines: list[Line] = []
        if status is not None:
            if status["stop_unacked"]:
                lines.append((bit(f"NOT ACKED by {status['stop_unacked']}: they may still act", "bad"),))
                for name in status["stop_late"]:
                    lines.append((bit(f"  NOT REACHED, ordered again: {clean(name, 70)}", "bad"),))
            else:
                words = {"ready": "ready", "stopping": "stopping", "stopped": "stopped: acknowledged by all"}[
                    status["stop"]
                ]
                lines.append((bit(f"runtime: {words}"),))
        if not self.pulls:
            lines.append((bit("no lever was pulled from this terminal", "dim"),))
        for pull in reversed(self.pulls[-5:]):
            lines += _pull_lines(pull)
        return tuple(lines)

    # --- keys ---

    def key_text(self, event: events.Key) -> str:
        """A lever is `!` and a letter, and `!` was pressed already."""
        key = super().key_text(event)
        return f"! {key}" if key in ("p", "r", "s", "a") else key

    def do_stop(self) -> None:
        """`!` again, as in `!p`: the panel is open already."""

    def key_hints(self) -> tuple[tuple[str, str], ...]:
        return (("p", "pause"), ("r", "revoke"), ("s", "stop swarm"), ("a", "stop all"), ("esc", "leave"))

    def do_copy(self) -> None:
        if self.target is not None:
            self.terminal.copy_id(self.target)

    def do_up(self) -> None:
        self.terminal.do_back()

    def _pull(self, method: TakeMethod, target: str, what: str) -> None:
        self.pulls.append(Pull(what, self.model.now_ms()))
        self.post_message(Take(method, target, "", what))

    def _selected(self, words: str) -> tuple[str, str] | None:
        row = self._row()
        if row is None:
            self.say("nothing is selected: esc, choose an agent or swarm, then ! again", "need")
            return None
        name = clean(row["swarm"] if "swarm" in row else row["name"], 40)
        return row["id"], f"{words} {name}"

    def do_stop_pause(self) -> None:
        found = self._selected("pause")
        if found is not None:
            self.confirm(found[1], lambda: self._pull("pause", *found))

    def do_stop_revoke(self) -> None:
        found = self._selected("revoke leases and grants of")
        if found is not None:
            self.confirm(found[1], lambda: self._pull("revoke", *found))

    def do_stop_swarm(self) -> None:
        swarm = self._swarm()
        if swarm is None:
            self.say("nothing is selected: esc, choose an agent or swarm, then ! again", "need")
            return
        self._typed(clean(swarm["swarm"], 40), "stop", swarm["id"], f"stop swarm {clean(swarm['swarm'], 40)}")

    def do_stop_all(self) -> None:
        status = self.model.status
        if status is not None:
            self._typed(f"STOP {clean(status['name'], 40)}", "stop", "all", "stop everything")

    def _typed(self, phrase: str, method: TakeMethod, target: str, what: str) -> None:
        def typed(text: str) -> None:
            if text.strip() == phrase:
                self._pull(method, target, what)
            else:
                self.say(f"`{text}` is not `{phrase}`: nothing was stopped", "need")

        self.ask_line(f"type {phrase}", typed)

    # --- what came of it ---

    def told(self, what: str, done: Done | None, refused: str = "") -> None:
        """The runtime answered a lever pulled here."""
        for pull in reversed(self.pulls):
            if pull.what == what and pull.answered_ms == 0:
                pull.done, pull.refused, pull.answered_ms = done, refused, self.model.now_ms()
                break
        self.refresh_all()


def _pull_lines(pull: Pull) -> list[Line]:
    sent = bit(f"{clock(pull.sent_ms)} sent: {pull.what}   ")
    if pull.refused:
        return [(sent, bit(f"REFUSED: {pull.refused}", "bad"))]
    if pull.done is None:
        return [(sent, bit("not acknowledged yet", "need"))]
    reached = f"{pull.done['count']} reached, entry {pull.done['leaf']}, {clock(pull.answered_ms)}"
    if pull.done["unacked"]:
        lines: list[Line] = [(sent, bit(f"NOT ACKED by {pull.done['unacked']}; {reached}", "bad"))]
    else:
        lines = [(sent, bit(f"enforced, {reached}"))]
    reach = pull.done.get("reach")
    return lines if reach is None else lines + _reach_lines(reach)


def _reach_lines(reach: Reach) -> list[Line]:
    """What is gone, by whose word and when; then by name what is not, what goes on and what nobody knows the end of."""
    kernel = [f"{reach[kind]} {kind}" for kind in ("cells", "commands", "acts") if reach[kind]]
    words = [f"kernel: {', '.join(kernel)}, {reach['processes']} processes gone"] if kernel else []
    if reach["turns"]:
        words.append(f"let go by shared cells: {reach['turns']}")
    if reach["connections"]:
        words.append(f"connections cut: {reach['connections']}")
    line: Line = (
        bit(f"  {'; '.join(words) or 'nothing of it was running'}; {reach['ms']} ms after the order", "dim"),
    )
    late = [(bit(f"  NOT REACHED: {clean(name, 70)}", "bad"),) for name in reach["late"]]
    going = [(bit(f"  goes on to its own end: {clean(name, 60)}", "need"),) for name in reach["finishing"]]
    unknown = [
        (bit(f"  UNKNOWN, ended in its effect: {clean(name, 60)}", "bad"),) for name in reach["unknown"]
    ]
    return [line, *late, *going, *unknown]
