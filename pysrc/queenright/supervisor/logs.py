"""Two kinds of log: the supervisor's own (JSON lines, rotated), and each agent's bounded one (untrusted text).

Neither ever holds a secret: the supervisor logs ids, names and reasons; what agents print comes from processes
that never had one.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from queenright.clock import Clock
from queenright.core import sanitize

__all__ = ["AgentLine", "AgentLogs", "Log", "Stream"]

Stream = Literal["log", "stderr", "runtime"]

LINES_PER_AGENT = 2_000
LINE_CHARACTERS = 2_000
FILE_BYTES = 8 * 1024 * 1024
FILES_KEPT = 4
RECENT_LINES = 2_000  # kept in memory for `queenright logs`; the file has the rest


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the supervisor's own log, as it was written."""

    seq: int
    at_ms: int
    text: str


class Log:
    """The supervisor's log: one JSON object a line, to a rotated file and, in the foreground, to stderr."""

    def __init__(self, path: Path, clock: Clock, *, echo: bool) -> None:
        self._clock = clock
        self._logger = logging.Logger("queenright")
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, delay=False
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._logger.addHandler(handler)
        if echo:
            stream = logging.StreamHandler(sys.stderr)
            stream.setFormatter(logging.Formatter("%(message)s"))
            self._logger.addHandler(stream)
        self.path = path
        self._recent: deque[LogLine] = deque(maxlen=RECENT_LINES)
        self._next = 0
        # What the rooms say by way of `logging` (the control server does) goes where everything else goes.
        self._rooms = _Forward(self)
        logging.getLogger("queenright").addHandler(self._rooms)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        now = self._clock.wall_ms()
        line = {"t_ms": now, "level": logging.getLevelName(level).lower(), "event": event}
        clean = {
            key: sanitize(value, LINE_CHARACTERS) if isinstance(value, str) else value
            for key, value in fields.items()
        }
        text = json.dumps(line | clean, ensure_ascii=False, default=str)
        self._recent.append(LogLine(self._next, now, text))
        self._next += 1
        self._logger.log(level, text)

    def info(self, event: str, **fields: Any) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write(logging.ERROR, event, fields)

    def read(self, after: int, limit: int) -> tuple[list[LogLine], int, int]:
        """Lines since this start with seq > after, the next `after`, and how many before the first were dropped."""
        found = [line for line in self._recent if line.seq > after][:limit]
        first = self._recent[0].seq if self._recent else 0
        return found, (found[-1].seq if found else after), max(0, first - (after + 1))

    def close(self) -> None:
        logging.getLogger("queenright").removeHandler(self._rooms)
        for handler in list(self._logger.handlers):
            handler.close()


class _Forward(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log._write(record.levelno, record.name, {"text": record.getMessage()})


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One line of an agent's log; `text` is sanitised and still untrusted."""

    seq: int
    at_ms: int
    stream: Stream
    text: str
    error: bool = False


class AgentLogs:
    """The bounded logs: a ring of lines for each agent. They are not part of the record and end with the supervisor."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[bytes, deque[AgentLine]] = {}
        self._next: dict[bytes, int] = {}
        self.on_line: Callable[[bytes, AgentLine], None] = lambda agent, line: None

    def line(self, agent: bytes, stream: Stream, text: str, *, error: bool = False) -> None:
        """Add text, split at newlines, each line cut at its bound."""
        for part in text.splitlines()[:50] or [""]:
            lines = self._lines.setdefault(agent, deque(maxlen=LINES_PER_AGENT))
            seq = self._next.get(agent, 0)
            self._next[agent] = seq + 1
            entry = AgentLine(seq, self._clock.wall_ms(), stream, sanitize(part, LINE_CHARACTERS), error)
            lines.append(entry)
            self.on_line(agent, entry)

    def read(self, agent: bytes, after: int, limit: int) -> tuple[list[AgentLine], int, int]:
        """Lines with seq > after, the next `after`, and how many before the first shown were dropped."""
        lines = self._lines.get(agent, deque())
        found = [line for line in lines if line.seq > after][:limit]
        first = lines[0].seq if lines else 0
        dropped = max(0, first - (after + 1))
        return found, (found[-1].seq if found else after), dropped

    def last(self, agent: bytes) -> str:
        """The last line that was an error, or nothing."""
        for line in reversed(self._lines.get(agent, deque())):
            if line.stream == "runtime" and line.error:
                return line.text
        return ""
