"""The terminal: one feed, one model, five places, and frames at the pace of whoever looks.

Screens post what they wish for; this carries it out and tells them what came of it. `run_tui` is what the
command line calls.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.console import RenderableType
from textual import constants, events
from textual.screen import Screen

from queenright.clock import Clock, SystemClock
from queenright.errors import NoSupervisor, NotEntitled, QueenrightError
from queenright_tui.acts import Acts
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
from queenright_tui.look import Look
from queenright_tui.model import row_key
from queenright_tui.pace import FRAME_S, Pace, hung_up
from queenright_tui.screens.keys import KeysScreen

__all__ = ["Terminal", "run_tui"]

ESCAPE_S: Final = 0.025  # a lone escape is a key after 25 ms; Textual waits 100
BELL_GAP_MS: Final = 10_000
PICTURE_FRAMES: Final = 3  # the listing, what it made a screen ask for, the paint
REFRESH_AGENT_MS: Final = 1_000  # the open agent's detail has no event of its own


class Terminal(Acts, inherit_bindings=False):
    """The app: hears the feed, draws at most ten frames a second, goes from place to place."""

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
        super().__init__(feed, signer_factory, clock=clock, look=look, read_only=read_only, start=start)
        self.refused: QueenrightError | None = None
        """Why the terminal left by itself, if it did."""
        self._start = start
        self._picture = screenshot
        self._pace = Pace()
        self._second = -1
        self._listed = False
        self._frames_since = 0
        self._belled_ms = -BELL_GAP_MS

    # --- life ---

    def on_ready(self) -> None:
        # What start-up made lives until the end: out of the collector's sight it costs no pauses. Not in a test,
        # where the process goes on after the app.
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

    async def on_event(self, event: events.Event) -> None:
        """Keys are handled here, one after the other. Textual would send each to the widget that has the focus when it
        *arrives*, and a letter typed right behind a key that opens a field would still be a command.
        """
        place = self.place
        if isinstance(event, events.Key) and not event.is_forwarded and place is not None:
            with place._context():
                place.take_key(event)
        else:
            await super().on_event(event)

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

    # --- frames ---

    def _frame(self) -> None:
        """At most ten a second; none while the terminal is behind."""
        if not self.screen_stack:
            return  # on the way out
        if not self.is_headless and hung_up(self._driver):
            self.exit(0)  # the terminal was closed under us: detach, and disarm on the way
            return
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

    # --- going about ---

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
        return self._swarm.selected() if self._swarm.ready else None

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
    """Open the terminal until the operator detaches. Returns 0.

    Raises NotEntitled when this key is not (or no longer) let in, and NoSupervisor when a screenshot finds nobody
    to draw.

    `client_factory` gives a connected client that has proved the operator's key; `signer_factory` opens their
    key when they arm, and may ask for its passphrase; `make_verdict` and `verify_ledger` are the authority's
    and the ledger's own, which this package does not import. With `screenshot` the place `start` is drawn once
    without a terminal, at `size` cells, and written there as SVG.
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
