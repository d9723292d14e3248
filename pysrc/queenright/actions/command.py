"""What an agent is told of a command that ran over its workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MAX_LISTED", "command_value", "note_of"]

MAX_LISTED = 50
"""Changed paths that the agent is told."""


def note_of(command: str, timeout_ms: int, code: int, out: bytes, err: bytes) -> dict[str, Any]:
    """What is kept beside a proposal: what was asked, so that nothing else is committed with it, and what was said."""
    asked = {"command": command, "timeout_ms": timeout_ms}
    return {"v": 1, "asked": asked, "code": code, "out": out, "err": err}


def command_value(
    said: Mapping[str, Any], kept: Mapping[str, Any], *, late: bool = False, dropped: str = ""
) -> dict[str, Any]:
    """`said`: {"code", "out", "err"}; `kept`: {"version", "digest", "changes", "left_out"} as a commit gives them."""
    return {
        "code": said["code"],
        "out": said["out"],
        "err": said["err"],
        "timed_out": late,
        "changed": [_words(row[0]) for row in kept["changes"]],
        "left_out": [f"{_words(path)} ({kind})" for path, kind in kept["left_out"]],
        "dropped": dropped,
        "version": kept["version"],
        "digest": kept["digest"],
    }


def _words(path: bytes) -> str:
    return path.decode("utf-8", "replace")
