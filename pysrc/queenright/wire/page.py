"""The 4 KiB page a cell shares with the supervisor: whose turn holds the interpreter, written before each step.

Untrusted: a hint for the watchdog and for the words after a death, never a fact. It holds no time: the supervisor looks
again and again with its own clock, and a step that is still the same has held the interpreter since.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

__all__ = ["PAGE_BYTES", "USED", "InProgress", "read"]

PAGE_BYTES = 4096
_LAYOUT = struct.Struct("<32sQQ")
USED = _LAYOUT.size


class InProgress(NamedTuple):
    """`turn` 0: a volatile message. `step`: how many steps this cell has begun."""

    agent: bytes
    turn: int
    step: int


def read(page: Any) -> InProgress | None:
    """What the page says, or None between runs."""
    found = InProgress(*_LAYOUT.unpack_from(page, 0))
    return found if found.step else None
