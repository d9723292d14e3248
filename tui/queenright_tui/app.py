"""The terminal: one feed, one model, five places. The only module here that calls the runtime, and the only one that signs.

Screens post what they wish for; this carries it out and tells them what came of it. `run_tui` is what the command line calls.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.console import RenderableType
from textual import constants
from textual.app import App
from textual.screen import Screen

from queenright.clock import Clock, SystemClock
from queenright.errors import Conflict, NoSupervisor, NotEntitled, QueenrightError
from queenright_tui import messages as wish
from queenright_tui.client_feed import ClientFactory, ClientFeed
from queenright_tui.commands import PLACES
from queenright_tui.feed import (
    Changed,
    Feed,
    Heard,
    LinkDown,
    LinkUp,
    Listed,
    MakeVerdict,
    SignerFactory,
    VerifyLedger,
)
from queenright_tui.friction import Arming
from queenright_tui.look import Look
from queenright_tui.model import Model, row_key
from queenright_tui.pace import FRAME_S, Pace
from queenright_tui.screens.agent import AgentScreen
from queenright_tui.screens.inbox import InboxScreen
from queenright_tui.screens.keys import KeysScreen
from queenright_tui.screens.ledger import LedgerScreen
from queenright_tui.screens.place import Place
from queenright_tui.screens.stop import StopScreen
from queenright_tui.screens.swarm import SwarmScreen
from queenright_tui.widgets.cell_text import bit, clean
from queenright_tui.words import ago, short_id

__all__ = ["Terminal", "run_tui"]

ESCAPE_S: Final = 0.025  # a lone escape is a key after 25 ms; Textual waits 100
BELL_GAP_MS: Final = 10_000
PICTURE_FRAMES: Final = 3  # the listing, what it made a screen ask for, the paint
REFRESH_AGENT_MS: Final = 1_000  # the open agent's detail has no event of its own


class Terminal(App[int], inherit_bindings=False):
    """`feed` is where everything comes from; `signer_factory` opens the operator's key when they arm."""

    ENABLE_COMMAND_PALETTE: ClassVar = False
    ALLOW_SELECT: ClassVar = False
    AUTO_FOCUS = None
    TITLE = "queenright"

    def __init__(
        self,
        feed: Feed,
        signer_factory: SignerFactory,
        *,
        clock: Clock | None = None,
        look: Look | None = None,
        read_only: bool = False,
        start: str = "swarm",
        screenshot: Path | None = None,
    ) -> None:
        self.look = look or Look()
        super().__init__(ansi_color=True if self.look.mono else None)
        self.animation_level = "none"
        self.feed = feed
        self.clock = clock or SystemClock()
        self.model = Model(self.clock)
        self.arming = Arming(self.clock, read_only=read_only)
        self.refused: QueenrightError | None = None
        """Why the terminal left by itself, if it did."""
        self._signer_factory = signer_factory
        self._start = start
        self._picture = screenshot
        self._pace = Pace()
        self._history: list[str] = [start]
        self._second = -1
        self._listed = False
        self._frames_since = 0
        self._was_armed = False
        self._belled_ms = -BELL_GAP_MS
        self._asked_agent_ms = 0
        self._passphrase: asyncio.Future[str] | None = None
        model, look_ = self.model, self.look
        self.places: dict[str, Place] = {
            "swarm": SwarmScreen(model, look_),
            "inbox": InboxScreen(model, look_),
            "agent": AgentScreen(model, look_),
            "ledger": LedgerScreen(model, look_),
            "stop": StopScreen(model, look_),
        }

    # --- life -----------------------------------------------------------------------------------------------------------

    def on_ready(self) -> None:
        # What start-up made lives until the end: taking it out of the collector's sight keeps long pauses away. Not in a
        # test, where the process goes on after the app.
        if not self.is_headless:
            gc.freeze()

    def on_mount(self) -> None:
        for name in PLACES:
            self.places[name].set_class(self.look.mono, "mono")
            self.install_screen(self.places[name], name)
        self.push_screen(self._start)
        self.run_worker(self._listen(), name="feed", exclusive=False)
        self.set_interval(FRAME_S, self._frame)

    async def _listen(self) -> None:
        try:
            async for heard in self.feed.events():
                self.hear(heard)
        except NotEntitled as error:
            # Nobody will let this key in however often it dials: leave, and say why on the way out.
            self.refused = error
            self.exit(3)

    def hear(self, heard: Heard) -> None:
        """Take in one thing from the feed."""
        known = set(self.model.asks)
        self.model.apply(heard)
        match heard:
            case LinkDown(why):
                if self._picture is not None:
                    # There is nobody to draw, and nobody at the keyboard to wait for one.
                    self.refused = NoSupervisor(why)
                    self.exit(5)
                # Whoever answers next has to be looked at again before anything is given to them.
                self._disarm("the connection was lost: disarmed")
            case LinkUp():
                self._refetch()
            case Changed("asks", row):
                if row["id"] == self._inbox.wanted and self._inbox.open_ask is not None:
                    self._fetch_ask(row["id"])
                if row_key(row["id"]) in self.model.asks.keys() - known:
                    self._ring()
            case Listed("asks"):
                if self.model.asks.keys() - known:
                    self._ring()
            case Listed("ledger"):
                self._listed = True

    def _refetch(self) -> None:
        """After a reconnect: what is open on a screen may have changed meanwhile."""
        if self._inbox.wanted is not None:
            self._fetch_ask(self._inbox.wanted)
        if self._agent.agent is not None:
            self.feed.watch_log(self._agent.agent)
            self._fetch_agent(self._agent.agent)

    def _ring(self) -> None:
        """A bell, at most one in 10 s. Fixed: nothing an agent wrote leaves through it."""
        now = self.clock.boot_ms()
        if now - self._belled_ms >= BELL_GAP_MS and not self.is_headless:
            self._belled_ms = now
            self.bell()

    @property
    def place(self) -> Place | None:
        """The place on screen; None while an overlay is."""
        screen = self.screen
        return screen if isinstance(screen, Place) else None

    @property
    def _inbox(self) -> InboxScreen:
        found = self.places["inbox"]
        assert isinstance(found, InboxScreen)
        return found

    @property
    def _agent(self) -> AgentScreen:
        found = self.places["agent"]
        assert isinstance(found, AgentScreen)
        return found

    @property
    def _ledger(self) -> LedgerScreen:
        found = self.places["ledger"]
        assert isinstance(found, LedgerScreen)
        return found

    @property
    def _stop(self) -> StopScreen:
        found = self.places["stop"]
        assert isinstance(found, StopScreen)
        return found

    # --- frames -----------------------------------------------------------------------------------------------------------

    def _frame(self) -> None:
        """At most ten a second; none while the terminal is behind."""
        if self._pace.take_owed(self._driver):
            self.screen.refresh()
        if self._was_armed and not self.arming.armed:
            self._disarm("15 minutes are over: disarmed")
        place = self.place
        if place is None or not place.ready or self._pace.backlog(self._driver):
            return
        second = self.clock.wall_ms() // 1000
        if self.model.dirty or second != self._second:
            self._second = second
            self.model.dirty.clear()
            place.refresh_all()
        elif place is self._inbox:
            self._inbox.tick()
        self._poll_agent()
        if self._picture is not None and self._listed:
            self._take_picture(self._picture)

    def _take_picture(self, path: Path) -> None:
        """Once everything was listed and drawn, write the screen and leave."""
        waiting = self.place is self._inbox and self.model.asks and self._inbox.open_ask is None
        self._frames_since = 0 if waiting else self._frames_since + 1
        if self._frames_since > PICTURE_FRAMES:
            self.write_svg(path)
            self.exit(0)

    def _poll_agent(self) -> None:
        now = self.clock.boot_ms()
        if (
            self.place is self._agent
            and self._agent.agent
            and self.model.up
            and now - self._asked_agent_ms >= REFRESH_AGENT_MS
        ):
            self._asked_agent_ms = now
            self._fetch_agent(self._agent.agent)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Textual's own, unless the terminal is behind: then the picture is dropped and a whole one is owed."""
        if renderable is not None and not self._batch_count and not self._pace.may_write(self._driver):
            self.post_display_hook()
            return
        super()._display(screen, renderable)

    # --- calling the feed -------------------------------------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, None], *, failed: Callable[[str], None] | None = None) -> None:
        """Run `work` beside the loop; a refusal is told, never raised through the screen."""

        async def guarded() -> None:
            try:
                await work
            except QueenrightError as error:
                words = f"{error.message}. {error.hint}" if error.hint else error.message
                if failed is not None:
                    failed(words)
                else:
                    self.say(f"refused: {words}", "bad")

        self.run_worker(guarded(), exclusive=False)

    def say(self, text: str, style: str = "") -> None:
        """One line on the place that is on screen."""
        place = self.place
        if place is not None:
            place.say(text, style)

    def _fetch_ask(self, ask: str) -> None:
        async def work() -> None:
            self._inbox.show_ask(await self.feed.ask(ask))

        self._call(work())

    def _fetch_agent(self, agent: str) -> None:
        async def work() -> None:
            self._agent.show_agent(await self.feed.agent(agent))

        self._call(work())

    def on_need_ask(self, message: wish.NeedAsk) -> None:
        self._fetch_ask(message.ask)

    def on_need_agent(self, message: wish.NeedAgent) -> None:
        agent = message.agent

        async def work() -> None:
            self.feed.watch_log(agent)
            self._agent.show_agent(await self.feed.agent(agent))
            self._agent.show_log(agent, await self.feed.agent_log(agent))

        self._asked_agent_ms = self.clock.boot_ms()
        self._call(work())

    def on_need_ledger(self, message: wish.NeedLedger) -> None:
        async def work() -> None:
            self._ledger.show_found(message.query, await self.feed.ledger(message.query))

        self._call(work())

    def on_need_verify(self, _message: wish.NeedVerify) -> None:
        async def work() -> None:
            self._ledger.show_verified(await self.feed.verify())

        self._call(
            work(), failed=lambda words: self._ledger.show_verified(None, f"could not be verified: {words}")
        )

    def on_need_why(self, message: wish.NeedWhy) -> None:
        async def work() -> None:
            self._ledger.show_why(await self.feed.why(message.target))
            self.go("ledger")

        self._call(work())

    def on_need_undo(self, message: wish.NeedUndo) -> None:
        async def work() -> None:
            self._agent.show_preview(await self.feed.undo_preview(message.target))

        self._call(work())

    # --- decisions --------------------------------------------------------------------------------------------------------

    def on_approve(self, message: wish.Approve) -> None:
        ask = message.approval.ask.detail["row"]["id"]

        async def work() -> None:
            decided = await self.feed.approve(message.approval)
            self._inbox.told(
                (bit(f"you approved {short_id(ask)}: {decided['state']}, entry {decided['leaf']}"),)
            )

        self._decide(ask, work())

    def on_deny(self, message: wish.Deny) -> None:
        async def work() -> None:
            decided = await self.feed.deny(message.ask, message.reason)
            self._inbox.told(
                (bit(f"you denied {short_id(message.ask)}: {decided['state']}, entry {decided['leaf']}"),)
            )

        self._decide(message.ask, work())

    def _decide(self, ask: str, work: Awaitable[None]) -> None:
        """A decision. When somebody else was first, say who and when, from the runtime's own row."""

        async def decide() -> None:
            try:
                await work
            except Conflict as error:
                self._inbox.told((bit(await self._who_was_first(ask, error), "bad"),))
            except QueenrightError as error:
                self._inbox.told((bit(f"refused: {error.message}", "bad"),))
                raise

        self._call(decide())

    async def _who_was_first(self, ask: str, error: Conflict) -> str:
        row: Any = next((row for row in self.model.decided if row["id"] == ask), None)
        if row is None:
            try:
                row = (await self.feed.ask(ask)).detail["row"]
            except QueenrightError:
                row = None
        if row is None or row["state"] == "open" or not row["decided_by"]:
            return f"nothing was decided: {error.message}"
        when = f" {ago(self.model.now_ms() - row['heard_ms'])} ago" if "heard_ms" in row else ""
        return f"{clean(row['decided_by'], 24)} decided{when}: {row['verdict'] or row['state']}. Yours did not count"

    def on_take(self, message: wish.Take) -> None:
        async def work() -> None:
            done = await self.feed.take(message.method, message.target, message.reason)
            self._stop.told(message.what, done)
            if done["unacked"]:
                self.say(f"{message.what}: sent, NOT ACKED by {done['unacked']}", "bad")
            else:
                self.say(f"{message.what}: enforced, {done['count']} reached, entry {done['leaf']}")

        def failed(words: str) -> None:
            self._stop.told(message.what, None, words)
            self.say(f"{message.what}: REFUSED: {words}", "bad")

        self.say(f"{message.what}: sent", "need")
        self._call(work(), failed=failed)

    def on_give(self, message: wish.Give) -> None:
        async def work() -> None:
            done = await self.feed.give(message.method, message.target)
            self.say(f"{message.what}: {done['count']} reached, entry {done['leaf']}")

        self._call(work())

    def on_undo(self, message: wish.Undo) -> None:
        async def work() -> None:
            result = await self.feed.undo(message.preview)
            self._agent.do_up()
            failed = "; ".join(f"{f['code']}: {f['message']}" for f in result["failed"])
            words = f"undone {len(result['done'])}, entry {result['leaf']}"
            self.say(f"{words}; FAILED {failed}" if failed else words, "bad" if failed else "")

        self.say("order signed and sent", "need")
        self._call(work())

    # --- arming -------------------------------------------------------------------------------------------------------------

    def may_give(self) -> bool:
        """Whether giving is possible now; says what to do if not."""
        if self.arming.read_only:
            self.say("this terminal was opened read-only: nothing can be given from it", "need")
        elif not self.arming.armed:
            self.say("OBSERVE: A arms for 15 minutes with your key", "need")
        return self.arming.armed

    def do_arm(self) -> None:
        if self.arming.armed:
            self._disarm("disarmed")
        elif self.arming.read_only:
            self.may_give()
        else:
            self._call(self._arm())

    async def _arm(self) -> None:
        signer = await asyncio.to_thread(self._signer_factory, self._ask_from_thread)
        self.feed.arm(signer)
        self.arming.arm()
        self._was_armed = True
        self.say("ARMED for 15 minutes; A disarms", "need")
        if self.place is not None:
            self.place.refresh_all()

    def _ask_from_thread(self, what: str) -> bytes:
        """The signer's thread waits here while the operator types."""
        future = asyncio.run_coroutine_threadsafe(self._ask_passphrase(what), self._loop_of_app())
        return future.result().encode()

    def _loop_of_app(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    async def _ask_passphrase(self, what: str) -> str:
        place = self.place
        if place is None:
            raise NotEntitled("no place to type a passphrase", hint="close the overlay and press A again")
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._passphrase = waiting

        def typed(text: str) -> None:
            if not waiting.done():
                waiting.set_result(text)

        def left() -> None:
            if not waiting.done():
                waiting.set_exception(NotEntitled("no passphrase was given: still in OBSERVE"))

        place.ask_line(f"passphrase for {what}", typed, hidden=True, left=left)
        return await waiting

    def _disarm(self, words: str) -> None:
        was = self._was_armed
        self._was_armed = False
        self.arming.disarm()
        self.feed.disarm()
        if was:
            self.say(words, "need")

    # --- going about --------------------------------------------------------------------------------------------------------

    def go(self, name: str) -> None:
        """Show a place; `-` comes back."""
        if self.place is not self.places[name]:
            self._history = [*self._history[-20:], name]
            self.switch_screen(name)

    def do_swarm(self) -> None:
        self.go("swarm")

    def do_inbox(self) -> None:
        self.go("inbox")

    def do_agent(self) -> None:
        row = self._swarm_row()
        if self._agent.agent is None and row is not None and "swarm" not in row:
            self.open_agent(row["id"])
        else:
            self.go("agent")

    def do_ledger(self) -> None:
        self.go("ledger")

    def do_back(self) -> None:
        if len(self._history) > 1:
            self._history.pop()
            self.switch_screen(self._history[-1])

    def do_stop(self) -> None:
        here = self.place
        row = self._swarm_row()
        target = row["id"] if row is not None else None
        if here is self._agent and self._agent.agent is not None:
            target = self._agent.agent
        elif here is self._inbox and self._inbox.open_ask is not None:
            target = self._inbox.open_ask.detail["row"]["agent"]
        self._stop.target = target
        self.go("stop")

    def _swarm_row(self) -> Any:
        swarm = self.places["swarm"]
        assert isinstance(swarm, SwarmScreen)
        return swarm.selected() if swarm.ready else None

    def open_agent(self, agent: str) -> None:
        """The agent place, about this agent."""
        self._agent.open(agent)
        if self.place is self._agent:
            self._agent.on_screen_resume()
        else:
            self.go("agent")

    def step_agent(self, agent: str, rows: int) -> str | None:
        """The agent `rows` away from this one in the swarm's order, past the swarms' own rows."""
        view = self.model.agent_view
        at = view.index_of(row_key(agent))
        at = -1 if at is None else at
        while 0 <= at + rows < len(view):
            at += rows
            row = self.model.agents.get(view.window(at, 1)[0][0])
            if row is not None and "swarm" not in row:
                return str(row["id"])
        return None

    def do_up(self) -> None:
        self.do_back()

    def do_next_pane(self) -> None:
        self.screen.focus_next()

    def do_keys(self) -> None:
        place = self.place
        if place is not None:
            self.push_screen(KeysScreen(self.look, place.place))

    def copy_id(self, target: str) -> None:
        """To the clipboard of the operator's own terminal. Only ids: lower-case words, a dash and hex digits."""
        if all(c.isascii() and (c.isalnum() or c == "-") for c in target):
            self.copy_to_clipboard(target)
            self.say(f"copied {target}")

    def do_export(self) -> None:
        place = self.place
        if place is None:
            return
        path = Path.cwd() / f"queenright-{place.place}-{self.model.now_ms() // 1000}.svg"
        try:
            self.write_svg(path)
        except OSError as error:
            self.say(f"{path}: {error.strerror}", "bad")
        else:
            self.say(f"what is shown is in {path}")

    def write_svg(self, path: Path) -> None:
        """The screen as it is, as an SVG. Readable by its owner only: a screen shows purposes and names."""
        text = self.export_screenshot(title="queenright")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)

    def do_mouse(self) -> None:
        driver: Any = self._driver
        on = bool(getattr(driver, "_mouse", False))
        if on:
            driver._disable_mouse_support()
            driver._mouse = False
        else:
            driver._mouse = True
            driver._enable_mouse_support()
        self.say("mouse off: the terminal selects text" if on else "mouse on: shift-drag selects text")

    def do_detach(self) -> None:
        """Leave. Nothing stops."""
        self.exit(0)

    def action_help_quit(self) -> None:
        """Ctrl+C: Textual would put up a toast."""
        self.say("q detaches; nothing stops")

    async def on_unmount(self) -> None:
        if self._passphrase is not None and not self._passphrase.done():
            self._passphrase.set_exception(NotEntitled("the terminal was left"))
        self.feed.disarm()
        await self.feed.close()


def run_tui(
    client_factory: ClientFactory,
    signer_factory: SignerFactory,
    *,
    make_verdict: MakeVerdict,
    verify_ledger: VerifyLedger,
    screenshot: Path | None = None,
    size: tuple[int, int] | None = None,
    read_only: bool = False,
    start: str = "swarm",
    ascii_only: bool = False,
    clock: Clock | None = None,
) -> int:
    """Open the terminal until the operator detaches. Returns 0. Raises NotEntitled when this key is not (or no longer) let
    in, and NoSupervisor when a screenshot finds nobody to draw.

    `client_factory` gives a connected client that has proved the operator's key; `signer_factory` opens their key when they
    arm, and may ask for its passphrase; `make_verdict` and `verify_ledger` are the authority's and the ledger's own, which
    this package does not import. With `screenshot` the place `start` is drawn once without a terminal, at `size`
    cells, and written there as SVG.
    """
    # Read before Textual does: it takes NO_COLOR out of the environment and only greys the screen.
    look = Look(mono="NO_COLOR" in os.environ, ascii=ascii_only)
    constants.ESCAPE_DELAY = ESCAPE_S  # type: ignore[misc]
    feed = ClientFeed(
        client_factory, clock or SystemClock(), make_verdict=make_verdict, verify_ledger=verify_ledger
    )
    app = Terminal(
        feed, signer_factory, clock=clock, look=look, read_only=read_only, start=start, screenshot=screenshot
    )
    code = app.run(headless=screenshot is not None, size=size)
    if app.refused is not None:
        raise app.refused
    return code if code is not None else 0
