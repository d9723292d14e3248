"""`fs.list`: the names in a directory of the acting agent's own workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from queenright.actions.builtin.fs_read import root_of
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.resources import Resource
from queenright.actions.verb import Reach
from queenright.actions.world import World
from queenright.workspace.tree import list_directory

__all__ = ["VERB"]

MAX_NAMES = 10_000


class FsList:
    """The names, sorted; `path` "." is the workspace itself. A name that is not UTF-8 has its odd bytes
    replaced.
    """

    manifest = Manifest("fs.list", ("ws",), "read", {"path": Arg("str", ".", least=1)})

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def read(self, world: World, args: Mapping[str, Any]) -> Any:
        root = root_of(world)
        try:
            path = "" if args["path"] == "." else args["path"]
            entries = list_directory(root, path, MAX_NAMES)
        finally:
            os.close(root)
        return [os.fsencode(entry.name).decode("utf-8", "replace") for entry in entries]


VERB = FsList()
