"""Durations, rates and times as people write them: `2h`, `5m`, `20/s per agent, 200/s in all`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from queenright.authority.rule import Rate
from queenright.errors import Malformed

__all__ = ["duration_ms", "rate", "show_duration", "show_time"]

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_RATE = re.compile(r"([0-9]{1,9})/(s|m|h|d)(?: (per agent|in all))?")
MAX_DURATION_MS = 400 * 86_400_000
"""A year and a month: authority that should last longer is signed again."""


def duration_ms(text: str) -> int:
    """`90s`, `1h30m`, `2d` in milliseconds. Raises Malformed for nothing, zero, a unit twice, or more than 400 days."""
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    total = sum(int(count) * _UNITS[unit] for count, unit in parts)
    whole = "".join(count + unit for count, unit in parts) == text
    if not parts or not whole or len(set(units)) != len(units) or not 0 < total <= MAX_DURATION_MS:
        raise Malformed(f'`{text[:40]}` is not a duration: write "90s", "5m", "2h" or "1h30m", at most 400d')
    return total


def rate(text: str) -> tuple[Rate | None, Rate | None]:
    """(per agent, in all) of `20/s per agent, 200/s in all`; a rate without words is in all."""
    found: dict[str, Rate] = {}
    for part in text.split(","):
        match = _RATE.fullmatch(part.strip())
        scope = (match[3] or "in all") if match else ""
        if match is None or scope in found or int(match[1]) == 0:
            raise Malformed(f'`{text[:60]}` is not a rate: write "20/s per agent, 200/s in all"')
        found[scope] = Rate(int(match[1]), _UNITS[match[2]])
    return found.get("per agent"), found.get("in all")


def show_duration(ms: int) -> str:
    """The two largest units that say it: `1 h 30 m`, `41 m`, `12 s`, `0 s`."""
    sign, left, words = ("-" if ms < 0 else ""), abs(ms), []
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
        if len(words) == 2:
            break
    return sign + (" ".join(words) or "0 s")


def show_time(ms: int) -> str:
    """UTC to the second, as one unambiguous word: `2027-01-15T08:00:00Z`."""
    try:
        return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
