"""The story's own eyes: what the load generator measured, read independently of any agent's word.

The swarm never sees these numbers. Whether a fault hurt and whether it is healed is decided here alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Probe", "Second"]

GOOD_SECONDS = 3  # in a row, before the shop counts as healthy
HURT_P95_MS = 200.0  # a customer who waits that long is hurt, even if answered in the end
SLOWER = 3.0  # so is one whose route takes this many times its normal median
LEAST_SLOW_MS = 12.0  # below this nobody notices
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Second:
    """What customers saw in the second that ended at `ts` (wall ms). Times in ms, of the slower route."""

    ts: int
    sent: int
    bad: int
    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, line: dict[str, Any]) -> Second:
        routes = [line["checkout"], line["orders"]]
        p50, p95 = (max(float(route[key]) for route in routes) for key in ("p50_ms", "p95_ms"))
        return cls(int(line["ts"]), int(line["sent"]), int(line["bad"]), p50, p95)

    def __str__(self) -> str:
        return f"{self.bad} of {self.sent} failed, p50 {self.p50_ms:.0f} ms, p95 {self.p95_ms:.0f} ms"


class Probe:
    """Reads the load generator's file as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._torn = ""
        self.seconds: list[Second] = []
        self.normal_p50_ms = 0.0

    def read(self) -> None:
        """Take in what was written since the last time."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            file.seek(self._offset)
            text = self._torn + file.read()
            self._offset = file.tell()
        *lines, self._torn = text.split("\n")
        self.seconds += [Second.of(json.loads(line)) for line in lines]

    def learn(self) -> None:
        """Take the seconds seen so far as what is normal."""
        ordered = sorted(second.p50_ms for second in self.seconds)
        self.normal_p50_ms = ordered[len(ordered) // 2] if ordered else 0.0

    def hurts(self, second: Second) -> bool:
        slow = max(LEAST_SLOW_MS, SLOWER * self.normal_p50_ms)
        return second.bad > 0 or second.p95_ms >= HURT_P95_MS or second.p50_ms >= slow

    def hurt_since(self, ts: int) -> list[Second]:
        return [second for second in self.seconds if second.ts > ts and self.hurts(second)]

    def healthy_at(self, since_ts: int) -> int | None:
        """When GOOD_SECONDS good ones in a row, all after `since_ts`, were over; None if that was not seen.

        A second without customers is not a good one.
        """
        run = 0
        for second in self.seconds:
            if second.ts - 1000 < since_ts:
                continue
            run = run + 1 if second.sent > 0 and not self.hurts(second) else 0
            if run == GOOD_SECONDS:
                return second.ts
        return None

    def wait(self, done: Callable[[], bool], deadline_s: float) -> bool:
        """Read on until `done`; False if it was not within `deadline_s`."""
        limit = time.monotonic() + deadline_s
        while time.monotonic() < limit:
            self.read()
            if done():
                return True
            time.sleep(POLL_S)
        return False
