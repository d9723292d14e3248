"""The load generator: customers at a steady rate, measured from outside. It ends by itself.

Requests start on a schedule and are timed from it, whether or not earlier ones came back: a shop that stalls
cannot slow its own measurement down (no coordinated omission). A JSON line a second says what customers saw.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import random
import signal
import threading
import time
from pathlib import Path

from .database import CUSTOMERS, PRODUCTS
from .telemetry import now_ms

MAX_RATE, MAX_SECONDS = 200, 3600  # a load generator, not a weapon
CUSTOMERS_AT_ONCE = 48  # threads: the rate times the longest wait
TIMEOUT = 3.0  # seconds a customer waits


class Second:
    """What customers saw in one second."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {"checkout": [], "orders": []}
        self.bad: dict[str, int] = {"checkout": 0, "orders": 0}
        self.statuses: dict[str, int] = {}

    def line(self) -> dict[str, object]:
        out: dict[str, object] = {"ts": now_ms(), "statuses": self.statuses}
        out["sent"] = sum(map(len, self.ms.values()))
        out["bad"] = sum(self.bad.values())
        for kind, times in self.ms.items():
            times.sort()
            out[kind] = {
                "sent": len(times),
                "bad": self.bad[kind],
                "p50_ms": _at(times, 0.5),
                "p95_ms": _at(times, 0.95),
            }
        return out


def _at(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0


class Load:
    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)  # noqa: S311  # carts, not keys
        self._due: queue.SimpleQueue[tuple[float, str, str, bytes | None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._second = Second()

    def _request(self) -> tuple[str, str, bytes | None]:
        customer = self._random.randrange(CUSTOMERS)
        if self._random.random() < 0.5:
            return "GET", f"/orders?customer={customer}", None
        sku = f"sku-{self._random.randrange(PRODUCTS)}"
        order = {"customer": customer, "sku": sku, "qty": self._random.randint(1, 3)}
        return "POST", "/checkout", json.dumps(order).encode()

    def _customer(self) -> None:
        while (job := self._due.get()) is not None:
            due, method, path, body = job
            link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
            try:
                link.request(method, path, body)
                answer = link.getresponse()
                answer.read()
                status = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
            finally:
                link.close()
            kind = "checkout" if body else "orders"
            with self._lock:
                self._second.ms[kind].append((time.monotonic() - due) * 1000)
                self._second.bad[kind] += status != "200"
                self._second.statuses[status] = self._second.statuses.get(status, 0) + 1

    def run(self, rate: int, seconds: int, out: Path, stop: threading.Event) -> None:
        threads = [threading.Thread(target=self._customer, daemon=True) for _ in range(CUSTOMERS_AT_ONCE)]
        for thread in threads:
            thread.start()
        start = time.monotonic()
        with out.open("a", encoding="utf-8") as file:
            for n in range(rate * seconds):
                due = start + n / rate
                if stop.wait(max(0.0, due - time.monotonic())):
                    break
                self._due.put((due, *self._request()))
                if n % rate == rate - 1:
                    with self._lock:
                        line, self._second = self._second.line(), Second()
                    file.write(json.dumps(line) + "\n")
                    file.flush()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="load")
    parser.add_argument("--port", type=int, required=True, help="the edge's port")
    parser.add_argument("--rate", type=int, default=30, help="requests a second")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, required=True, help="where the measurements go, a JSON line a second"
    )
    asked = parser.parse_args(argv)
    if not (0 < asked.rate <= MAX_RATE and 0 < asked.seconds <= MAX_SECONDS):
        parser.error(f"at most {MAX_RATE} requests a second for {MAX_SECONDS} seconds")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Load(asked.port, asked.seed).run(asked.rate, asked.seconds, asked.out, stop)
