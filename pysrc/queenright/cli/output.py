"""What the command line prints:

data to stdout, everything else to stderr, and no byte that an agent chose unsanitised.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from queenright.core import sanitize
from queenright.errors import Denied, QueenrightError

__all__ = ["Output", "ago", "clean", "jsonable", "left", "table", "when"]

MAX_CELL = 200  # characters of one field in a table
MAX_TEXT = 64 * 1024  # characters of one free text


def clean(text: str, limit: int = MAX_CELL) -> str:
    """One line of text that somebody else chose, safe for a terminal."""
    return sanitize(text, limit)


def jsonable(value: Any) -> Any:
    """The value with bytes as hex, for `--json`. Text stays as it is: JSON escapes what is not printable."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def when(ms: int | None) -> str:
    """A wall-clock time in UTC, or a dash."""
    return "-" if ms is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def _span(ms: int) -> str:
    seconds = max(ms, 0) // 1000
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}h"


def ago(ms: int | None, now_ms: int) -> str:
    """How long ago, in short."""
    return "-" if ms is None else _span(now_ms - ms)


def left(ms: int | None, now_ms: int) -> str:
    """How long until, in short; `ended` when it is over."""
    if ms is None:
        return "-"
    return _span(ms - now_ms) if ms > now_ms else "ended"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns of text as wide as their widest cell; the last one is not padded.

    Every cell is sanitised here.
    """
    cells = [list(head), *([clean(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


class Output:
    """Two streams and whether stdout is for a program."""

    def __init__(self, *, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = out
        self._err = err

    def data(self, value: Any, lines: Iterable[str]) -> None:
        """The result: `value` as one line of JSON, or `lines` for a person (already sanitised)."""
        out = self._out or sys.stdout
        if self.as_json:
            out.write(json.dumps(jsonable(value), sort_keys=True) + "\n")
        else:
            out.writelines(line + "\n" for line in lines)
        out.flush()

    def say(self, text: str) -> None:
        """Something that is not the result."""
        err = self._err or sys.stderr
        err.write(f"queenright: {clean(text, MAX_TEXT)}\n")
        err.flush()

    def hint(self, text: str) -> None:
        """The way out."""
        err = self._err or sys.stderr
        err.write(f"hint: {clean(text, MAX_TEXT)}\n")
        err.flush()

    def show(self, lines: Iterable[str]) -> None:
        """Lines for the person at the terminal that are not the result:

        a card, a preview. Already sanitised.
        """
        err = self._err or sys.stderr
        err.writelines(line + "\n" for line in lines)
        err.flush()

    def refusal(self, error: QueenrightError) -> None:
        """A refusal, with every failing dimension if it has any; as JSON too if that was asked for."""
        if self.as_json:
            body = {"code": error.code, "message": error.message, "hint": error.hint}
            if isinstance(error, Denied):
                body |= {"dimensions": [[d.name, d.level, d.detail] for d in error.dimensions]}  # type: ignore[dict-item]
                body |= {"amendment": error.amendment}
            err = self._err or sys.stderr
            err.write(json.dumps({"error": jsonable(body)}, sort_keys=True) + "\n")
            err.flush()
            return
        for line in error.message.splitlines() or [""]:
            self.say(line)
        if isinstance(error, Denied):
            for dimension in error.dimensions:
                self.say(f"  {dimension.name} at {dimension.level}: {dimension.detail}")
            if error.amendment:
                self.hint(f"would be allowed by: {error.amendment}")
        if error.hint:
            self.hint(error.hint)
