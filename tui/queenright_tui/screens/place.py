"""What all places share: the bars, the prompt, and keys looked up in the registry. Layout is in place.tcss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, cast, runtime_checkable

from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from queenright_tui.commands import REGISTRY, Command
from queenright_tui.look import Look
from queenright_tui.model import Model
from queenright_tui.widgets.bars import Bar, KeyBar, spread
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, line_cells, mark
from queenright_tui.widgets.panel import Panel
from queenright_tui.widgets.prompt import Prompt
from queenright_tui.words import ago, clock, left

if TYPE_CHECKING:
    from queenright_tui.app import Terminal

__all__ = ["WIDE", "Place", "css"]

WIDE: Final = (120, 30)  # from this size on the full layout; below it the narrow one, made for 80x24
SMALLEST: Final = (80, 24)
MAX_EARLY: Final = 32  # keys typed ahead of a place that is being made


@runtime_checkable
class TakesKeys(Protocol):
    """A widget that moves by keys. True if the key was one of those."""

    def take_key(self, key: str) -> bool: ...


def css(name: str) -> Path:
    """The stylesheet that lies beside the module of that name."""
    return Path(__file__).with_name(f"{name}.tcss")


class Place(Screen[None]):
    """One of the five places. Subclasses give `body`, `refresh_view` and methods `do_<command>`."""

    CSS_PATH: ClassVar = [css("place")]
    BINDINGS: ClassVar = []
    AUTO_FOCUS: ClassVar = None
    ALLOW_SELECT: ClassVar = False
    place: ClassVar[str] = ""

    def __init__(self, model: Model, look: Look) -> None:
        super().__init__()
        self.model = model
        self.look = look
        self.wide = False
        self._composed = False
        self._early: list[events.Key] = []
        """Keys typed before the place was there."""
        self.notice: Line = ()
        self._answer: Callable[[str], None] | None = None
        self._typing: Callable[[str], None] | None = None
        self._if_left: Callable[[], None] | None = None
        self._before: Widget | None = None
        self._pending: Callable[[], None] | None = None

    @property
    def terminal(self) -> Terminal:
        """The app, by its own type."""
        return cast("Terminal", self.app)

    @property
    def ready(self) -> bool:
        """Whether its widgets are there to be drawn on: not before it was mounted, nor while it is taken down."""
        return self._composed and len(self.children) > 0 and self.is_running

    # --- layout ---

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield Bar(self.look, ground="line", id="top")
        yield Bar(self.look, id="crumb")
        yield from self.body()
        yield Bar(self.look, id="notice")
        yield Prompt(self.look, id="prompt")
        yield KeyBar(self.look, id="keybar")
        yield Bar(self.look, id="too-small")

    def on_mount(self) -> None:
        self.prompt.display = False
        self._composed = True
        self._fit()
        self.refresh_all()
        early, self._early = self._early, []
        for event in early:
            self.take_key(event)

    def on_resize(self, _event: events.Resize) -> None:
        if not self.ready:
            return
        self._fit()
        self.refresh_all()

    def _fit(self) -> None:
        width, height = self.app.size
        self.wide = width >= WIDE[0] and height >= WIDE[1]
        self.set_class(self.wide, "wide")
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "small")
        self.take_layout()

    def take_layout(self) -> None:
        """Take on the wide or the narrow layout. Called when the size changes."""

    def on_panel_sized(self, event: Panel.Sized) -> None:
        event.stop()
        self.refresh_all()

    # --- what is shown ---

    @property
    def prompt(self) -> Prompt:
        return self.query_one("#prompt", Prompt)

    def refresh_all(self) -> None:
        """Draw the model as it is now. Called once a frame at most, and after a key."""
        if not self.ready:
            return
        self.query_one("#top", Bar).line = self._top_line()
        self.query_one("#crumb", Bar).line = self._crumb_line()
        self.query_one("#notice", Bar).line = self.notice
        self.query_one("#keybar", KeyBar).keys = self.key_hints()
        small = f" {self.size.width}x{self.size.height} is too small (80x24). Use: queenright ask list, swarm stop"
        self.query_one("#too-small", Bar).line = (bit(small, "need"),)
        self.refresh_view()

    def refresh_view(self) -> None:
        raise NotImplementedError

    def crumb(self) -> str:
        """Where this is, in our own words and cleaned names."""
        return self.place

    def key_hints(self) -> tuple[tuple[str, str], ...]:
        """The keys of this place, most wanted first, as many as the bar holds."""
        return tuple(
            (c.key_text, c.does)
            for c in REGISTRY.of(self.place)
            if c.key and c.name not in ("up", "open", "keys", "detach")
        )

    def say(self, text: str, style: str = "") -> None:
        """One line about what just happened. `text` is sanitised like everything."""
        self.notice = (bit(f" {text}", style),)
        if self.ready:
            self.query_one("#notice", Bar).line = self.notice

    def _top_line(self) -> Line:
        model, wide = self.model, self.wide
        status = model.status
        name = status["name"] if status is not None else "no supervisor"
        tail: list[Bit] = [
            bit(f" {self.terminal.arming.words} ", "armed" if self.terminal.arming.armed else "observe")
        ]
        if status is not None and status["tier"] == "landlock-strict":
            tail.append(bit(f" DEGRADED {status['tier']} ", "bad"))
        oldest = model.oldest_ask_ms
        if oldest is not None:
            age = ago(model.now_ms() - oldest)
            words = (
                f" {model.open_asks} need you (oldest {age}) "
                if wide
                else f"{model.open_asks} need you {age} "
            )
            tail += [mark(" ▲", "need"), bit(words, "need")]
        else:
            tail.append(bit(" 0 need you ", "line"))
        if not model.up:
            tail.append(bit(f" NOT CONNECTED {ago(model.clock.boot_ms() - model.down_since)} ", "bad"))
        elif status is not None:
            tail += [self._stop_words(), mark(" ", "line"), bit(clock(model.now_ms()), "line")]
        right = (mark(" ", "line"), *tail, mark(" ", "line"))
        room = self.size.width - line_cells(right)
        return spread(
            next((lead for lead in self._identity_lines(name) if line_cells(lead) <= room), ()),
            right,
            self.size.width,
        )

    def _identity_lines(self, name: str) -> list[Line]:
        """Who and where, longest first: the first that fits is drawn, and the alarms beside it are never cut for it."""
        status, me = self.model.status, self.model.whoami
        short = bit(f" {name}", "line-bold")
        if me is None or status is None:
            return [(short,)]
        who = clean(me["operator"], 24)
        finger = f"{me['fingerprint'][:11]}…{me['fingerprint'][-2:]} key:{me['distance']}"
        long = bit(f" queenright {name}", "line-bold")
        return [
            (long, bit(f" · up {left(status['uptime_ms'])} · {who} {finger}", "line")),
            (long, bit(f" · {who} {finger}", "line")),
            (short, bit(f" · {who} {finger}", "line")),
            (short, bit(f" {who} key:{me['distance']}", "line")),
            (short, bit(f" {who}", "line")),
            (short,),
        ]

    def _stop_words(self) -> Bit:
        status = self.model.status
        assert status is not None
        if status["stop_unacked"]:
            return bit(f" stop: NOT ACKED {status['stop_unacked']} ", "bad")
        if status["stop"] == "ready":
            return bit(" stop: ready ", "line")
        return bit(f" stop: {status['stop']} ", "bad")

    def _crumb_line(self) -> Line:
        tabs: list[Bit] = [mark(" ")]
        for key, name in (("1", "Swarm"), ("2", "Inbox"), ("3", "Agent"), ("4", "Ledger"), ("!", "Stop")):
            here = name.lower() == self.place
            if not self.wide and not here:
                continue
            tabs.append(bit(f"{key} {name}", "bold" if here else "dim"))
            if name == "Inbox" and self.model.open_asks:
                tabs += [mark("▲", "need"), bit(str(self.model.open_asks), "need")]
            tabs.append(mark("  "))
        right = self.crumb_right()
        return spread((*tabs, bit(self.crumb(), "")), (*right, mark(" ")), self.size.width)

    def crumb_right(self) -> Line:
        return ()

    def on_screen_suspend(self) -> None:
        """Nothing half-done waits on a place that is not seen."""
        self._pending = None
        if self.ready and self.prompt.is_open:
            left = self._if_left
            self._close_prompt()
            if left is not None:
                left()

    def on_descendant_focus(self) -> None:
        self.refresh_all()

    def on_descendant_blur(self) -> None:
        self.refresh_all()

    # --- keys ---

    def key_text(self, event: events.Key) -> str:
        """The key as the registry writes it."""
        return event.character if event.is_printable and event.character else event.key

    def take_key(self, event: events.Key) -> None:
        """One key. The app hands them over one by one, in the order they were typed: what one key opened is open when
        the next one comes, however fast they were typed.
        """
        if not self.ready:
            if len(self._early) < MAX_EARLY:
                self._early.append(event)
            return
        key = self.key_text(event)
        if self.has_class("small") and key not in ("q", "?"):
            return
        if self.prompt.is_open:
            self.prompt.take(event)
            return
        pending, self._pending = self._pending, None
        if pending is not None:
            if key == "enter":
                self.say("")
                pending()
            else:
                self.say("left as it was", "dim")
        elif not (isinstance(self.focused, TakesKeys) and self.focused.take_key(key)):
            command = REGISTRY.find(key, self.place)
            if command is not None:
                self.run(command.name)
                return
        self.refresh_all()

    def run(self, name: str) -> None:
        """Carry out a command of this place, or hand it to the app."""
        handler = getattr(self, f"do_{name.replace('-', '_')}", None)
        if handler is None:
            handler = getattr(self.terminal, f"do_{name.replace('-', '_')}")
        handler()
        self.refresh_all()

    def wish(self, message: Message) -> None:
        """Post a wish to the app."""
        self.post_message(message)

    def confirm(self, words: str, then: Callable[[], None]) -> None:
        """Do `then` if the very next key is enter; any other key leaves things as they are and means nothing else."""
        self._pending = then
        self.say(f"{words}?  enter does it, any other key leaves it", "need")

    def do_command(self) -> None:
        """`:`: any command of this place by its name, or as much of it as is unambiguous."""
        self.ask_line(":", self._run_named, typing=self._complete)
        self._complete("")

    def _named(self, text: str) -> list[Command]:
        wanted = text.strip()
        found = [c for c in REGISTRY.of(self.place) if c.name.startswith(wanted) and c.name != "command"]
        same = [c for c in found if c.name == wanted]
        return same or found

    def _complete(self, text: str) -> None:
        found = self._named(text)
        self.prompt.hint = " ".join(c.name for c in found) if found else "no such command here"

    def _run_named(self, text: str) -> None:
        found = self._named(text)
        if len(found) == 1 and text.strip():
            self.run(found[0].name)
        else:
            several = " ".join(c.name for c in found)
            self.say(f"`{text}` is no command here" if not found else f"`{text}` could be: {several}", "need")

    # --- asking for a line of text ---

    def ask_line(
        self,
        label: str,
        answer: Callable[[str], None],
        *,
        value: str = "",
        hidden: bool = False,
        typing: Callable[[str], None] | None = None,
        left: Callable[[], None] | None = None,
    ) -> None:
        """Open the prompt; `answer` gets the line on enter, `left` is called on escape; `typing` hears each change."""
        self._answer, self._typing, self._if_left, self._before = answer, typing, left, self.focused
        self.query_one("#notice", Bar).display = False
        self.prompt.ask(label, value=value, hidden=hidden)

    def _close_prompt(self) -> None:
        self.prompt.forget()
        self.query_one("#notice", Bar).display = True
        self._answer = self._typing = None
        if self._before is not None and self._before.is_attached:
            self.set_focus(self._before)

    def on_prompt_done(self, event: Prompt.Done) -> None:
        event.stop()
        answer = self._answer
        self._close_prompt()
        self._if_left = None
        if answer is not None:
            answer(event.value)
        self.refresh_all()

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        if self._typing is not None:
            self._typing(event.value)

    def on_prompt_left(self, event: Prompt.Left) -> None:
        event.stop()
        self._close_prompt()
        left, self._if_left = self._if_left, None
        if left is not None:
            left()
        self.refresh_all()
