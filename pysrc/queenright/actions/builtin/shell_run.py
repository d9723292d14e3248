"""`shell.run`: one shell command over the acting agent's own workspace, in a sandbox of its own.

The command has no network, no broker and no lease, so its only effect is on the workspace, which is copied
first: class `exact`. A workspace too large to copy makes it `none`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone
from queenright.actions.world import World
from queenright.core import canonical
from queenright.errors import Conflict
from queenright.workspace import snapshot
from queenright.workspace.snapshot import Mark, Tree

__all__ = ["VERB"]

MAX_TIMEOUT_MS = 10 * 60_000
MAX_LISTED = 50


class ShellRun:
    """{"code", "out", "err", "timed_out", "changed"}: `code` is negative for a signal; `out` and `err`
    may be cut.
    """

    manifest = Manifest(
        "shell.run",
        ("ws",),
        "exact",
        {
            "command": Arg("str", least=1, most=32 * 1024),
            "timeout_ms": Arg("int", 60_000, least=1, most=MAX_TIMEOUT_MS),
        },
        deadline_ms=MAX_TIMEOUT_MS + 60_000,
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        workspace, keep = _places(world)
        before = snapshot.take(workspace, keep)
        effect = f"run in the workspace, without network: {args['command']}"
        if before is None:
            limit = f"{snapshot.MAX_KEPT_FILES} files or {snapshot.MAX_KEPT_BYTES >> 20} MiB"
            why_none = f"the workspace is over {limit}: its state before cannot be kept"
            return Draft(dict(args), effect, {"tree": ""}, None, why_none, klass="none")
        return Draft(
            dict(args), effect, {"tree": _digest(before)}, {"kept": True}, "put every changed file back"
        )

    def run(self, world: World, plan: Plan) -> Effect:
        workspace, keep = _places(world)
        before = snapshot.marks(workspace)
        if plan.undo is not None and (before is None or _digest(before) != plan.precondition["tree"]):
            raise ActionFailed("conflict", "the workspace was changed since it was copied")
        end = world.request("command", command=plan.args["command"], timeout_ms=plan.args["timeout_ms"])
        value = {name: end[name] for name in ("code", "out", "err", "timed_out")}
        if plan.undo is None or before is None:
            return Effect(value | {"changed": []}, {"changed": []})
        after = snapshot.marks(workspace)
        if after is None:
            # It grew past what can be compared: the whole copy stays, and a person can take it from there.
            return Effect(value | {"changed": []}, {"changed": None})
        changed = snapshot.changes(before, after)
        snapshot.forget_unchanged(keep, changed)
        names = [path.decode("utf-8", "replace") for path in changed]
        return Effect(value | {"changed": names[:MAX_LISTED]}, {"changed": _rows(changed)})

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        return None  # the tree was read again after the command ended; its exit code is the agent's to judge

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        if after is None or after["changed"] is None:
            return "what the command changed is not known"
        now = snapshot.marks(_places(world)[0])
        if now is None:
            return "the workspace has grown past what can be compared"
        for path, left in _changed(after).items():
            if now.get(path) != left:
                return f"{path.decode('utf-8', 'replace')!r} was changed since"
        return ""

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        if after is None or after["changed"] is None:
            raise ActionFailed("no_undo", "what the command changed is not known")
        workspace, keep = _places(world)
        try:
            count = snapshot.restore(workspace, keep, _changed(after))
        except Conflict as changed:
            raise ActionFailed("conflict", changed.message) from None
        return Undone(f"put {count} paths back")


def _places(world: World) -> tuple[Path, Path]:
    if world.workspace is None or world.keep is None:
        raise ActionFailed("unknown", "this agent has no workspace")
    return world.workspace, world.keep


def _digest(tree: Tree) -> str:
    rows = [[path, mark.kind, mark.mode, mark.content] for path, mark in sorted(tree.items())]
    return hashlib.sha256(canonical(rows)).hexdigest()


def _rows(changed: Mapping[bytes, Mark | None]) -> list[list[Any]]:
    return [
        [path, None if mark is None else [mark.kind, mark.mode, mark.content]]
        for path, mark in changed.items()
    ]


def _changed(after: Mapping[str, Any]) -> dict[bytes, Mark | None]:
    return {path: None if mark is None else Mark(*mark) for path, mark in after["changed"]}


VERB = ShellRun()
