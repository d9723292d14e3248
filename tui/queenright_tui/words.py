"""Times, counts and ids as people read them. Pure."""

from __future__ import annotations

import datetime as dt

__all__ = ["ago", "clock", "count", "last_word", "left", "long_id", "short_id", "tail", "under", "until"]

_ID_DIGITS = 12


def clock(ms: int) -> str:
    """`10:41:07Z`."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%H:%M:%SZ")


def until(ms: int) -> str:
    """Date and time, for things that may lie on another day."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def left(ms: int) -> str:
    """A span in five or six cells: `42s`, `11m40`, `06h12`, `3d04h`; a span that is over is `0s`."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02}h"


def ago(ms: int) -> str:
    """`left`, with seconds after the minutes: `1m12s`."""
    seconds = max(0, ms) // 1000
    return f"{seconds // 60}m{seconds % 60:02}s" if 60 <= seconds < 3600 else left(ms)


def count(value: float) -> str:
    """`4 812`, `18.4k`."""
    if value >= 10_000:
        return f"{value / 1000:.1f}k" if value < 1_000_000 else f"{value / 1e6:.1f}M"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.1f}"
    return f"{int(value):,}".replace(",", " ")


def short_id(text: str) -> str:
    """The id's kind and first 12 hex digits: as it is shown everywhere, and enough for a command."""
    kind, dash, digits = text.partition("-")
    return f"{kind}-{digits[:_ID_DIGITS]}" if dash else text[: _ID_DIGITS + 8]


def long_id(digest: bytes) -> str:
    """A digest in groups of four, for comparing by eye: its first 24 hex digits."""
    digits = digest.hex()[:24]
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def under(name: str, parent: str) -> str:
    """A name as it stands below its parent's: `sre/watcher/log-1` under `sre/watcher` is `log-1`."""
    return (
        name[len(parent) + 1 :]
        if parent and name.startswith(f"{parent}/") and len(name) > len(parent) + 1
        else name
    )


def tail(name: str, cells: int) -> str:
    """The end of a name that is too long: its end tells siblings apart."""
    return name if len(name) <= cells else f"~{name[1 - cells :]}"


def last_word(resource: str) -> str:
    """What a person types to approve: the last part of a resource's name (`svc:shop/web` is `web`)."""
    tail = resource
    for mark in ("/", ":"):
        if mark in tail:
            tail = tail.rstrip(mark).rsplit(mark, 1)[-1]
    return tail or resource
