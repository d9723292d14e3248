"""The inbox: who waits for you, and the request drawn from its signed bytes.

A decision key works only while the card has the focus, the request has been on screen for 400 ms unchanged and
to its last line. A new request never takes the focus and never replaces the one on the card.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.containers import Container

from queenright.errors import QueenrightError
from queenright_tui.ask_card import Choice, ask_deadline, card_lines, exact, sign_lines, ttl_default
from queenright_tui.feed import OpenAsk
from queenright_tui.friction import Demand, Settled, demand
from queenright_tui.look import Look
from queenright_tui.messages import NeedAsk
from queenright_tui.model import Model, row_key
from queenright_tui.screens.place import Place, css
from queenright_tui.widgets.bars import Bar
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, mark
from queenright_tui.widgets.live_table import Column, LiveTable, Shown
from queenright_tui.widgets.panel import Panel
from queenright_tui.words import ago, left, short_id, tail

__all__ = ["InboxView", "risk_bit"]

_RISK_STYLE: Final = {"LOW": "", "MED": "write", "HIGH": "need", "CRITICAL": "bad"}


def risk_bit(risk: str) -> Bit:
    """The risk in words; colour only adds to it."""
    return bit("CRIT" if risk == "CRITICAL" else risk, _RISK_STYLE.get(risk, "bad"))


def _as_drawn(drawn: OpenAsk, now: OpenAsk) -> OpenAsk:
    """Equal requests that came since are named on the card and not covered by it: they never move what is drawn."""
    old, new = drawn.detail["members"], now.detail["members"]
    if drawn.detail["bytes"] != now.detail["bytes"] or not set(old) <= set(new):
        return now
    more = len(new) - len(old) + now.detail["more"]
    return replace(drawn, detail={**drawn.detail, "row": now.detail["row"], "more": more})


class InboxView(Place):
    """The list and the card; what a key decides is in `inbox`."""

    CSS_PATH: ClassVar = [css("place"), css("inbox")]
    place: ClassVar = "inbox"

    def __init__(self, model: Model, look: Look) -> None:
        super().__init__(model, look)
        self.open_ask: OpenAsk | None = None
        self.wanted: str | None = None
        """The request the card is for; `open_ask` is it as far as it has arrived."""
        self.choice: Choice | None = None
        self.whole_diff = False
        self.settled = Settled(model.clock)
        self.outcome: Line = ()
        self.busy = False
        """A signed verdict is on its way: no other key decides."""

    def body(self) -> ComposeResult:
        with Container(id="desk"):
            with Container(id="left"):
                yield LiveTable(
                    self.look,
                    self.model.clock,
                    self.model.ask_view,
                    self.model.asks,
                    self._columns(),
                    id="asks",
                )
                yield Panel(self.look, id="decided")
            with Container(id="right"):
                yield Panel(self.look, focusable=True, id="card")
                yield Panel(self.look, id="sign")
                yield Bar(self.look, id="ready")

    @property
    def table(self) -> LiveTable:
        return self.query_one("#asks", LiveTable)

    @property
    def card(self) -> Panel:
        return self.query_one("#card", Panel)

    # --- layout ---

    def take_layout(self) -> None:
        self.table.set_columns(self._columns(), boxed=self.wide)
        for name in ("#card", "#decided", "#sign"):
            self.query_one(name, Panel).framed = self.wide
        self.set_class(not self.wide and not self.in_card, "list")
        self._redraw_card()

    def on_screen_resume(self) -> None:
        self.focus_list()

    @property
    def in_card(self) -> bool:
        """Whether the operator is on the card: with the focus on it, or typing into a field it opened."""
        return self.card.has_focus or (self.prompt.is_open and self._before is self.card)

    def focus_list(self) -> None:
        """Leave the card: no decision key works until it is entered again."""
        self.set_class(not self.wide, "list")
        self.set_focus(self.table)

    def focus_card(self) -> None:
        if self.wanted is None:
            return
        self.set_class(False, "list")
        self.set_focus(self.card)

    def _who(self, _shown: Shown, row: Any) -> Bit:
        return bit(tail(clean(row["agent_name"], 200), 11 if self.wide else 18))

    def _columns(self) -> list[Column]:
        def waiting(_shown: Shown, row: Any) -> Bit:
            return bit(ago(self.model.now_ms() - row["raised_ms"]))

        def wants(_shown: Shown, row: Any) -> Bit:
            group = f" x{row['members']}" if row["members"] > 1 else ""
            return bit(f"{row['verb']}{group} {clean(row['resource'], 120)}")

        columns = [
            Column("risk", "risk", 4, "<", lambda _shown, row: risk_bit(row["risk"])),
            Column("age", "age", 6, ">", waiting),
            Column(
                "agent",
                "who",
                11 if self.wide else 18,
                "<",
                self._who,
            ),
            Column("wants", "wants", 0, "<", wants),
        ]
        if not self.wide:
            columns.append(
                Column(
                    "left",
                    "left",
                    6,
                    ">",
                    lambda _s, row: bit(left(row["deadline_ms"] - self.model.now_ms())),
                )
            )
        return columns

    # --- what is shown ---

    def crumb(self) -> str:
        if self.wanted is None:
            return "inbox"
        return f"inbox > {short_id(self.wanted)}"

    def key_hints(self) -> tuple[tuple[str, str], ...]:
        if not self.in_card:
            return (("enter", "open card"), *super().key_hints()[4:])
        return super().key_hints()

    def refresh_view(self) -> None:
        self.table.empty_line = (bit("nobody waits for you", "dim"),)
        self.table.sync()
        self._follow()
        decided = [self._decided(row) for row in list(self.model.decided)[:6]]
        self.query_one("#decided", Panel).show(
            tuple(decided), (bit("decided here since you attached", "head"),)
        )
        self._redraw_card()

    def _decided(self, row: Any) -> Line:
        words = f"{clean(row['decided_by'], 16) or 'nobody'} {row['verdict'] or row['state']}"
        return (bit(f"{words}  {row['verb']} {clean(row['resource'], 60)}"),)

    def _follow(self) -> None:
        """While the list has the focus the card previews the cursor's request; while the card has it, nothing moves."""
        if self.in_card:
            return
        cursor = self.table.live_cursor
        row = None if cursor is None else self.model.asks.get(cursor)
        wanted = None if row is None else row["id"]
        if wanted is not None and wanted != self.wanted:
            self.request(wanted)

    def request(self, ask: str) -> None:
        """Show this request on the card as soon as it arrives."""
        self.wanted = ask
        self.open_ask = self.choice = None
        self.outcome = ()
        self.whole_diff = False
        self.settled.gone()
        self.post_message(NeedAsk(ask))

    def show_ask(self, ask: OpenAsk) -> None:
        """The request arrived, or changed."""
        if ask.detail["row"]["id"] != self.wanted:
            return
        if self.open_ask is not None:
            ask = _as_drawn(self.open_ask, ask)
        changed = self.open_ask is not None and self.open_ask.digest != ask.digest
        if self.open_ask is None or changed:
            self.choice = Choice(ask.count, ttl_default(ask, self.model.now_ms()))
            self._pending = None
        if changed:
            # What was typed or confirmed was about something else.
            if self._answer is not None:
                self._close_prompt()
            self.say("scope changed, look again", "bad")
        self.open_ask = ask
        self._redraw_card(reset=changed)
        self.refresh_all()

    def told(self, line: Line) -> None:
        """What came of a decision, on the card itself."""
        self.outcome = line
        self.busy = False
        self._redraw_card()

    def _row(self) -> Any:
        """The list's row of the request on the card; None once it is decided or gone."""
        return None if self.wanted is None else self.model.asks.get(row_key(self.wanted))

    def _redraw_card(self, *, reset: bool = False) -> None:
        if not self.ready:
            return
        card, sign, ready = self.card, self.query_one("#sign", Panel), self.query_one("#ready", Bar)
        ask = self.open_ask
        if ask is None or self.choice is None:
            card.show(
                (), (bit("no request" if self.wanted is None else "fetching the request", "dim"),), reset=True
            )
            sign.show((), ())
            ready.line = ()
            return
        now = self.model.now_ms()
        width = card.inner_width
        risk = str(ask.body["risk"])
        title = (
            risk_bit(risk),
            mark(" "),
            bit(clean(f"{ask.body['verb']} {exact(ask.body['resource'])}", 80), ""),
        )
        card.show(card_lines(ask, width, now, whole_diff=self.whole_diff), title, reset=reset)
        sign.show(
            sign_lines(ask, self.choice, self._demand(ask), sign.inner_width, now),
            (bit("what you sign", "head"),),
        )
        ready.line = self._readiness(ask)
        if self.is_current:
            self.call_after_refresh(self._painted, ask.digest)

    def _painted(self, digest: bytes) -> None:
        if self.open_ask is not None and self.open_ask.digest == digest and self.card.size.height:
            self.settled.painted(digest, same_place=True)
            self.query_one("#ready", Bar).line = self._readiness(self.open_ask)

    def _demand(self, ask: OpenAsk) -> Demand:
        return demand(
            str(ask.body["risk"]),
            str(ask.body["resource"]),
            same_user=ask.detail["context"]["accept_same_user"],
        )

    def _readiness(self, ask: OpenAsk) -> Line:
        """Whether a decision key would work now, and if not, why: the same test that the keys take."""
        if self.outcome:
            return (mark(" "), *self.outcome)
        why = self._why_not(ask)
        if why:
            return (bit(f" {why}", "need"),)
        if not self.card.seen_whole:
            return (bit(f" {self._unseen()} more lines to see before you can approve: j or pgdn", "need"),)
        return (bit(" keys are ready (shown whole and unchanged)", "dim"),)

    def _unseen(self) -> int:
        return len(self.card.lines) - self.card.seen_to

    def _why_not(self, ask: OpenAsk) -> str:
        if self.busy:
            return "a verdict is on its way"
        if self._row() is None:
            return "this request is no longer open"
        if ask_deadline(ask) <= self.model.now_ms():
            return "this request has expired: it is denied"
        if not self.in_card:
            return "enter or tab goes to the card; decision keys work only there"
        if not self.settled.ready(ask.digest):
            return (
                "scope changed, look again"
                if self.settled.changed
                else "keys wait until the request was on screen for 0.4 s"
            )
        return ""

    def on_panel_seen(self, event: Panel.Seen) -> None:
        event.stop()
        if self.open_ask is not None:
            self.query_one("#ready", Bar).line = self._readiness(self.open_ask)

    def tick(self) -> None:
        """Called by the app's frames, so that the countdown and the readiness are true."""
        self._redraw_card()

    # --- moving ---

    def on_live_table_moved(self, _event: LiveTable.Moved) -> None:
        self.refresh_all()

    def do_open(self) -> None:
        self.focus_card()

    def do_next_pane(self) -> None:
        if self.card.has_focus:
            self.focus_list()
        else:
            self.focus_card()

    def do_up(self) -> None:
        if self.card.has_focus:
            self.focus_list()

    def _step(self, rows: int) -> None:
        self.table.move(rows)
        cursor = self.table.live_cursor
        if cursor is not None and cursor in self.model.asks:
            self.request(self.model.asks[cursor]["id"])

    def do_next_item(self) -> None:
        self._step(1)

    def do_previous_item(self) -> None:
        self._step(-1)

    def do_hold(self) -> None:
        self.say("order held until h" if self.table.toggle_hold() else "order follows")

    def do_filter(self) -> None:
        self.ask_line("filter", self._set_filter, typing=self._set_filter, left=lambda: self._set_filter(""))

    def _set_filter(self, query: str) -> None:
        try:
            self.table.view.set_filter(query)
        except QueenrightError as error:
            self.say(f"filter: {error.message}", "need")
        self.refresh_all()

    def do_diff(self) -> None:
        self.whole_diff = not self.whole_diff

    def do_copy(self) -> None:
        if self.wanted is not None:
            self.terminal.copy_id(self.wanted)
