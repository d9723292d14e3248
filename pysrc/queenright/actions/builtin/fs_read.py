"""`fs.read`: a file of the acting agent's own workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Reach
from queenright.actions.world import World
from queenright.workspace.beneath import open_root, read_file

__all__ = ["VERB", "root_of"]

MAX_READ = 1 << 20
"""Bytes of one answer: it travels to a cell in one frame."""


def root_of(world: World) -> int:
    """A descriptor of the workspace; the caller closes it."""
    return open_root(world.place.live)


class FsRead:
    """The file's bytes; without `limit` the whole of it, which is then at most 1 MiB."""

    manifest = Manifest(
        "fs.read",
        ("ws",),
        "read",
        {
            "path": Arg("str", least=1),
            "offset": Arg("int", 0, most=2**40),
            "limit": Arg("int", None, least=1, most=MAX_READ),
        },
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def read(self, world: World, args: Mapping[str, Any]) -> Any:
        root = root_of(world)
        try:
            data = read_file(root, args["path"]).data[args["offset"] :]
        finally:
            os.close(root)
        if args["limit"] is None and len(data) > MAX_READ:
            raise ActionFailed(
                "malformed", f"{args['path']} is longer than {MAX_READ} bytes: read it by offset and limit"
            )
        return data[: args["limit"] or MAX_READ]


VERB = FsRead()
