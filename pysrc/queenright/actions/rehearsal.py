"""What a command changed in a copy of the workspace, in words: what a person reads before any of it is kept.

Made in an executor, of what the version store recorded; every byte of it is an agent's, so names are escaped and each
line begins with a mark of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["MAX_CONTENT", "MAX_LISTED", "content_diff", "shown", "told"]

MAX_LISTED = 200
"""Changed paths on a card; how many more there are is said."""

MAX_DIFFED = 10
"""Files whose lines are compared."""

MAX_CONTENT = 32 * 1024
"""Bytes of a file that are compared; a larger one is only named."""

MAX_LINES = 400
"""Lines of one side that are compared: difflib is quadratic."""

_OUTPUT_LINES = 20
_SIGNS = {"added": "A", "modified": "M", "deleted": "D"}


def shown(name: bytes) -> str:
    """A name on one line, without anything that a terminal or a reader could take for something else."""
    return "".join(_one(c) for c in name.decode("utf-8", "surrogateescape"))


def _one(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode()


def content_diff(before: bytes | None, after: bytes | None) -> list[str]:
    """The changed lines (unified, one line of context), or in words why none are shown."""
    sides = [data or b"" for data in (before, after)]
    if any(len(data) > MAX_CONTENT for data in sides):
        return ["  (too long to compare)"]
    if any(b"\0" in data for data in sides):
        return ["  (not text)"]
    old, new = ([shown(line) for line in data.split(b"\n")] for data in sides)
    if max(len(old), len(new)) > MAX_LINES:
        return ["  (too many lines to compare)"]
    made = list(difflib.unified_diff(old, new, n=1, lineterm=""))[2:]
    return [f"  {line}" for line in made]


def told(
    command: str,
    said: Mapping[str, Any],
    found: Mapping[str, Any],
    contents: Callable[[bytes], tuple[bytes | None, bytes | None]],
) -> str:
    """A card's text: in its first line how much would be kept, then the command, its output and the diff.

    `said`: {"code", "out", "err"} of the command. `found`: a proposal as `Space.proposal` gives it.
    """
    count, base, code = found["changed"], found["base"], said["code"]
    paths = "no path" if count == 0 else "1 path" if count == 1 else f"{count} paths"
    head = f"keep what a command changed in a copy of version {base}: {paths}; it ended with code {code}"
    lines = [f"$ {shown(line)}" for line in command.encode().split(b"\n")]
    for path, change, before, after in found["changes"]:
        lines.append(f"{_SIGNS[change]} {shown(path)}  ({_detail(before, after)})")
    if count > len(found["changes"]):
        lines.append(f"and {count - len(found['changes'])} more paths, not listed here")
    lines += [f"left out: {shown(path)} ({kind})" for path, kind in found["left_out"]]
    files = [row[0] for row in found["changes"] if "file" in (row[2] or row[3])[:1] + (row[3] or row[2])[:1]]
    for path in files[:MAX_DIFFED]:
        before, after = contents(path)
        lines += [f"= {shown(path)}", *content_diff(before, after)]
    if len(files) > MAX_DIFFED:
        lines.append(f"= {len(files) - MAX_DIFFED} more files, not compared here")
    for name in ("out", "err"):
        output = [line for line in said[name].split(b"\n") if line]
        lines += [f"{name}| {shown(line)}" for line in output[:_OUTPUT_LINES]]
        if len(output) > _OUTPUT_LINES:
            lines.append(f"{name}: {len(output) - _OUTPUT_LINES} more lines")
    return "\n".join([head, *lines])


def _detail(before: Any, after: Any) -> str:
    kind, mode, size, target = after or before
    words = [kind]
    if before and after and before[0] != kind:
        words = [f"{before[0]} to {kind}"]
    if before and after and before[1] != mode:
        words.append(f"mode {before[1]:o} to {mode:o}")
    elif kind != "link":
        words.append(f"mode {mode:o}")
    if kind == "link":
        words.append(f"to {shown(target)}")
    if kind == "file":
        words.append(f"{size} bytes")
    return ", ".join(words)
