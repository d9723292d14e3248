"""`shell.run`: one shell command over the acting agent's own workspace, in a sandbox of its own.

The command sees version N of the workspace through an overlay, and has no broker and no lease. What it changed becomes version
N+1 whatever its exit code says, as it would stand in a shell; if it was ended (its time, its memory, its authority) nothing of
it is kept. Without a network its only effect is a version, which is put back whole: class `exact`. Where the agent's grant names
hosts it has a way to those, each connection being an act of its own; what it sends stays sent, so its class is `none`, though
its files can still be put back.

Above the agent's grant it runs first, without network, and what it changed is shown: a verdict is over exactly that, and it is
not run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.command import MAX_LISTED as MAX_TOLD
from queenright.actions.command import command_value
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.own_version import OwnVersion, head
from queenright.actions.plan import Draft, Plan
from queenright.actions.rehearsal import MAX_CONTENT, MAX_LISTED, told
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach
from queenright.actions.world import World
from queenright.core import decode
from queenright.core.host import Space
from queenright.errors import Conflict, Unknown, WorkspaceFull
from queenright.workspace import versions
from queenright.workspace.workspaces import Quota

__all__ = ["VERB"]

MAX_TIMEOUT_MS = 10 * 60_000
_UNDO = {"version": "the one it makes"}
_UNDO_TEXT = "put every changed file back"


class ShellRun(OwnVersion):
    """{"code", "out", "err", "timed_out", "changed", "left_out", "dropped", "version"}: `code` is above 128 for a signal;
    `out` and `err` may be cut; `changed` are the first paths; `left_out` what no version holds; `dropped` why nothing was
    kept, or "".
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
        rehearsed=True,
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        place, egress = world.place, world.place.egress
        with versions.opened(place.store, place.agent, place.live) as space:
            version = space.settle()
            rehearsed = _rehearsed(space, place.act, args, version)
        if rehearsed is not None:
            text, proposal = rehearsed
            precondition = {"version": version, "egress": [], "proposal": proposal}
            return Draft(dict(args), text, precondition, _UNDO, _UNDO_TEXT)
        network = f"with a way to the network ({'; '.join(egress)})" if egress else "without network"
        return Draft(
            dict(args),
            f"run in the workspace, {network}: {args['command']}",
            {"version": version, "egress": list(egress)},
            _UNDO,
            _UNDO_TEXT + ("; what it sent over the network stays sent" if egress else ""),
            klass="none" if egress else None,
        )

    def rehearse(self, world: World, args: Mapping[str, Any]) -> Draft:
        """Run it, and keep what it changed as the proposal of this act. Raises `ActionFailed` when it came to no end."""
        value = _command(world, args, keep=False)
        if value["dropped"]:
            why = f"a person must approve this command, and there is nothing to show them: {value['dropped']}"
            raise ActionFailed("not_rehearsed", why)
        return self.plan(world, args)

    def run(self, world: World, plan: Plan) -> Effect:
        version = plan.precondition["version"]
        if "proposal" in plan.precondition:
            value = self._approved(world, plan.precondition["proposal"])
        elif head(world) != version:
            raise ActionFailed("conflict", "the workspace was changed since this was planned")
        else:
            value = _command(world, plan.args, keep=True)
        if value["dropped"]:
            value["version"] = version
        made = value["version"] != version
        return Effect(value, {"made": made, "version": value["version"], "digest": value.pop("digest")})

    def _approved(self, world: World, proposal: bytes) -> dict[str, Any]:
        place, quota = world.place, Quota()
        with versions.opened(place.store, place.agent, place.live) as space:
            found = space.proposal(place.act, MAX_TOLD)
            if found is None:
                raise ActionFailed("conflict", "what was approved is no longer kept")
            try:
                done = space.commit_proposal(place.act, proposal, quota.bytes, quota.files, 0)
            except (Conflict, Unknown, WorkspaceFull) as refused:
                raise ActionFailed(refused.code, refused.message) from None
        return command_value(decode(found["note"]), found | {key: done[key] for key in ("version", "digest")})


def _command(world: World, args: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    return world.request("command", command=args["command"], timeout_ms=args["timeout_ms"], keep=keep)


def _rehearsed(space: Space, act: bytes, args: Mapping[str, Any], version: int) -> tuple[str, bytes] | None:
    """What people are told of this very command, and its proposal's digest; None if it was not run over the workspace as it is
    now.
    """
    found = space.proposal(act, MAX_LISTED)
    if found is None:
        return None
    said = decode(found["note"])
    if (found["base"], said["asked"]) != (version, dict(args)):
        return None
    text = told(
        args["command"], said, found, lambda path: space.proposed_contents(act, path, MAX_CONTENT + 1)
    )
    return text, found["digest"]


VERB = ShellRun()
