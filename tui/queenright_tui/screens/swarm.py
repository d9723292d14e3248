"""The swarm: every agent under its intent and its parent, live, with a peek at the one under the cursor."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult

from queenright.errors import QueenrightError
from queenright_tui.look import STATE_MARKS, Look
from queenright_tui.messages import Give, GiveMethod, Take, TakeMethod
from queenright_tui.model import Model, row_key
from queenright_tui.screens.place import Place, css
from queenright_tui.widgets.bars import Bar
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, mark
from queenright_tui.widgets.live_table import Column, LiveTable, Shown
from queenright_tui.widgets.panel import Panel
from queenright_tui.widgets.spark import spark
from queenright_tui.words import count, left, short_id, under

__all__ = ["SwarmScreen", "health_bit", "state_bit"]

EXPIRING_MS = 120_000
SORTS = ("attention", "name", "state", "mailbox", "rate", "leases", "ttl", "errors")


def state_bit(state: str) -> Bit:
    """A state as mark, word and colour."""
    glyph, word, style = STATE_MARKS.get(state, ("▣", state, "suspect"))
    return mark(f"{glyph} {word}", style) if word.isascii() else bit(word, style)


def health_bit(errors: list[int]) -> Bit:
    """Six blocks of 10 s, high where nothing failed. Quiet while all is well."""
    style = "bad" if errors and errors[-1] else "" if any(errors) else "dim"
    return spark([7 - min(6, value) for value in errors], 6, style, top=8)


def _number(row: Any, name: str) -> Bit:
    """A count of an agent's; a swarm has none of its own."""
    return bit(count(row[name])) if name in row else Bit("")


def _is_swarm(row: Any) -> bool:
    return "swarm" in row


class SwarmScreen(Place):
    """Place 1."""

    CSS_PATH: ClassVar = [css("place"), css("swarm")]
    place: ClassVar = "swarm"

    def __init__(self, model: Model, look: Look) -> None:
        super().__init__(model, look)
        self.filter = ""
        self.sort = "attention"
        self.descending = True
        self.as_tree = True

    def body(self) -> ComposeResult:
        yield Bar(self.look, id="counts")
        yield Bar(self.look, id="sparks")
        yield Bar(self.look, id="tools")
        yield LiveTable(
            self.look,
            self.model.clock,
            self.model.agent_view,
            self.model.agents,
            self._columns(),
            id="agents",
        )
        yield Panel(self.look, id="peek")

    @property
    def table(self) -> LiveTable:
        return self.query_one("#agents", LiveTable)

    def on_screen_resume(self) -> None:
        self.set_focus(self.table)

    def take_layout(self) -> None:
        self.query_one("#peek", Panel).framed = self.wide
        self.table.set_columns(self._columns(), boxed=self.wide)

    # --- rows ---

    def _columns(self) -> list[Column]:
        wide = self.wide
        columns = [
            Column("name", "swarm / agent", 0, "<", self._name_cell),
            Column("state", "state", 13 if wide else 12, "<", lambda _shown, row: state_bit(row["state"])),
            Column("mailbox", "mbox", 6, ">", lambda _shown, row: _number(row, "mailbox")),
            Column("rate", "msg/s", 7, ">", lambda _shown, row: _number(row, "rate")),
            Column("leases", "lease", 6 if wide else 5, ">", lambda _shown, row: bit(count(row["leases"]))),
            Column("ttl", "ttl", 6, ">", self._ttl),
            Column("health", "health", 8 if wide else 6, "<", self._health),
        ]
        if wide:
            columns.append(Column("doing", "doing", 30, "<", self._doing))
        return columns

    def _name_cell(self, shown: Shown, row: Any) -> Bit:
        fold = ("▾ " if shown.is_open else "▸ ") if shown.has_children else "  "
        indent = "  " * min(shown.depth, 8)
        name = f"{row['swarm']}  {row['purpose']}" if _is_swarm(row) else row["name"]
        if self.as_tree and not _is_swarm(row) and row["parent"] is not None:
            parent = self.model.agents.get(row_key(row["parent"]))
            name = under(name, parent["name"]) if parent is not None and "name" in parent else name
        text = clean(name, 200)
        if self.look.ascii or not text.isascii():
            # A name with letters of its own cannot ride in a run of marks, so the fold is drawn in ASCII before it.
            return bit(
                f"{indent}{fold.replace('▾', '-').replace('▸', '+')}{text}", "bold" if _is_swarm(row) else ""
            )
        return mark(f"{indent}{fold}{text}", "bold" if _is_swarm(row) else "")

    def _ttl(self, _shown: Shown, row: Any) -> Bit:
        ends = row["not_after_ms"] if _is_swarm(row) else row.get("ends_ms")
        if ends is None:
            return bit("-", "dim")
        rest = ends - self.model.now_ms()
        return bit(("~" if rest < EXPIRING_MS else "") + left(rest), "ttl" if rest < EXPIRING_MS else "")

    def _health(self, _shown: Shown, row: Any) -> Bit:
        return Bit("") if _is_swarm(row) else health_bit(row["health"])

    def _doing(self, _shown: Shown, row: Any) -> Bit:
        if _is_swarm(row):
            open_asks = row["asks_open"]
            asks = f", {open_asks} {'ask' if open_asks == 1 else 'asks'}" if open_asks else ""
            return bit(f"{row['agents']} of {row['max_agents']} agents{asks}", "dim")
        return bit(clean(row["doing"], 200), "dim")

    # --- what is shown ---

    def refresh_view(self) -> None:
        self.query_one("#counts", Bar).line = self._counts()
        self.query_one("#sparks", Bar).line = self._sparks()
        self.query_one("#tools", Bar).line = self._tools()
        words = (
            "no agents: queenright intent apply FILE starts a swarm"
            if not self.filter
            else "nothing matches: esc clears"
        )
        self.table.empty_line = (bit(words, "dim"),)
        self.table.sync()
        self.query_one("#peek", Panel).show(self._peek(), self._peek_title())

    def _counts(self) -> Line:
        status = self.model.status
        if status is None:
            return (bit(f" {self.model.link_words}", "need"),)
        by_state = status["agents"]
        words: list[Bit] = [bit(f" agents {count(sum(by_state.values()))} ")]
        for state in ("run", "wait", "needs_human", "paused", "frozen", "suspect"):
            if by_state.get(state):
                glyph, word, style = STATE_MARKS[state]
                words += [mark(f" {glyph}", style), bit(f" {word.lower()} {count(by_state[state])} ", style)]
        words.append(bit(f" cells {status['cells']}  leases {count(status['leases'])}"))
        if "messages_per_s" in status:
            words.append(bit(f"  msg/s {count(status['messages_per_s'])}"))
        return tuple(words)

    def _sparks(self) -> Line:
        model, status = self.model, self.model.status
        line: list[Bit] = [mark(" ")]
        if status is not None and "mailbox_max" in status:
            line += [
                bit("mailbox ", "dim"),
                spark(model.mailbox_samples, 20),
                bit(f" max {status['mailbox_max']}    "),
            ]
        if status is not None and "denials_per_min" in status:
            line += [
                bit("deny/min ", "dim"),
                spark(model.denial_samples, 20),
                bit(f" {status['denials_per_min']:.1f}    "),
            ]
        if status is not None:
            # The runtime's own word: green is for what this process verified.
            sound = bit("ok") if status["ledger_ok"] else bit("BROKEN", "bad")
            line += [bit(f"ledger #{count(status['ledger_size'])} ", "dim"), sound]
            if status["memory"] != "hard":
                line.append(bit(f"    memory: {status['memory']}", "need"))
        if model.incidents:
            last = model.incidents[-1]
            line += [bit("   ! ", "bad"), bit(f"{last['kind']}: {clean(last['text'], 60)}", "bad")]
        return tuple(line)

    def _tools(self) -> Line:
        table = self.table
        order = "-" if self.descending else "+"
        shape = "tree" if self.as_tree else "flat"
        words = f" /{self.filter}  sort:{self.sort}{order}  {shape}  {count(len(table.view))} rows"
        held = "  order held (h lets go)" if table.held else "  order held 2s" if table.order_held else ""
        return (bit(words, "dim"), bit(held, "write"))

    def selected(self) -> Any:
        """The row a command may act on, or None."""
        cursor = self.table.live_cursor
        return None if cursor is None else self.model.agents.get(cursor)

    def _peek_title(self) -> Line:
        row = self.model.agents.get(self.table.cursor_id) if self.table.cursor_id else None
        if row is None:
            return (bit("nothing selected", "dim"),)
        name = row["swarm"] if _is_swarm(row) else row["name"]
        return (bit(f"{clean(name, 40)}  {short_id(row['id'])}", "head"),)

    def _peek(self) -> tuple[Line, ...]:
        row = self.model.agents.get(self.table.cursor_id) if self.table.cursor_id else None
        if row is None:
            return ()
        if _is_swarm(row):
            return (
                (bit("intent  ", "dim"), bit(clean(row["purpose"], 200))),
                (
                    bit("signed  ", "dim"),
                    bit(f"by {row['operator']}, revision {row['revision']}, {row['state']}"),
                ),
                (
                    bit("uses    ", "dim"),
                    bit(f"{row['agents']} of {row['max_agents']} agents, {row['leases']} leases"),
                ),
            )
        ask = next((a for a in self.model.asks.values() if a["agent"] == row["id"]), None)
        first: Line = (bit("doing   ", "dim"), bit(clean(row["doing"], 200) or "nothing"))
        if ask is not None:
            wants = f"{ask['verb']} {clean(ask['resource'], 60)}"
            words = f"{wants}  {ask['risk']}   {short_id(ask['id'])}   2 opens the inbox"
            first = (bit("waits on", "need"), mark(" "), bit(words, "need"))
        cell = f"{row['cell']}{' (shared)' if row['shared'] else ''}, life {row['incarnation']}"
        return (
            first,
            (bit("chain   ", "dim"), bit(self._chain(row))),
            (bit("cell    ", "dim"), bit(f"{cell}   behaviour {clean(row['behaviour'], 60)}")),
        )

    def _chain(self, row: Any) -> str:
        names: list[str] = []
        at: Any = row
        while at is not None and len(names) < 12:
            parent = self.model.agents.get(row_key(at["parent"])) if at["parent"] is not None else None
            above = parent["name"] if parent is not None and "name" in parent else ""
            names.append(clean(under(at["name"], above), 24))
            at = parent
        intent = self.model.agents.get(row_key(row["intent"]))
        if intent is not None:
            names.append(f"{clean(intent['operator'], 24)} ({short_id(row['intent'])})")
        return " > ".join(reversed(names))

    def crumb(self) -> str:
        return "swarm" + (f" /{self.filter}" if self.filter else "")

    # --- commands ---

    def on_live_table_moved(self, _event: LiveTable.Moved) -> None:
        self.refresh_all()

    def do_open(self) -> None:
        row = self.selected()
        if row is None:
            return
        if _is_swarm(row):
            self.table.view.toggle(row_key(row["id"]))
            self.table.sync()
        else:
            self.terminal.open_agent(row["id"])

    def do_log(self) -> None:
        row = self.selected()
        if row is not None and not _is_swarm(row):
            self.terminal.open_agent(row["id"])

    def do_filter(self) -> None:
        self.ask_line(
            "filter (text, column:text, column:>5, !not, /glob*/)",
            self._set_filter,
            value=self.filter,
            typing=self._set_filter,
            left=lambda: self._set_filter(""),
        )

    def _set_filter(self, query: str) -> None:
        try:
            self.table.view.set_filter(query)
        except QueenrightError as error:
            self.say(f"filter: {error.message}", "need")
            return
        self.filter = query
        self.refresh_all()

    def do_up(self) -> None:
        if self.filter:
            self._set_filter("")

    def do_sort(self) -> None:
        self.ask_line(f"sort by ({' '.join(SORTS)})", self._set_sort)

    def _set_sort(self, text: str) -> None:
        matches = [name for name in SORTS if name.startswith(text.strip())] if text.strip() else []
        if not matches:
            self.say(f"no column `{text}`: one of {' '.join(SORTS)}", "need")
            return
        self.descending = not self.descending if matches[0] == self.sort else matches[0] != "name"
        self.sort = matches[0]
        self.table.view.set_sort(self.sort, self.descending)

    def do_tree(self) -> None:
        self.as_tree = not self.as_tree
        self.table.view.set_tree(self.as_tree)

    def do_hold(self) -> None:
        held = self.table.toggle_hold()
        self.say("order held until h" if held else "order follows")

    def do_copy(self) -> None:
        row = self.selected()
        if row is not None:
            self.terminal.copy_id(row["id"])

    def _take(self, method: TakeMethod, words: str) -> None:
        row = self.selected()
        if row is None:
            self.say("nothing is selected")
            return
        name = row["swarm"] if _is_swarm(row) else row["name"]
        what = f"{words} {clean(name, 40)}"
        wish = Take(method, row["id"], "", what)
        self.confirm(what, lambda: self.wish(wish))

    def do_revoke(self) -> None:
        self._take("revoke", "revoke leases and grants of")

    def do_pause(self) -> None:
        self._take("pause", "pause")

    def do_freeze(self) -> None:
        self._take("freeze", "freeze")

    def _give(self, method: GiveMethod) -> None:
        row = self.selected()
        if row is None or not self.terminal.may_give():
            return
        name = clean(row["swarm"] if _is_swarm(row) else row["name"], 40)
        target = row["id"]

        def typed(text: str) -> None:
            if text == name:
                self.post_message(Give(method, target, f"{method} {name}"))
            else:
                self.say(f"`{text}` is not `{name}`: nothing was done", "need")

        self.ask_line(f"{method}: type {name}", typed)

    def do_resume(self) -> None:
        self._give("resume")

    def do_unfreeze(self) -> None:
        self._give("unfreeze")
