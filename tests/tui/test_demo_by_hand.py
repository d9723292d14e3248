"""The whole thing, by hand: `queenright demo` in a terminal of 80x24, its one ask approved with the keyboard, exit 0."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from terminal import ENTER, Terminal

QUEENRIGHT = Path(sys.executable).with_name("queenright")


@pytest.mark.isolation
def test_a_person_heals_the_demos_stuck_sessions_from_the_terminal(tmp_path: Path) -> None:
    argv = [str(QUEENRIGHT), "demo", "--fault", "stuck-sessions"]
    with Terminal(argv, size=(80, 24), env={"HOME": str(tmp_path)}, patience_s=90) as terminal:
        terminal.wait("1 need you")
        terminal.press("2")
        terminal.wait("db.session.kill db:shop/main")
        terminal.press(ENTER)
        terminal.wait("IRREVERSIBLE")
        terminal.press(" ", " ")
        terminal.wait("keys are ready")
        terminal.press("a")
        terminal.wait("OBSERVE: A arms")
        terminal.press("A")
        terminal.wait("ARMED")
        terminal.press("a")
        asked = terminal.wait("CRITICAL: type db:shop/main")
        # Here nothing keeps the key from the supervisor's user, so one more word is wanted, and it says so.
        phrase = re.search(r"CRITICAL: type (db:shop/main(?: same-user)?)", asked)
        assert phrase is not None
        terminal.press(phrase[1], ENTER)
        terminal.wait("you approved")
        terminal.press("4")
        terminal.wait("by this process")
        terminal.press("V")
        assert "NOT VERIFIED" not in terminal.wait("VERIFIED")
        terminal.press("q")
        assert terminal.leave() == 0, "healthy by measurement, and the ledger verified"
