"""What every program of the shop tells the world: Prometheus metrics and JSON lines."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import IO

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds; one request takes 1 to 500 ms

Labels = tuple[tuple[str, str], ...]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _series(name: str, labels: Labels) -> str:
    return name + ("{" + ",".join(f'{key}="{_escape(text)}"' for key, text in labels) + "}" if labels else "")


class Metrics:
    """Counters, gauges and histograms, rendered in the Prometheus text format 0.0.4."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[
            tuple[str, Labels], list[float]
        ] = {}  # one count a bucket, then +Inf, then the sum

    def count(self, name: str, amount: float = 1.0, /, **labels: str) -> None:
        with self._lock:
            key = (name, tuple(labels.items()))
            self._values[key] = self._values.get(key, 0.0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        with self._lock:
            self._values[(name, tuple(labels.items()))] = value

    def only(self, name: str, **labels: str) -> None:
        """Set the gauge `name` to 1 under these labels and forget it under any others: an `_info` metric."""
        with self._lock:
            for key in [key for key in self._values if key[0] == name]:
                del self._values[key]
            self._values[(name, tuple(labels.items()))] = 1.0

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        with self._lock:
            key = (name, tuple(labels.items()))
            cells = self._histograms.setdefault(key, [0.0] * (len(BUCKETS) + 2))
            cells[next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))] += 1
            cells[-1] += seconds

    def render(self) -> str:
        with self._lock:
            lines = [f"{_series(*key)} {value:.15g}" for key, value in self._values.items()]
            for (name, labels), cells in self._histograms.items():
                total = 0.0
                for bound, cell in zip((*map(str, BUCKETS), "+Inf"), cells, strict=False):
                    total += cell
                    lines.append(f"{_series(name + '_bucket', (*labels, ('le', bound)))} {total:.15g}")
                lines.append(f"{_series(name + '_sum', labels)} {cells[-1]:.15g}")
                lines.append(f"{_series(name + '_count', labels)} {total:.15g}")
        return "".join(f"{line}\n" for line in lines)


class Log:
    """JSON lines, one event each, flushed at once: `ts` (wall ms), `program`, `level`, `event`, facts."""

    def __init__(self, path: Path, program: str) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, event: str, level: str = "info", **facts: object) -> None:
        line = {"ts": now_ms(), "program": self._program, "level": level, "event": event, **facts}
        with self._lock:
            self._file.write(json.dumps(line, separators=(",", ":"), default=str) + "\n")
            self._file.flush()
