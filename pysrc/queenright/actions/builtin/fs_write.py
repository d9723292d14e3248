"""`fs.write`: a whole file of the acting agent's own workspace, as its next version. Class `exact`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from queenright.actions import hostfile
from queenright.actions.builtin.fs_read import root_of
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.own_version import OwnVersion
from queenright.actions.plan import Draft, Plan
from queenright.actions.rehearsal import content_diff, shown
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach
from queenright.actions.world import World
from queenright.errors import Unknown, WorkspaceFull
from queenright.workspace import versions
from queenright.workspace.beneath import FileVersion, read_file, split_path
from queenright.workspace.workspaces import Quota

__all__ = ["VERB"]

MAX_WRITE = 1 << 20


class FsWrite(OwnVersion):
    manifest = Manifest(
        "fs.write",
        ("ws",),
        "exact",
        {
            "path": Arg("str", least=1),
            "data": Arg("bytes", most=MAX_WRITE),
            "mode": Arg("int", 0o644, most=0o777),
        },
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        path, data = args["path"], args["data"]
        split_path(path)
        now = _now(world, path)
        here = None if now is None else hostfile.sha256(now.data)
        effect = f"write {len(data)} bytes to {shown(os.fsencode(path))}"
        effect += "" if here is None else f", over {here[:12]}"
        effect = "\n".join([effect, *content_diff(None if now is None else now.data, data)])
        undo_text = f"remove {path}" if now is None else f"write its {len(now.data)} bytes back"
        return Draft(
            dict(args),
            effect,
            {"sha256": here},
            {"sha256": here, "mode": None if now is None else now.mode},
            undo_text,
        )

    def run(self, world: World, plan: Plan) -> Effect:
        before, path, place = plan.precondition["sha256"], plan.args["path"], world.place
        quota = Quota()
        with versions.opened(place.store, place.agent, place.live) as space:
            head = space.settle()
            found = self._sha256(world, plan)
            if found != before:
                how = "gone" if found is None else "changed"
                raise ActionFailed("conflict", f"{path!r} is not what it was: {how} since")
            try:
                done = space.commit_file(
                    os.fsencode(path),
                    plan.args["data"],
                    plan.args["mode"],
                    place.act,
                    place.intent,
                    place.at_ms,
                    quota.bytes,
                    quota.files,
                )
            except WorkspaceFull as full:
                raise ActionFailed(full.code, full.message) from None
        sha256 = hostfile.sha256(plan.args["data"])
        after = {"sha256": sha256, "made": done["version"] != head}
        return Effect(
            {"sha256": sha256, "size": len(plan.args["data"]), "version": done["version"]},
            after | {"version": done["version"], "digest": done["digest"]},
        )

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        found = self._sha256(world, plan)
        if found != effect.after["sha256"]:
            raise ActionFailed("not_verified", f"{plan.args['path']} is not what was written", began=True)

    def _sha256(self, world: World, plan: Plan) -> str | None:
        now = _now(world, plan.args["path"])
        return None if now is None else hostfile.sha256(now.data)


def _now(world: World, path: str) -> FileVersion | None:
    root = root_of(world)
    try:
        return read_file(root, path)
    except Unknown:
        return None
    finally:
        os.close(root)


VERB = FsWrite()
