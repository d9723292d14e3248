"""In a real pseudo-terminal: keys as bytes, an approval at 80x24, hostile text, a terminal that stops reading."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_feed import FakeFeed
from terminal import ENTER, TAB, Terminal

PROGRAM = Path(__file__).with_name("fake_program.py")
# What a terminal is told, besides colours and positions. Compared between a quiet run and a hostile one.
SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\|[^\[\]P])")
OBEYED = {
    *range(32),
    *range(127, 160),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x206A),
}
PLACING = re.compile(rb"\x1b\[[0-9;]*[mHK]")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def start(report: Path, *flags: str, size: tuple[int, int] = (80, 24), **env: str) -> Terminal:
    return Terminal([sys.executable, str(PROGRAM), str(report), *flags], size=size, env=env)


def facts(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def calls(report: Path, method: str) -> list[list[Any]]:
    return [call for call in facts(report)["calls"] if call[0] == method]


def ready(text: str) -> bool:
    return "keys are ready" in text


def test_an_ask_is_approved_with_the_keyboard_at_80x24(report: Path) -> None:
    """From attaching to the signed verdict: what the operator of the demo does."""
    with start(report, "passphrase") as terminal:
        terminal.wait("3 need you")
        terminal.press("2")
        terminal.wait(lambda text: "CRIT" in text and "db.session.kill" in text)
        terminal.press(ENTER)
        terminal.wait("IRREVERSIBLE")
        terminal.press(" ", " ")
        terminal.wait(ready)
        terminal.press("a")
        terminal.wait("OBSERVE: A arms")
        terminal.press("A")
        terminal.wait("passphrase for the key of a test")
        terminal.press("correct horse", ENTER)
        terminal.wait("ARMED 1")
        terminal.press("a")
        terminal.wait("CRITICAL: type db:shop/main")
        terminal.press("db:shop/main", ENTER)
        text = terminal.wait("you approved")
        assert "horse" not in terminal.raw.decode(errors="replace")
        assert "approved" in text
        terminal.press("q")
        assert terminal.leave() == 0
    ask = FakeFeed().kill["row"]["id"]
    [approve] = calls(report, "approve")
    assert approve[1] == ask
    assert approve[2] == ask.removeprefix("ask-"), "the digest that was signed is the request's id"
    assert facts(report)["signed"] == [["approve@queenright.v1", approve[2]]]
    assert facts(report)["passphrase"] == ["correct horse"]
    assert facts(report)["closed"], "the key is wiped on the way out"


def test_an_ask_is_denied_with_a_reason_and_without_a_key(report: Path) -> None:
    with start(report) as terminal:
        terminal.wait("3 need you")
        terminal.press("2")
        terminal.wait("db.session.kill")
        terminal.press(ENTER)
        terminal.wait("IRREVERSIBLE")
        terminal.press(" ", " ")
        terminal.wait(ready)
        terminal.press("d")
        terminal.wait("deny, because")
        terminal.press("not on a Friday", ENTER)
        terminal.wait("you denied")
        terminal.press("q")
        assert terminal.leave() == 0
    assert [call[2] for call in calls(report, "deny")] == ["not on a Friday"]
    assert facts(report)["signed"] == []


@pytest.mark.parametrize(
    "env",
    [{}, {"TEXTUAL_DISABLE_KITTY_KEY": "1"}, {"TERM": "screen-256color"}],
    ids=["kitty", "no-kitty", "tmux"],
)
def test_keys_reach_their_commands_as_bytes(report: Path, env: dict[str, str]) -> None:
    with start(report, **env) as terminal:
        terminal.wait("remedy-2")
        for key, words in (("4", LEDGER), ("2", INBOX), ("!", STOP)):
            terminal.press(key)
            terminal.wait(lambda text, words=words: words in text.lower())
        terminal.escape(STOP)
        terminal.wait(lambda text: INBOX in text.lower())
        terminal.press("1")
        terminal.wait(SWARM)
        terminal.press("\x1b[B", "\x1b[B")
        terminal.wait("order held")
        terminal.press("?")
        terminal.wait("keys in swarm")
        terminal.escape("keys in swarm")
        terminal.wait(SWARM)
        terminal.press("/", "metric-1", ENTER)
        terminal.wait(lambda text: "swarm /metric-1" in text and "log-1" not in text)
        terminal.escape("swarm /metric-1")
        terminal.wait("log-1")
        terminal.press("2", TAB)
        terminal.wait(lambda text: "a approve" in text)
        terminal.escape("a approve")
        terminal.wait(lambda text: "enter open card" in text)
        terminal.press("\x03")
        terminal.quiet()
        assert terminal.process.poll() is None, "ctrl+c never ends it"
        terminal.press("q")
        assert terminal.leave() == 0


def test_kitty_keys_with_shift_and_releases_mean_the_same(report: Path) -> None:
    """A terminal with Kitty's protocol sends `A` as a code and a modifier."""
    with start(report) as terminal:
        terminal.wait("remedy-2")
        terminal.press("\x1b[52u")
        terminal.wait(LEDGER)
        terminal.press("\x1b[97;2;65u")
        terminal.wait("ARMED")
        terminal.press("q")
        assert terminal.leave() == 0


SWARM, INBOX, LEDGER, STOP = "sort:", "wants", "by this process", "what can be stopped"


def tour(terminal: Terminal) -> Iterator[str]:
    """Every place and overlay, yielding each screen."""
    terminal.wait("NEEDS YOU")
    yield terminal.quiet()
    for key, words in (("4", LEDGER), ("!", STOP), ("2", INBOX)):
        terminal.press(key)
        terminal.wait(lambda text, words=words: words in text.lower() or words in text)
        yield terminal.quiet()
    terminal.press("g", ENTER)
    terminal.wait("what you sign")
    yield terminal.quiet()
    terminal.press("=", " ", " ", " ", " ", " ")
    yield terminal.quiet()
    terminal.press("1")
    terminal.wait(SWARM)
    terminal.press("G", ENTER)
    terminal.wait("identity and lineage")
    terminal.press("o")
    terminal.wait("REVERSIBLE exact")
    yield terminal.quiet()
    terminal.press("u")
    terminal.wait("what would happen")
    yield terminal.quiet()
    terminal.escape("what would happen")
    terminal.press("W")
    terminal.wait(LEDGER)
    yield terminal.quiet()


def frame(screen: str) -> tuple[object, ...]:
    """What no text may move: whose terminal it is, the stop state, the keys, and where every box begins."""
    rows = screen.split("\n")
    corners = [(y, row[0]) for y, row in enumerate(rows) if row and row[0] in "┌└"]
    edges = [(y, row[-1]) for y, row in enumerate(rows) if row and row[-1] in "┐┘│"]
    return rows[0][:16], rows[0].split("stop:")[1][:8], rows[-1][-20:], corners, edges


def controls(raw: bytes) -> set[bytes]:
    return {found for found in SEQUENCE.findall(raw) if not PLACING.fullmatch(found)}


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_hostile_text_on_every_screen_moves_nothing_and_says_nothing_to_the_terminal(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    quiet, hostile = tmp_path / "quiet.json", tmp_path / "hostile.json"
    with start(quiet, size=size) as terminal:
        calm = list(tour(terminal))
        allowed = controls(bytes(terminal.raw))
        terminal.press("q")
        terminal.leave()
    with start(hostile, "hostile", size=size) as terminal:
        screens = list(tour(terminal))
        found = controls(bytes(terminal.raw))
        assert found <= allowed, found - allowed
        rest = SEQUENCE.sub(b"", bytes(terminal.raw)).decode("utf-8")
        assert not [c for c in rest if c not in "\r\n" and ord(c) in OBEYED]
        assert "PWNED" not in terminal.screen.title + terminal.screen.icon_name
        for before, after in zip(calm, screens, strict=True):
            assert frame(after) == frame(before), after
        terminal.press("q")
        assert terminal.leave() == 0
    done = {call[0] for call in facts(hostile)["calls"]}
    assert done <= {"watch_log", "why", "undo_preview", "ledger", "close"}


def test_a_click_on_an_agents_words_does_nothing(report: Path) -> None:
    with start(report, "hostile", size=(120, 36)) as terminal:
        terminal.wait("NEEDS YOU")
        terminal.press("2")
        terminal.wait("what you sign")
        for row in range(3, 34):
            for column in range(2, 118, 9):
                terminal.press(f"\x1b[<0;{column};{row}M", f"\x1b[<0;{column};{row}m")
        terminal.quiet()
        assert terminal.process.poll() is None
        terminal.press("q")
        assert terminal.leave() == 0
    assert {call[0] for call in facts(report)["calls"]} <= {"close", "watch_log"}


def test_a_terminal_that_stops_reading_does_not_stop_the_client(report: Path) -> None:
    """Nothing is read for a while: the loop goes on beating; then one whole picture comes."""
    beats = report.with_suffix(".beats")
    with start(report, "flood", size=(120, 36)) as terminal:
        terminal.wait("NEEDS YOU")

        def beaten() -> int:
            return int(beats.read_text() or 0) if beats.exists() else 0

        begun = beaten()
        deadline = time.monotonic() + 60
        # Far more pictures than any buffer between us holds, while nobody reads.
        while beaten() < begun + 400:
            assert time.monotonic() < deadline, "the event loop stood still"
            os.sched_yield()
            time.sleep(0.01)
        terminal.press("2")
        terminal.wait("CRIT")
        terminal.wait("db.session.kill")
        terminal.press("q")
        assert terminal.leave() == 0


def test_no_colour_is_written_when_colour_is_not_wanted(report: Path) -> None:
    with start(report, NO_COLOR="1") as terminal:
        terminal.wait("NEEDS YOU")
        terminal.press("2")
        terminal.wait("CRIT")
        terminal.quiet()
        colours = re.findall(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8])(?:;[0-9;]*)?m", bytes(terminal.raw))
        assert not colours, colours[:5]
        terminal.press("q")
        assert terminal.leave() == 0


def test_ascii_writes_only_ascii(report: Path) -> None:
    with start(report, "ascii") as terminal:
        terminal.wait("! NEEDS YOU")
        for key in "24!1":
            terminal.press(key)
            terminal.quiet(0.2)
        assert bytes(terminal.raw).isascii()
        terminal.press("q")
        assert terminal.leave() == 0


def test_a_terminal_that_is_closed_detaches_and_wipes_the_key(report: Path) -> None:
    with start(report) as terminal:
        terminal.wait("NEEDS YOU")
        terminal.press("A")
        terminal.wait("ARMED")
        terminal.hang_up()
        terminal.process.wait(timeout=terminal.patience_s)
    assert facts(report)["closed"]
    assert {call[0] for call in facts(report)["calls"]} <= {"close"}
