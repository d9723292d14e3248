"""Every exit code of the command line, and which refusal ends in which."""

from __future__ import annotations

from queenright.errors import (
    AskExpired,
    Denied,
    InvalidSignature,
    Locked,
    NoSupervisor,
    NotEntitled,
    QueenrightError,
    SandboxRefused,
    TimedOut,
)

__all__ = [
    "DENIED",
    "FAILED",
    "INCOMPLETE",
    "LACKS_FEATURE",
    "LOCKED",
    "MEANINGS",
    "NO_ANSWER",
    "NO_SUPERVISOR",
    "OK",
    "USAGE",
    "of",
]

OK = 0
FAILED = 1
USAGE = 2
DENIED = 3
NO_ANSWER = 4
NO_SUPERVISOR = 5
LACKS_FEATURE = 6
LOCKED = 7
INCOMPLETE = 8

MEANINGS = {
    OK: "ok",
    FAILED: "failed",
    USAGE: "usage",
    DENIED: "denied",
    NO_ANSWER: "no answer in time",
    NO_SUPERVISOR: "no supervisor",
    LACKS_FEATURE: "this machine lacks a needed feature",
    LOCKED: "locked",
    INCOMPLETE: "verified but incomplete",
}

_CODES: tuple[tuple[type[QueenrightError], int], ...] = (
    (Denied, DENIED),
    (NotEntitled, DENIED),
    (InvalidSignature, DENIED),
    (AskExpired, NO_ANSWER),
    (TimedOut, NO_ANSWER),
    (NoSupervisor, NO_SUPERVISOR),
    (SandboxRefused, LACKS_FEATURE),
    (Locked, LOCKED),
)


def of(error: QueenrightError) -> int:
    """The exit code a refusal ends in."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
