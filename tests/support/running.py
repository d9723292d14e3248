"""Processes by their command lines, as /proc has them now."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["naming"]


def naming(text: str) -> list[int]:
    """Every process with this text in its command line. A zombie has none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found
