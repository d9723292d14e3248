"""What a resource is now, as far as an undo or a restore may want it back: config contents, release target.

Not an action: no agent can ask for it. The supervisor looks for itself.
"""

from __future__ import annotations

import os
from typing import Any

from queenright.actions.manifest import Manifest
from queenright.actions.resources import Resource
from queenright.actions.verb import Reach
from queenright.actions.world import World, open_parent
from queenright.errors import QueenrightError
from queenright.workspace.beneath import read_file

__all__ = ["OBSERVE", "Observer"]


class Observer:
    """{"release": target or None, "config": {path: bytes}}. What cannot be read is left out."""

    manifest = Manifest("resource.observe", ("svc", "db"), "read")

    def reach(self, resource: Resource) -> Reach:
        paths = [*resource.config, *([resource.release_link] if resource.release_link else [])]
        return Reach(read=tuple(sorted({os.path.dirname(path) for path in paths})))

    def observe(self, world: World) -> dict[str, Any]:
        found: dict[str, Any] = {"release": None, "config": {}}
        if world.resource.release_link:
            try:
                with open_parent(world.resource.release_link) as (folder, name):
                    found["release"] = os.readlink(name, dir_fd=folder)
            except (OSError, QueenrightError):
                found["release"] = None
        for path in world.resource.config:
            try:
                with open_parent(path) as (folder, name):
                    found["config"][path] = read_file(folder, name).data
            except (OSError, QueenrightError):
                continue
        return found


OBSERVE = Observer()
