"""print and stderr of behaviours: lines for the bounded log of the agent whose turn runs."""

from __future__ import annotations

import io
from collections.abc import Callable

__all__ = ["MAX_LINE", "MAX_STEP", "Output"]

MAX_LINE = 2000
MAX_STEP = 64 * 1024  # characters one step of a turn may print


class Output(io.TextIOBase):
    """`current` gives the running agent and the number of its step; outside of turns text goes to `outside`."""

    def __init__(
        self,
        level: str,
        log: Callable[[bytes, str, str], None],
        current: Callable[[], tuple[bytes | None, int]],
        outside: io.TextIOBase,
    ) -> None:
        self._level = level
        self._log = log
        self._current = current
        self._outside = outside
        self._step = 0
        self._used = 0
        self._rest: dict[bytes, str] = {}

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        agent, step = self._current()
        if agent is None:
            return self._outside.write(text)
        if step != self._step:
            self._step, self._used = step, 0
        if self._used > MAX_STEP:
            return len(text)
        self._used += len(text)
        if self._used > MAX_STEP:
            self._log(agent, "runtime", f"output of this turn over {MAX_STEP} characters is dropped")
            return len(text)
        *lines, rest = (self._rest.pop(agent, "") + text).split("\n")
        for line in lines:
            self._log(agent, self._level, line[:MAX_LINE])
        if len(rest) > MAX_LINE:
            self._log(agent, self._level, rest[:MAX_LINE])
        elif rest:
            self._rest[agent] = rest
        return len(text)

    def flush(self) -> None:
        if self._current()[0] is None:
            self._outside.flush()

    def forget(self, agent: bytes) -> None:
        """Drop what an agent printed without a line's end."""
        self._rest.pop(agent, None)
