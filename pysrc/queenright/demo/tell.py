"""The story's voice: one line at a time, each with its time, held back while a terminal is on the screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from queenright.core import sanitize

__all__ = ["Tell"]

WIDTH = 400  # characters of one line; an agent's text may be longer


class Tell:
    """Prints `seconds  who  what`. What agents say is sanitised here, whoever passed it on."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._held: list[str] | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def say(self, who: str, what: str) -> None:
        line = f"{self.seconds:6.1f} s  {sanitize(who, 40):<16} {sanitize(what, WIDTH)}"
        with self._lock:
            if self._held is None:
                self._write(line + "\n")
            else:
                self._held.append(line)

    def text(self, text: str) -> None:
        """Lines of the demo's own, as they are."""
        with self._lock:
            self._write(text + "\n")

    def hold(self) -> None:
        """Say nothing until `release`; nothing is lost."""
        with self._lock:
            self._held = self._held or []

    def release(self) -> None:
        with self._lock:
            held, self._held = self._held or [], None
            for line in held:
                self._write(line + "\n")
