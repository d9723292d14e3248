"""The terminal over the fake feed, as a program for a real pseudo-terminal. Writes what it was asked to do to argv[1].

Flags after it: `hostile` fills every untrusted field; `flood` keeps repainting; `late` raises a request while it runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fake_feed import NOW, FakeFeed, FakeSigner
from hostile import make_hostile

from queenright_tui.app import Terminal
from queenright_tui.feed import Changed
from queenright_tui.look import Look


class RunningClock:
    """The fixed day of the fake feed, running."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def wall_ms(self) -> int:
        return NOW + int((time.monotonic() - self._began) * 1000)

    def boot_ms(self) -> int:
        return int(time.monotonic() * 1000)


def main() -> int:
    report, flags = Path(sys.argv[1]), sys.argv[2:]
    feed, signer = FakeFeed(), FakeSigner()
    if "hostile" in flags:
        make_hostile(feed)
    asked: list[bytes] = []

    def factory(ask):
        if "passphrase" in flags:
            asked.append(ask("the key of a test"))
        return signer

    app = Terminal(
        feed, factory, clock=RunningClock(), look=Look(mono="NO_COLOR" in os.environ, ascii="ascii" in flags)
    )
    beats = [0]

    async def flood() -> None:
        while True:
            for at, row in enumerate(feed.agents):
                feed.emit(
                    Changed(
                        "agents", row | {"mailbox": (beats[0] * 7 + at) % 1000, "rate": float(beats[0] % 997)}
                    )
                )
            beats[0] += 1
            report.with_suffix(".beats").write_text(str(beats[0]))
            await asyncio.sleep(0.02)

    if "flood" in flags:
        app.call_later(lambda: app.run_worker(flood()))
    code = app.run()
    calls = [[part.hex() if isinstance(part, bytes) else part for part in call] for call in feed.calls]
    signed = [[namespace, message.hex()] for namespace, message in signer.signed]
    facts = {
        "calls": calls,
        "signed": signed,
        "closed": signer.closed,
        "passphrase": [a.decode() for a in asked],
    }
    report.write_text(json.dumps(facts))
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
