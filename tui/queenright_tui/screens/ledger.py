"""The ledger: what happened, newest first; one entry whole; and `V`, which checks all of it in this process.

Nothing here is green because the runtime says so: `verified` is written only from the result of a verification that ran
on this side, against the last checkpoint this operator saw.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from textual.app import ComposeResult

from queenright.control.protocol import LedgerPage, Why
from queenright.core import View
from queenright_tui.ask_card import exact
from queenright_tui.feed import Verified
from queenright_tui.look import Look
from queenright_tui.messages import NeedLedger, NeedVerify, NeedWhy
from queenright_tui.model import LEAF_COLUMNS, Model, leaf_key
from queenright_tui.screens.place import Place, css
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean, mark, wrap
from queenright_tui.widgets.live_table import Column, LiveTable, Shown
from queenright_tui.widgets.panel import Panel
from queenright_tui.words import clock, count, long_id, tail, until

__all__ = ["LedgerScreen"]


class LedgerScreen(Place):
    """Place 4."""

    CSS_PATH: ClassVar = [css("place"), css("ledger")]
    place: ClassVar = "ledger"

    def __init__(self, model: Model, look: Look) -> None:
        super().__init__(model, look)
        self.query_text = ""
        self.result: Verified | None = None
        self.result_words = ""
        self.result_at = 0
        self.verifying = False
        self.why: Why | None = None
        self.found: dict[bytes, Any] = {}
        """What a query found; without a query the model's rows are shown."""
        self.found_view = View(LEAF_COLUMNS)
        self.found_view.set_sort("index", True)

    def body(self) -> ComposeResult:
        yield Panel(self.look, id="verdict")
        yield LiveTable(
            self.look, self.model.clock, self.model.leaf_view, self.model.leaves, self._columns(), id="rows"
        )
        yield Panel(self.look, focusable=True, id="entry")

    @property
    def table(self) -> LiveTable:
        return self.query_one("#rows", LiveTable)

    @property
    def entry(self) -> Panel:
        return self.query_one("#entry", Panel)

    def take_layout(self) -> None:
        self.table.set_columns(self._columns(), boxed=self.wide)
        self.entry.framed = self.wide

    def on_screen_resume(self) -> None:
        self.set_focus(self.table)

    def _columns(self) -> list[Column]:
        def outcome(_shown: Shown, row: Any) -> Bit:
            bad = row["outcome"] in ("denied", "failed", "unknown", "refused")
            return bit(row["outcome"], "bad" if bad else "")

        columns = [
            Column("index", "#", 7, ">", lambda _shown, row: bit(row["index"], "dim")),
            Column("time", "time", 9, "<", lambda _shown, row: bit(clock(row["at_ms"]))),
            Column("kind", "kind", 15, "<", lambda _shown, row: bit(clean(row["kind"], 40))),
            Column(
                "who",
                "who",
                20 if self.wide else 12,
                "<",
                lambda _shown, row: bit(tail(clean(row["who"], 200), 20 if self.wide else 12)),
            ),
            Column(
                "what",
                "what",
                0,
                "<",
                lambda _shown, row: bit(f"{row['verb']} {clean(row['resource'], 160)}"),
            ),
            Column("outcome", "outcome", 9, "<", outcome),
        ]
        if self.wide:
            columns.append(
                Column("undo", "undo", 20, "<", lambda _shown, row: bit(clean(row["undo"], 80), "dim"))
            )
        return columns

    # --- what is shown ---

    def crumb(self) -> str:
        return "ledger" + (f" /{self.query_text}  {len(self.found)} found" if self.query_text else "")

    def crumb_right(self) -> Line:
        status = self.model.status
        return () if status is None else (bit(f"{count(status['ledger_size'])} entries", "dim"),)

    def refresh_view(self) -> None:
        self.query_one("#verdict", Panel).show(self._verdict())
        self.table.empty_line = (bit("nothing found" if self.query_text else "no entries yet", "dim"),)
        self.table.sync()
        if self.why is None:
            row = self._row()
            title = (bit("nothing selected" if row is None else f"entry {row['index']}", "head"),)
            self.entry.show(() if row is None else self._entry(row), title)
        else:
            self.entry.show(self._why_lines(self.why), (bit(f"why {clean(self.why['id'], 24)}", "head"),))

    def _verdict(self) -> tuple[Line, ...]:
        if self.verifying:
            return ((bit("reading the whole ledger and checking it in this process", "need"),), ())
        result = self.result
        if result is None:
            words = self.result_words or "not verified by this process yet: V"
            return ((bit(words, "need" if self.result_words else "dim"),), ())
        if not result.ok:
            return (
                (bit("NOT VERIFIED  ", "bad"), bit(result.words, "bad")),
                (bit("do not trust what is shown below", "bad"),),
            )
        words = f"{count(result.entries)} entries, root {long_id(result.root)[:19]}, {clock(self.result_at)}"
        if not result.complete:
            return ((bit("VERIFIED, INCOMPLETE  ", "need"), bit(words)), (bit(result.words, "need"),))
        return ((bit("VERIFIED  ", "verified"), bit(words)), (bit(result.words, "dim"),))

    def _row(self) -> Any:
        cursor = self.table.cursor_id
        return None if cursor is None else self.table.records.get(cursor)

    def _entry(self, row: Any) -> tuple[Line, ...]:
        lines: list[Line] = [
            (bit("hash ", "dim"), bit(row["hash"].hex()[:32]), bit(f"   {until(row['at_ms'])}", "dim")),
        ]
        try:
            fields = json.loads(row["entry"])
        except ValueError:
            lines.append((bit("the entry's bytes are not JSON: ", "bad"), bit(exact(row["entry"][:200]))))
            return tuple(lines)
        if not isinstance(fields, dict):
            fields = {"entry": fields}
        width = max(20, self.entry.inner_width - 16)
        for name, value in fields.items():
            text = exact(value)
            rows = wrap(text, width, limit=2000, rows=6)
            for index, part in enumerate(rows):
                lines.append(
                    (bit((clean(name, 14) if index == 0 else "").ljust(15), "dim"), mark(" "), bit(part))
                )
        return tuple(lines)

    def _why_lines(self, why: Why) -> tuple[Line, ...]:
        lines: list[Line] = []
        for step in why["steps"]:
            checked = bit("checked ", "") if step["checked"] else bit("told    ", "dim")
            at = "" if step["at_ms"] is None else clock(step["at_ms"])
            leaf = "" if step["leaf"] is None else f"#{step['leaf']}"
            lines.append(
                (
                    checked,
                    bit(f"{at:9} {leaf:7} ", "dim"),
                    bit(f"{clean(step['who'], 24)}  {clean(step['what'], 120)}"),
                )
            )
            if step["detail"]:
                for row in wrap(step["detail"], self.entry.inner_width - 12, limit=600, rows=4):
                    lines.append((mark("          "), bit("| ", "fence"), bit(row, "fence")))
        return tuple(lines)

    # --- what arrives ---

    def show_found(self, query: str, page: LedgerPage) -> None:
        """The answer to a query."""
        if query != self.query_text:
            return
        for key in list(self.found):
            del self.found[key]
            self.found_view.remove(key)
        for row in page["rows"]:
            key = leaf_key(row["index"])
            self.found[key] = row
            self.found_view.upsert(
                key, [row["index"], row["who"], row["verb"], row["resource"], row["outcome"]]
            )
        self.table.view, self.table.records = self.found_view, self.found
        self.table.cursor_id = None
        self.table.repaint_all()
        self.refresh_all()

    def show_verified(self, result: Verified | None, words: str = "") -> None:
        """The result of a verification; None with `words` when it could not be made."""
        self.verifying = False
        self.result, self.result_words = result, words
        self.result_at = self.model.now_ms()
        self.refresh_all()

    def show_why(self, why: Why) -> None:
        self.why = why
        self.refresh_all()

    # --- commands ---

    def on_live_table_moved(self, _event: LiveTable.Moved) -> None:
        self.why = None
        self.refresh_all()

    def do_open(self) -> None:
        self.set_focus(self.entry)

    def do_next_pane(self) -> None:
        self.set_focus(self.table if self.entry.has_focus else self.entry)

    def do_up(self) -> None:
        if self.entry.has_focus or self.why is not None:
            self.why = None
            self.set_focus(self.table)
        elif self.query_text:
            self._set_query("")

    def do_filter(self) -> None:
        self.ask_line(
            "find in the ledger (who:NAME what:VERB since:24h or text)",
            self._set_query,
            value=self.query_text,
        )

    def _set_query(self, query: str) -> None:
        self.query_text = query.strip()
        if self.query_text:
            self.post_message(NeedLedger(self.query_text))
            return
        self.table.view, self.table.records = self.model.leaf_view, self.model.leaves
        self.table.cursor_id = None
        self.table.repaint_all()

    def do_verify(self) -> None:
        if not self.verifying:
            self.verifying, self.result, self.result_words = True, None, ""
            self.post_message(NeedVerify())

    def do_why(self) -> None:
        row = self._row()
        target = None if row is None else _subject(row)
        if target is None:
            self.say("this entry is about no action, ask or lease", "need")
        else:
            self.post_message(NeedWhy(target))

    def do_hold(self) -> None:
        self.say("order held until h" if self.table.toggle_hold() else "order follows")

    def do_copy(self) -> None:
        row = self._row()
        target = None if row is None else _subject(row)
        if target is not None:
            self.terminal.copy_id(target)


def _subject(row: Any) -> str | None:
    """The id an entry is about: the first of its fields that is one."""
    try:
        fields = json.loads(row["entry"])
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    for name in ("action", "act", "ask", "lease", "denial", "intent", "agent"):
        value = fields.get(name)
        if isinstance(value, str) and "-" in value and len(value) <= 80 and value.isascii():
            return value
    return None
