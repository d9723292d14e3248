"""Carrying out what screens wish for: the only module that calls the runtime, arms, and has things signed.

A refusal is told on the screen, in the runtime's own words, and never raised through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from textual.app import App

from queenright.clock import Clock, SystemClock
from queenright.errors import Conflict, NotEntitled, QueenrightError
from queenright_tui import messages as wish
from queenright_tui.feed import Feed, SignerFactory
from queenright_tui.friction import Arming
from queenright_tui.look import Look
from queenright_tui.model import Model
from queenright_tui.screens.agent import AgentScreen
from queenright_tui.screens.inbox import InboxScreen
from queenright_tui.screens.ledger import LedgerScreen
from queenright_tui.screens.place import Place
from queenright_tui.screens.stop import StopScreen
from queenright_tui.screens.swarm import SwarmScreen
from queenright_tui.widgets.cell_text import bit, clean
from queenright_tui.words import ago, short_id

__all__ = ["Acts"]


class Acts(App[int]):
    """`feed` is where everything comes from; `signer_factory` opens the operator's key when they arm."""

    def __init__(
        self,
        feed: Feed,
        signer_factory: SignerFactory,
        *,
        clock: Clock | None,
        look: Look | None,
        read_only: bool,
        start: str,
    ) -> None:
        self.look = look or Look()
        super().__init__(ansi_color=True if self.look.mono else None)
        self.animation_level = "none"
        self.feed = feed
        self.clock = clock or SystemClock()
        self.model = Model(self.clock)
        self.arming = Arming(self.clock, read_only=read_only)
        self._signer_factory = signer_factory
        self._history: list[str] = [start]
        self._was_armed = False
        self._asked_agent_ms = 0
        self._passphrase: asyncio.Future[str] | None = None
        self._inbox = InboxScreen(self.model, self.look)
        self._agent = AgentScreen(self.model, self.look)
        self._ledger = LedgerScreen(self.model, self.look)
        self._stop = StopScreen(self.model, self.look)
        self._swarm = SwarmScreen(self.model, self.look)
        self.places: dict[str, Place] = {
            "swarm": self._swarm,
            "inbox": self._inbox,
            "agent": self._agent,
            "ledger": self._ledger,
            "stop": self._stop,
        }

    @property
    def place(self) -> Place | None:
        """The place on screen; None while an overlay is, and on the way in and out."""
        stack = self.screen_stack
        screen = stack[-1] if stack else None
        return screen if isinstance(screen, Place) else None

    def go(self, name: str) -> None:
        """Show a place; `-` comes back."""
        if self.place is not self.places[name]:
            self._history = [*self._history[-20:], name]
            self.switch_screen(name)

    # --- calling the feed ---

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

    # --- decisions ---

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

    # --- arming ---

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
