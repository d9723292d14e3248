"""The person at the terminal: the TUI first, then printed lines with the open ask as a typed question."""

from __future__ import annotations

import select
import sys
import threading
import time
from collections.abc import Callable

from queenright.cli.card import card
from queenright.clock import SystemClock
from queenright.control.client import AsyncClient, Client
from queenright.demo.answer import approve_once, fetch, open_asks
from queenright.demo.demo import FAILED, Demo, Stopped
from queenright.demo.place import load_key
from queenright.errors import QueenrightError

__all__ = ["play_with_person"]

LOOK_S = 0.3  # between looks for an open ask


def play_with_person(demo: Demo, faults: list[str]) -> int:
    """Play while the terminal is the person's: the story runs beside it. The exit code."""
    code = [FAILED]
    trouble: list[BaseException] = []

    def story() -> None:
        try:
            code[0] = demo.play(faults)
        except Stopped:
            pass
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=story, name="story", daemon=True)
    thread.start()
    try:
        _terminal(demo)
        _questions(demo, thread)
    finally:
        demo.stopping.set()
        thread.join(30)
    if trouble:
        raise trouble[0]
    return code[0]


def _terminal(demo: Demo) -> None:
    """The TUI until the person leaves it, with the demo's own key: nobody's own keys are looked for."""
    from queenright.cli.terminal import verdict_bytes, verifier
    from queenright_tui.app import run_tui

    key = demo.root / "keys" / "operator"

    async def client() -> AsyncClient:
        found = AsyncClient(demo.place.paths.socket)
        await found.connect()
        await found.prove(demo.place.owner)
        found.signer_again = lambda: load_key(key)
        return found

    demo.tell.text("the terminal opens: `q` leaves it, and the story goes on here")
    demo.tell.hold()
    try:
        run_tui(
            client,
            lambda _: load_key(key),
            make_verdict=verdict_bytes,
            verify_ledger=verifier(demo.reader.memory),
        )
    finally:
        demo.tell.release()


def _questions(demo: Demo, story: threading.Thread) -> None:
    """Printed lines until the story is over; an open ask is a question, asked once."""
    asked: set[str] = set()
    with demo.place.client() as client:
        while story.is_alive():
            for ask in open_asks(client):
                if ask not in asked:
                    asked.add(ask)
                    _question(demo, client, ask, story)
            story.join(LOOK_S)


def _question(demo: Demo, client: Client, ask: str, story: threading.Thread) -> None:
    """Draw the card from the ask's bytes and take one typed answer. Nothing signs by itself, and silence is a no."""
    seen = fetch(client, ask)
    word = f"{seen.first.resource} same-user"  # irreversible, by a key that lies beside the supervisor: the card says both
    for line in card(
        seen.members, seen.context, name=seen.name, now_ms=SystemClock().wall_ms(), more=seen.more
    ):
        demo.tell.text("  " + line)
    demo.tell.text(f"  type {word} to approve this once, or `deny` and a reason; no answer is a no")

    def over() -> bool:
        return not story.is_alive() or ask not in open_asks(client)

    while (answer := typed(over)) is not None:
        try:
            if answer == word:
                approve_once(client, demo.place.owner, seen)
                return
            if answer.split(maxsplit=1)[:1] == ["deny"]:
                client.call("ask_deny", ask=ask, reason=answer[4:].strip() or "denied at the prompt")
                return
            demo.tell.text(f"  that is neither {word} nor `deny`: nothing was signed")
        except QueenrightError as error:
            demo.tell.text(f"  {error.message}" + (f"; {error.hint}" if error.hint else ""))


def typed(over: Callable[[], bool]) -> str | None:
    """A line from the terminal; None once it is `over` or the terminal has gone."""
    while not over():
        ready, _, _ = select.select([sys.stdin], [], [], LOOK_S)
        if ready:
            line = sys.stdin.readline()
            if not line:
                while not over():
                    time.sleep(LOOK_S)
                return None
            return line.strip()
    return None
