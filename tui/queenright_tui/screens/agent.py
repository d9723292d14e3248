"""One agent: who it is and by whose word, what it may do, what it writes, what it did and how to undo that."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.containers import Horizontal

from queenright.control.protocol import AgentDetail, LogPage, UndoPreview
from queenright.core import View
from queenright_tui.ask_card import exact
from queenright_tui.friction import Settled
from queenright_tui.look import Look
from queenright_tui.messages import Give, GiveMethod, NeedAgent, NeedUndo, NeedWhy, Take, TakeMethod, Undo
from queenright_tui.model import Model, leaf_key, row_key
from queenright_tui.screens.place import Place, css
from queenright_tui.screens.swarm import health_bit, state_bit
from queenright_tui.undo_plan import plan_lines, undo_bit, undo_phrase
from queenright_tui.widgets.bars import Bar
from queenright_tui.widgets.cell_text import Bit, Line, bit, clean
from queenright_tui.widgets.live_log import LiveLog
from queenright_tui.widgets.live_table import Column, LiveTable, Shown
from queenright_tui.widgets.panel import Panel
from queenright_tui.words import clock, left, short_id

__all__ = ["AgentScreen"]

ACT_COLUMNS: Final = (("leaf", "int"), ("verb", "text"), ("resource", "text"))


class AgentScreen(Place):
    """Place 3."""

    CSS_PATH: ClassVar = [css("place"), css("agent")]
    place: ClassVar = "agent"

    def __init__(self, model: Model, look: Look) -> None:
        super().__init__(model, look)
        self.agent: str | None = None
        self.detail: AgentDetail | None = None
        self.preview: UndoPreview | None = None
        self.outcome = ""
        self.acts: dict[bytes, Any] = {}
        self.act_view = View(ACT_COLUMNS)
        self.act_view.set_sort("leaf", True)
        self.settled = Settled(model.clock)

    def body(self) -> ComposeResult:
        yield Panel(self.look, id="identity")
        with Horizontal(id="facts"):
            yield Panel(self.look, id="leases")
            yield Panel(self.look, id="mailbox")
        yield Bar(self.look, id="log-title")
        yield LiveLog(self.look, self._log_line, id="log")
        yield LiveTable(self.look, self.model.clock, self.act_view, self.acts, self._columns(), id="acts")
        yield Panel(self.look, focusable=True, id="plan")

    @property
    def table(self) -> LiveTable:
        return self.query_one("#acts", LiveTable)

    @property
    def plan(self) -> Panel:
        return self.query_one("#plan", Panel)

    def take_layout(self) -> None:
        self.set_class(not self.wide, "narrow")
        if not self.wide and not self.has_class("acts"):
            self.add_class("log")
        for name in ("#identity", "#leases", "#mailbox", "#plan"):
            self.query_one(name, Panel).framed = self.wide
        self.table.set_columns(self._columns(), boxed=self.wide)

    def on_screen_resume(self) -> None:
        if self.preview is None:
            self.set_focus(self.table if self.has_class("acts") else self.query_one("#log", LiveLog))
        if self.agent is not None:
            self.post_message(NeedAgent(self.agent))

    # --- what it is about ---

    def open(self, agent: str) -> None:
        """Show this agent; its detail and log are asked for."""
        if agent != self.agent:
            self.agent, self.detail, self.preview = agent, None, None
            self.outcome = ""
            self.acts.clear()
            for key in [row[0] for row in self.act_view.window(0, len(self.act_view))]:
                self.act_view.remove(key)
            if self.ready:
                self.query_one("#log", LiveLog).replace(())
                self.remove_class("planning")

    def show_agent(self, detail: AgentDetail) -> None:
        """The detail arrived."""
        if detail["row"]["id"] != self.agent:
            return
        self.detail = detail
        seen = set()
        for act in detail["actions"]:
            key = leaf_key(act["leaf"])
            seen.add(key)
            self.acts[key] = act
            self.act_view.upsert(key, [act["leaf"], act["verb"], act["resource"]])
        for key in [key for key in self.acts if key not in seen]:
            del self.acts[key]
            self.act_view.remove(key)
        self.refresh_all()

    def show_log(self, agent: str, page: LogPage) -> None:
        """What the agent wrote before this screen listened."""
        if agent == self.agent and self.ready:
            self.query_one("#log", LiveLog).replace(page["lines"])
            self.refresh_all()

    # --- what is shown ---

    def _live(self) -> Any:
        row = self.model.agents.get(row_key(self.agent)) if self.agent is not None else None
        return row if row is not None else self.detail["row"] if self.detail is not None else None

    def crumb(self) -> str:
        row = self._live()
        return "agent" if row is None else f"agent > {clean(row['name'], 40)}"

    def crumb_right(self) -> Line:
        row = self._live()
        return () if row is None else (state_bit(row["state"]),)

    def refresh_view(self) -> None:
        identity = self.query_one("#identity", Panel)
        row = self._live()
        if row is None:
            words = "no agent chosen: 1, then enter on one" if self.agent is None else "fetching the agent"
            identity.show((), (bit(words, "dim"),))
            return
        identity.show(self._identity(row), (bit("identity and lineage", "head"),))
        self.query_one("#leases", Panel).show(
            self._leases(), (bit(f"may do, and leases {row['leases']}", "head"),)
        )
        self.query_one("#mailbox", Panel).show(self._mailbox(), (bit(f"mailbox {row['mailbox']}", "head"),))
        log = self.query_one("#log", LiveLog)
        log.write(self.model.log_lines.pop(self.agent or "", ()))
        log.empty_line = (bit("nothing was written yet", "dim"),)
        log.sync()
        follow = "following" if not log.back else f"{log.back} lines back, G follows"
        acts = self.has_class("acts") and not self.wide
        here = "bold" if log.has_focus else "dim"
        title: Line = (bit(" log (untrusted) ", here), bit(f"{len(log.ring)} lines, {follow}  ", "dim"))
        if not self.wide:
            title = (
                bit(" log ", "dim" if acts else "bold"), bit(f" actions {len(self.acts)} ", "bold" if acts else "dim"),
                bit(f" l and o change; {len(log.ring)} lines, {follow}", "dim"),
            )  # fmt: skip
        self.query_one("#log-title", Bar).line = title
        self.table.empty_line = (bit("it has not acted yet", "dim"),)
        self.table.sync()
        if self.preview is not None:
            self._show_plan(self.preview)

    def _identity(self, row: Any) -> tuple[Line, ...]:
        shared = " shared" if row["shared"] else " own"
        first = (
            bit("id      ", "dim"),
            bit(short_id(row["id"])),
            bit(
                f"   behaviour {clean(row['behaviour'], 40)}   cell {row['cell']}{shared}   life {row['incarnation']}"
            ),
        )
        detail = self.detail
        if detail is None:
            return (first,)
        chain = " > ".join(f"{clean(link['name'], 24)} ({link['kind']})" for link in detail["chain"])
        ends, born = clock(detail["not_after_ms"]), clock(detail["born_ms"])
        rights = f"until {ends}   born {born}   children {detail['children']}"
        lines = [
            first,
            (bit("chain   ", "dim"), bit(chain)),
            (bit("granted ", "dim"), bit(rights + "   errors ", ""), health_bit(row["health"])),
        ]
        if detail["ask"] is not None:
            lines.append(
                (bit("waits on", "need"), bit(f" {short_id(detail['ask'])}   2 opens the inbox", "need"))
            )
        elif detail["last_error"]:
            lines.append(
                (bit("error   ", "bad"), bit("| ", "fence"), bit(clean(detail["last_error"], 300), "fence"))
            )
        return tuple(lines)

    def _leases(self) -> tuple[Line, ...]:
        if self.detail is None:
            return ()
        now = self.model.now_ms()
        lines: list[Line] = []
        for lease in self.detail["leases"]:
            ends = left(lease["expires_ms"] - now)
            words = (
                f"{short_id(lease['id'])} {exact(lease['resource'])} {lease['delivery']} {lease['state']} "
            )
            lines.append(
                (
                    bit(words),
                    bit(ends, "ttl" if lease["expires_ms"] - now < 120_000 else ""),
                    bit(f" {lease['uses']} uses"),
                )
            )
        for rule in self.detail["grant"]:
            limit = "" if rule["max"] is None else f" {rule['used'] or 0}/{rule['max']}"
            style = "need" if rule["mode"] == "ask" else ""
            verb = "may delegate " if rule["authority"] == "delegate" else ""
            lines.append(
                (
                    bit(f"{rule['mode']:5} ", style),
                    bit(f"{verb}{','.join(rule['verbs'])} {exact(rule['resource'])}{limit}"),
                )
            )
        return tuple(lines) or ((bit("nothing: everything it wants is refused", "dim"),),)

    def _mailbox(self) -> tuple[Line, ...]:
        if self.detail is None:
            return ()
        return tuple(
            (
                bit(
                    f"{clock(m['at_ms'])} {clean(m['sender_name'], 24)} > {clean(m['type'], 40)} {m['bytes']} B"
                ),
            )
            for m in self.detail["mailbox"][:20]
        ) or ((bit("empty (bodies are sealed: only the agent reads them)", "dim"),),)

    def _log_line(self, record: Any) -> Line:
        stream = {"log": "", "stderr": "err ", "runtime": "run "}.get(record["stream"], "")
        return (
            bit(f"{clock(record['at_ms'])} ", "dim"),
            bit(stream, "need"),
            bit("| ", "fence"),
            bit(clean(record["text"], 2000)),
        )

    def _columns(self) -> list[Column]:
        def act(_shown: Shown, row: Any) -> Bit:
            return bit(f"{row['verb']} {exact(row['resource'])}")

        def outcome(_shown: Shown, row: Any) -> Bit:
            return bit(row["outcome"], "bad" if row["outcome"] in ("failed", "unknown") else "")

        columns = [
            Column("leaf", "#", 7, ">", lambda _shown, row: bit(row["leaf"], "dim")),
            Column("time", "time", 9, "<", lambda _shown, row: bit(clock(row["at_ms"]))),
            Column("what", "action", 0, "<", act),
            Column("outcome", "outcome", 8, "<", outcome),
            Column("class", "undo class", 17, "<", lambda _shown, row: undo_bit(row["reversibility"])),
        ]
        if self.wide:
            columns.append(
                Column("undo", "how", 34, "<", lambda _shown, row: bit(clean(row["undo"], 200), "dim"))
            )
        return columns

    # --- commands ---

    def _pane(self, name: str) -> None:
        if self.preview is not None:
            self.do_up()
        self.set_class(name == "acts", "acts")
        self.set_class(name == "log" and not self.wide, "log")
        self.set_focus(self.table if name == "acts" else self.query_one("#log", LiveLog))

    def do_log(self) -> None:
        self._pane("log")

    def do_actions(self) -> None:
        self._pane("acts")

    def do_next_pane(self) -> None:
        self._pane("log" if self.table.has_focus else "acts")

    def do_up(self) -> None:
        if self.preview is not None:
            self.preview = None
            self.settled.gone()
            self.remove_class("planning")
            self.set_focus(self.table)
        else:
            self.terminal.do_swarm()

    def do_open(self) -> None:
        if self.preview is not None:
            self._sign_undo()
            return
        self.do_why()

    def _act(self) -> Any:
        cursor = self.table.live_cursor
        return None if cursor is None or not self.table.has_focus else self.acts.get(cursor)

    def do_why(self) -> None:
        act = self._act()
        if act is None:
            self.say("put the cursor on an action first: o, then j and k", "need")
        else:
            self.post_message(NeedWhy(act["id"]))

    def _step(self, rows: int) -> None:
        found = self.terminal.step_agent(self.agent, rows) if self.agent is not None else None
        if found is not None:
            self.terminal.open_agent(found)

    def do_next_item(self) -> None:
        self._step(1)

    def do_previous_item(self) -> None:
        self._step(-1)

    def do_copy(self) -> None:
        act = self._act()
        target = act["id"] if act is not None else self.agent
        if target is not None:
            self.terminal.copy_id(target)

    # taking away

    def _take(self, method: TakeMethod, words: str) -> None:
        row = self._live()
        if row is None:
            self.say("no agent chosen", "need")
            return
        what = f"{words} {clean(row['name'], 40)}"
        wish = Take(method, row["id"], "", what)
        self.confirm(what, lambda: self.wish(wish))

    def do_revoke(self) -> None:
        self._take("revoke", "revoke leases and grants of")

    def do_pause(self) -> None:
        self._take("pause", "pause")

    def do_freeze(self) -> None:
        self._take("freeze", "freeze")

    # giving back

    def _give(self, method: GiveMethod) -> None:
        row = self._live()
        if row is None or not self.terminal.may_give():
            return
        name, target = clean(row["name"], 40), row["id"]

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

    # undo: first what would happen, then a signature over exactly that

    def do_undo(self) -> None:
        act = self._act()
        if act is None:
            self.say("put the cursor on an action first: o, then j and k", "need")
        elif act["reversibility"] in ("read", "none") or act["outcome"] == "undone":
            words = {"read": "it only read", "none": f"nothing can put it back: {act['undo']}"}.get(
                act["reversibility"], "it is undone already"
            )
            self.say(words, "need")
        else:
            self.say("asking what undoing it would do")
            self.post_message(NeedUndo(act["id"]))

    def show_preview(self, preview: UndoPreview) -> None:
        """What undoing would do; nothing has been done."""
        self.preview = preview
        self.add_class("planning")
        self._show_plan(preview, reset=True)
        self.set_focus(self.plan)
        self.say("")
        self.refresh_all()

    def _show_plan(self, preview: UndoPreview, *, reset: bool = False) -> None:
        title = (bit(f"undo {short_id(preview['target'])}: what would happen", "head"),)
        self.plan.show(plan_lines(preview, self.plan.inner_width), title, reset=reset)
        self.call_after_refresh(self._painted, preview)

    def _painted(self, preview: UndoPreview) -> None:
        if self.preview is preview:
            self.settled.painted(preview["bytes"], same_place=False)

    def _sign_undo(self) -> None:
        preview = self.preview
        if preview is None or not preview["steps"]:
            return
        if not self.plan.has_focus or not self.settled.ready(preview["bytes"]):
            self.say("look at it first: keys work after 0.4 s", "need")
            return
        if not self.plan.seen_whole:
            self.say("not all of it was on screen yet: j or pgdn", "need")
            return
        if not self.terminal.may_give():
            return
        phrase = undo_phrase(preview)
        if not phrase:
            self.post_message(Undo(preview))
            return

        def typed(text: str) -> None:
            if text.strip() != phrase:
                self.say(f"`{text}` is not `{exact(phrase)}`: nothing was signed", "need")
            elif self.preview is not preview or not self.terminal.may_give():
                self.say("the preview changed, or you are no longer armed: nothing was signed", "bad")
            else:
                self.post_message(Undo(preview))

        self.ask_line(f"type {exact(phrase)}", typed)
