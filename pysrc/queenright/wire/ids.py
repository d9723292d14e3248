"""Ids as people see them: a kind and hexadecimal digits of a 32-byte digest, `agent-1a2b3c4d5e6f` in short."""

from __future__ import annotations

import re

from queenright.errors import Malformed

__all__ = ["KINDS", "SHORT_DIGITS", "full", "parse", "short"]

KINDS = ("agent", "intent", "ask", "act", "lease", "grant", "behaviour", "cell")
# 48 bits: among a million ids of one kind the odds that any two look alike are one in five hundred, and commands
# refuse an ambiguous prefix.
SHORT_DIGITS = 12
_TEXT = re.compile(r"(?:(?P<kind>[a-z]+)-)?(?P<digits>[0-9a-f]{1,64})\Z")


def short(kind: str, digest: bytes) -> str:
    """What screens and messages show."""
    return f"{kind}-{digest.hex()[:SHORT_DIGITS]}"


def full(kind: str, digest: bytes) -> str:
    """Every digit: what orders and documents name."""
    return f"{kind}-{digest.hex()}"


def parse(text: str) -> tuple[str | None, str]:
    """(kind or None, lower-case hex prefix). Raises Malformed for anything else."""
    found = _TEXT.match(text)
    if found is None or (found["kind"] is not None and found["kind"] not in KINDS):
        raise Malformed(
            f"`{text[:80]}` is no id",
            hint="an id looks like `agent-1a2b3c4d5e6f`; any unambiguous prefix will do",
        )
    return found["kind"], found["digits"]
