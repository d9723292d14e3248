"""`shell.run`: one shell command over the acting agent's own workspace, in a sandbox of its own.

The command sees version N of the workspace through an overlay, and has no broker and no lease. What it changed becomes version
N+1 whatever its exit code says, as it would stand in a shell; if it was ended (its time, its memory, its authority) nothing of
it is kept. Without a network its only effect is a version, which is put back whole: class `exact`. Where the agent's grant names
hosts it has a way to those, each connection being an act of its own; what it sends stays sent, so its class is `none`, though
its files can still be put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.own_version import OwnVersion, head
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach
from queenright.actions.world import World

__all__ = ["VERB"]

MAX_TIMEOUT_MS = 10 * 60_000


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
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        egress = world.place.egress
        network = f"with a way to the network ({'; '.join(egress)})" if egress else "without network"
        return Draft(
            dict(args),
            f"run in the workspace, {network}: {args['command']}",
            {"version": head(world), "egress": list(egress)},
            {"version": "the one it makes"},
            "put every changed file back" + ("; what it sent over the network stays sent" if egress else ""),
            klass="none" if egress else None,
        )

    def run(self, world: World, plan: Plan) -> Effect:
        if head(world) != plan.precondition["version"]:
            raise ActionFailed("conflict", "the workspace was changed since this was planned")
        value = world.request("command", command=plan.args["command"], timeout_ms=plan.args["timeout_ms"])
        if value["dropped"]:
            value["version"] = plan.precondition["version"]
        made = value["version"] != plan.precondition["version"]
        return Effect(value, {"made": made, "version": value["version"], "digest": value.pop("digest")})


VERB = ShellRun()
