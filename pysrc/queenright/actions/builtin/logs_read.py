"""`logs.read`: a piece of one of a resource's logs, from an offset, whole lines only."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Reach
from queenright.actions.world import World, open_parent

__all__ = ["VERB"]

MAX_PIECE = 256 * 1024
"""Bytes of one read: a page for an agent, and bounded work."""


class LogsRead:
    """{"text", "offset", "next", "size", "file"}: whole lines from `offset` on; `next` is where to go on.

    A negative offset counts from the end. `from_ms`, `to_ms` keep JSON lines whose `time_field`
    (milliseconds) lies in the window; other lines are left out then. `file` changes when the log was rotated:
    begin at 0 again.
    """

    manifest = Manifest(
        "logs.read",
        ("svc", "db"),
        "read",
        {
            "log": Arg("str", None, most=255),
            "offset": Arg("int", 0, least=-(2**40), most=2**53),
            "limit": Arg("int", MAX_PIECE, least=1, most=MAX_PIECE),
            "from_ms": Arg("int", None, most=2**53),
            "to_ms": Arg("int", None, most=2**53),
            "time_field": Arg("str", "ts", least=1, most=64),
        },
    )

    def reach(self, resource: Resource) -> Reach:
        # The directory, not the file: after a rotation the name is another file, in a rule made before it.
        return Reach(read=tuple(sorted({os.path.dirname(path) for path in resource.logs})))

    def read(self, world: World, args: Mapping[str, Any]) -> Any:
        path = _choose(world.resource.need("logs", "logs.read"), args["log"])
        with open_parent(path) as (folder, name):
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=folder)
            except FileNotFoundError:
                raise ActionFailed("unknown", f"log {name} does not exist") from None
            except OSError as error:
                raise ActionFailed("unreachable", f"log {name} cannot be read: {error.strerror}") from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ActionFailed("malformed", f"log {name} is not a regular file")
            size = found.st_size
            start = min(size, args["offset"] if args["offset"] >= 0 else max(0, size + args["offset"]))
            data = os.pread(descriptor, args["limit"], start)
        finally:
            os.close(descriptor)
        if args["offset"] < 0 and start > 0:
            # In the middle of a line: its rest is not a line.
            cut = data.find(b"\n") + 1
            data, start = data[cut:], start + cut
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == args["limit"]:
            whole = data  # one line longer than a piece: better in parts than never
        text = _window(whole, args).decode("utf-8", "replace")
        return {"text": text, "offset": start, "next": start + len(whole), "size": size, "file": found.st_ino}


def _choose(logs: tuple[str, ...], name: str | None) -> str:
    if name is None and len(logs) == 1:
        return logs[0]
    for path in logs:
        if os.path.basename(path) == name:
            return path
    names = ", ".join(os.path.basename(path) for path in logs)
    raise ActionFailed("malformed", f"log is one of: {names}")


def _window(data: bytes, args: Mapping[str, Any]) -> bytes:
    first, last = args["from_ms"], args["to_ms"]
    if first is None and last is None:
        return data
    kept = []
    for line in data.splitlines(keepends=True):
        try:
            at = json.loads(line)[args["time_field"]]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(at, int | float) and (first is None or at >= first) and (last is None or at <= last):
            kept.append(line)
    return b"".join(kept)


VERB = LogsRead()
