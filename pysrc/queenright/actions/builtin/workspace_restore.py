"""`workspace.restore`: the acting agent's own workspace as it was at an earlier version, as a new one. Class `exact`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.own_version import OwnVersion
from queenright.actions.plan import Draft, Plan
from queenright.actions.rehearsal import shown
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach
from queenright.actions.world import World
from queenright.errors import Conflict
from queenright.workspace import versions

__all__ = ["VERB"]

MAX_DRAWN = 100
"""Changed paths that a card draws; the rest are counted."""


class WorkspaceRestore(OwnVersion):
    """{"version", "changed"}: the version that was made, how many paths it put back."""

    manifest = Manifest("workspace.restore", ("ws",), "exact", {"version": Arg("int", least=0, most=2**53)})

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        place = world.place
        with versions.opened(place.store, place.agent, place.live) as space:
            head = space.settle()
            try:
                rows, count = space.would_restore(args["version"], MAX_DRAWN)
            except Conflict as changed:
                raise ActionFailed("conflict", changed.message) from None
        effect = f"put the workspace back to version {args['version']}: {count} paths"
        lines = [f"{kind} {shown(path)}" for path, kind, _, _ in rows]
        if count > len(rows):
            lines.append(f"and {count - len(rows)} more")
        return Draft(
            dict(args),
            "\n".join([effect, *lines]),
            {"version": head},
            {"version": "the one it makes"},
            "put every changed file back",
        )

    def run(self, world: World, plan: Plan) -> Effect:
        place, head = world.place, plan.precondition["version"]
        with versions.opened(place.store, place.agent, place.live) as space:
            if space.settle() != head:
                raise ActionFailed("conflict", "the workspace was changed since this was planned")
            try:
                done = space.restore(plan.args["version"], place.act, place.intent, place.at_ms)
            except Conflict as changed:
                raise ActionFailed("conflict", changed.message) from None
        after = {"made": done["version"] != head, "version": done["version"], "digest": done["digest"]}
        return Effect({"version": done["version"], "changed": done["changed"]}, after)


VERB = WorkspaceRestore()
