"""print and stderr of behaviours: lines for the bounded log of the agent whose turn runs."""

from __future__ import annotations

import io
from collections.abc import Callable

__all__ = ["MAX_LINE", "Output"]

MAX_LINE = 2000


class Output(io.TextIOBase):
    """`current` gives the running agent; outside of turns text goes to `outside`. `log` bounds what comes of it."""

    def __init__(
        self,
        level: str,
        log: Callable[[bytes, str, str], None],
        current: Callable[[], bytes | None],
        outside: io.TextIOBase,
    ) -> None:
        self._level = level
        self._log = log
        self._current = current
        self._outside = outside
        self._rest: dict[bytes, str] = {}

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        agent = self._current()
        if agent is None:
            return self._outside.write(text)
        *lines, rest = (self._rest.pop(agent, "") + text).split("\n")
        for line in lines:
            self._log(agent, self._level, line[:MAX_LINE])
        if len(rest) > MAX_LINE:
            self._log(agent, self._level, rest[:MAX_LINE])
        elif rest:
            self._rest[agent] = rest
        return len(text)

    def flush(self) -> None:
        if self._current() is None:
            self._outside.flush()

    def forget(self, agent: bytes) -> None:
        """Drop what an agent printed without a line's end."""
        self._rest.pop(agent, None)
