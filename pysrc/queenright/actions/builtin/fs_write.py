"""`fs.write`: a whole file of the acting agent's own workspace. Class `exact`: the pre-image is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from queenright.actions import hostfile
from queenright.actions.builtin.fs_read import root_of
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone
from queenright.actions.world import World
from queenright.errors import Conflict, Unknown
from queenright.workspace.beneath import FileVersion, read_file, remove_file, split_path, write_file
from queenright.workspace.tree import measure
from queenright.workspace.workspaces import Quota

__all__ = ["VERB"]

MAX_WRITE = 1 << 20


class FsWrite:
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
        root = root_of(world)
        try:
            held, quota = measure(root), Quota()
            now = _now(root, path)
        finally:
            os.close(root)
        if held.bytes + len(data) > quota.bytes or held.files + 1 > quota.files:
            raise ActionFailed("quota", f"the workspace is full: {held.bytes} of {quota.bytes} bytes")
        here = None if now is None else hostfile.sha256(now.data)
        effect = f"write {len(data)} bytes to {path}" + ("" if here is None else f", over {here[:12]}")
        undo_text = f"remove {path}" if now is None else f"write its {len(now.data)} bytes back"
        return Draft(
            dict(args),
            effect,
            {"sha256": here},
            {"sha256": here, "mode": None if now is None else now.mode},
            undo_text,
            images={} if now is None else {"before": now.data},
        )

    def run(self, world: World, plan: Plan) -> Effect:
        before = plan.precondition["sha256"]
        root = root_of(world)
        try:
            expect = None if before is None else bytes.fromhex(before)
            write_file(root, plan.args["path"], plan.args["data"], mode=plan.args["mode"], expect=expect)
        except Conflict as changed:
            raise ActionFailed("conflict", changed.message) from None
        finally:
            os.close(root)
        sha256 = hostfile.sha256(plan.args["data"])
        return Effect({"sha256": sha256, "size": len(plan.args["data"])}, {"sha256": sha256})

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        found = self._sha256(world, plan)
        if found != effect.after["sha256"]:
            raise ActionFailed("not_verified", f"{plan.args['path']} is not what was written", began=True)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        found = self._sha256(world, plan)
        if found in (hostfile.sha256(plan.args["data"]), plan.precondition["sha256"]):
            return ""
        return f"{plan.args['path']} was {'removed' if found is None else 'changed'} since"

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        path, before = plan.args["path"], plan.precondition["sha256"]
        found = self._sha256(world, plan)
        if found == before:
            return Undone(f"{path} is as it was")
        root = root_of(world)
        try:
            ours = bytes.fromhex(hostfile.sha256(plan.args["data"]))
            if before is None:
                remove_file(root, path, expect=ours)
                return Undone(f"removed {path}")
            mode = (plan.undo or {})["mode"]
            write_file(root, path, world.images["before"], mode=mode, expect=ours)
            return Undone(f"wrote the earlier content of {path} back")
        finally:
            os.close(root)

    def _sha256(self, world: World, plan: Plan) -> str | None:
        root = root_of(world)
        try:
            now = _now(root, plan.args["path"])
        finally:
            os.close(root)
        return None if now is None else hostfile.sha256(now.data)


def _now(root: int, path: str) -> FileVersion | None:
    try:
        return read_file(root, path)
    except Unknown:
        return None


VERB = FsWrite()
