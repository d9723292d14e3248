"""`config.restore`: put an earlier version of a config file back, whole."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from queenright.actions import hostfile
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone
from queenright.actions.world import World

__all__ = ["VERB"]

PREVIOUS = "previous"
MAX_DIFF = 8 * 1024


class ConfigRestore:
    """`path`: one of the resource's config files (left out when it has one). `version`: the sha256 of a
    version that
    was seen here, or "previous", the last one that differs from the present content. Class `exact`."""

    manifest = Manifest(
        "config.restore",
        ("svc",),
        "exact",
        {
            "path": Arg("str", None, most=4096),
            "version": Arg("str", PREVIOUS, pattern=r"previous|[0-9a-f]{64}"),
        },
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach(write=tuple(sorted({os.path.dirname(path) for path in resource.config})))

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        path = _choose(world.resource.need("config", "config.restore"), args["path"])
        now = hostfile.read(path)
        here = hostfile.sha256(now.data)
        version = args["version"] if args["version"] != PREVIOUS else _previous(world, path, here)
        if version == here:
            raise ActionFailed("nothing_to_do", f"{path} has that content already")
        data = world.version(version)
        if hostfile.sha256(data) != version:
            raise ActionFailed("malformed", "the kept version is not the one that was named")
        effect = f"{path}: {here[:12]} → {version[:12]}\n{_diff(now.data, data)}"
        undo = {"path": path, "sha256": here, "mode": now.mode}
        return Draft(
            {"path": path, "version": version},
            effect,
            {"sha256": here},
            undo,
            f"write the present content ({here[:12]}) back",
            images={"before": now.data},
        )

    def run(self, world: World, plan: Plan) -> Effect:
        version, path = plan.args["version"], plan.args["path"]
        data = world.version(version)
        if hostfile.sha256(data) != version:
            raise ActionFailed("malformed", "the kept version is not the one that was named")
        undo = plan.undo or {}
        hostfile.replace(path, data, expect=plan.precondition["sha256"], mode=undo["mode"])
        return Effect(
            {"path": path, "version": version, "was": plan.precondition["sha256"]}, {"sha256": version}
        )

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        found = hostfile.sha256(hostfile.read(plan.args["path"]).data)
        if found != effect.after["sha256"]:
            message = f"{plan.args['path']} has {found[:12]}, not {effect.after['sha256'][:12]}"
            raise ActionFailed("not_verified", message, began=True)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        found = hostfile.sha256(hostfile.read(plan.args["path"]).data)
        if found in (plan.args["version"], plan.precondition["sha256"]):
            return ""
        return f"{plan.args['path']} was changed since (now {found[:12]})"

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        undo, path = plan.undo or {}, plan.args["path"]
        before = world.images["before"]
        found = hostfile.sha256(hostfile.read(path).data)
        if found != undo["sha256"]:
            hostfile.replace(path, before, expect=plan.args["version"], mode=undo["mode"])
        return Undone(f"{path} has its content {undo['sha256'][:12]} again")


def _choose(paths: tuple[str, ...], path: str | None) -> str:
    if path is None and len(paths) == 1:
        return paths[0]
    if path in paths and path is not None:
        return path
    raise ActionFailed("malformed", f"path is one of: {', '.join(paths)}")


def _previous(world: World, path: str, here: str) -> str:
    for seen in world.history.get(f"config:{path}", []):
        if seen != here:
            return seen
    raise ActionFailed("no_previous", f"no other version of {path} was seen here")


def _diff(before: bytes, after: bytes) -> str:
    lines = [data.decode("utf-8", "backslashreplace").splitlines() for data in (before, after)]
    text = "\n".join(difflib.unified_diff(lines[0], lines[1], "now", "restored", lineterm=""))
    return text if len(text) <= MAX_DIFF else text[:MAX_DIFF] + "\n… (the rest is in the plan's versions)"


VERB = ConfigRestore()
