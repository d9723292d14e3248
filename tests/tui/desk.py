"""A terminal over the fake feed, without a terminal: for Pilot tests. Time moves only when a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fake_feed import NOW, FakeFeed, FakeSigner
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

from queenright.clock import ManualClock
from queenright_tui.app import Terminal
from queenright_tui.look import Look
from queenright_tui.screens.agent import AgentScreen
from queenright_tui.screens.inbox import InboxScreen
from queenright_tui.screens.ledger import LedgerScreen
from queenright_tui.screens.stop import StopScreen
from queenright_tui.screens.swarm import SwarmScreen

SIZES = [(120, 36), (80, 24)]
TRIES = 500
ROUNDS = 4  # a key, the message it posts, the call it causes, the paint


class Desk:
    """The app, its feed, its clock, and how to press and look."""

    def __init__(
        self, app: Terminal, feed: FakeFeed, clock: ManualClock, signer: FakeSigner, pilot: Pilot[Any]
    ) -> None:
        self.app, self.feed, self.clock, self.signer, self.pilot = app, feed, clock, signer, pilot

    def text(self) -> str:
        """What is on screen, row by row."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def settle(self) -> None:
        """Let what waits happen, and one frame. Not Pilot's `pause`: that sleeps until the machine is idle."""
        for _ in range(ROUNDS):
            await self.pilot._wait_for_screen()
            self.app._frame()
            self.app.screen._on_timer_update()
        await self.pilot._wait_for_screen()

    async def until(self, condition: Callable[[], bool], why: str = "") -> None:
        for _ in range(TRIES):
            if condition():
                return
            await self.settle()
        raise AssertionError(f"{why or 'it'} never came to be; the screen was\n{self.text()}")

    async def see(self, words: str) -> str:
        await self.until(lambda: words in self.text(), repr(words))
        return self.text()

    def send(self, *keys: str) -> None:
        """Keys, one right after the other, with nothing handled in between."""
        for key in keys:
            name = _character_to_key(key) if len(key) == 1 else key
            character = key if len(key) == 1 else {"space": " "}.get(key)
            event = events.Key(name, character)
            event.set_sender(self.app)
            assert self.app._driver is not None
            self.app._driver.send_message(event)

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.send(key)
            await self.settle()

    async def type(self, text: str) -> None:
        await self.press(*text)

    async def wait(self, ms: int) -> None:
        """Time passes, and a frame is drawn."""
        self.clock.advance(ms)
        await self.settle()

    async def open_ask(self, detail: dict[str, Any]) -> None:
        """The inbox, this request on the card, the card in focus, shown long enough and to its end."""
        await self.press("2")
        row = detail["row"]["id"].encode()
        self.inbox.table.move_to(row)
        await self.until(
            lambda: self.inbox.open_ask is not None and self.inbox.wanted == detail["row"]["id"],
            "the request",
        )
        await self.press("enter")
        await self.settle()
        await self.wait(500)
        await self.press(*["pagedown"] * 4)

    async def arm(self) -> None:
        await self.press("A")
        await self.until(lambda: self.app.arming.armed, "ARMED")

    def called(self, method: str) -> list[tuple[Any, ...]]:
        return [call for call in self.feed.calls if call[0] == method]

    @property
    def swarm(self) -> SwarmScreen:
        return self.app.places["swarm"]  # type: ignore[return-value]

    @property
    def inbox(self) -> InboxScreen:
        return self.app.places["inbox"]  # type: ignore[return-value]

    @property
    def agent(self) -> AgentScreen:
        return self.app.places["agent"]  # type: ignore[return-value]

    @property
    def ledger(self) -> LedgerScreen:
        return self.app.places["ledger"]  # type: ignore[return-value]

    @property
    def stop(self) -> StopScreen:
        return self.app.places["stop"]  # type: ignore[return-value]


@asynccontextmanager
async def desk(
    size: tuple[int, int] = (120, 36), *, feed: FakeFeed | None = None, look: Look | None = None, **more: Any
) -> AsyncIterator[Desk]:
    clock = ManualClock(NOW)
    feed = feed or FakeFeed(clock)
    signer = FakeSigner()
    factory = more.pop("signer_factory", lambda _ask: signer)
    app = Terminal(feed, factory, clock=clock, look=look, **more)
    async with app.run_test(size=size) as pilot:
        found = Desk(app, feed, clock, signer, pilot)
        await found.until(
            lambda: app.model.up and len(app.model.leaves) == len(feed.leaves), "the first listing"
        )
        await found.settle()
        yield found
