"""`flag.set`: give an existing feature flag another value, in a JSON file or through the admin API."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from queenright.actions import hostfile
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Flags, Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone, Unsure
from queenright.actions.world import World
from queenright.errors import UnknownOutcome

__all__ = ["VERB"]


class FlagSet:
    """`value` has the type of the present one. A flag that does not exist is not made. Class `exact`."""

    manifest = Manifest(
        "flag.set",
        ("svc", "db"),
        "exact",
        {"name": Arg("str", least=1, most=128, pattern=r"[A-Za-z0-9_.-]+"), "value": Arg("value", most=1024)},
        secret=True,
    )

    def reach(self, resource: Resource) -> Reach:
        file = resource.flags.file if resource.flags is not None else ""
        return Reach(write=(os.path.dirname(file),) if file else ())

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        name, value = args["name"], args["value"]
        now = _get(world, name)
        if type(now) is not type(value):
            kind = type(now).__name__
            raise ActionFailed("malformed", f"flag {name} of {world.resource.id} is of type {kind}")
        if now == value:
            raise ActionFailed("nothing_to_do", f"flag {name} is {now!r} already")
        return Draft(
            {"name": name, "value": value},
            f"flag {name} of {world.resource.id}: {json.dumps(now)} → {json.dumps(value)}",
            {"value": now},
            {"value": now},
            f"set it to {json.dumps(now)} again",
        )

    def run(self, world: World, plan: Plan) -> Effect:
        name, value = plan.args["name"], plan.args["value"]
        if _get(world, name) != plan.precondition["value"]:
            raise ActionFailed("conflict", f"flag {name} was changed meanwhile")
        _set(world, name, value)
        return Effect({"name": name, "value": value, "was": plan.precondition["value"]}, {"value": value})

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        found = _get(world, plan.args["name"])
        if found != effect.after["value"]:
            message = f"flag {plan.args['name']} is {found!r}, not {effect.after['value']!r}"
            raise ActionFailed("not_verified", message, began=True)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        found = _get(world, plan.args["name"])
        if found in (plan.args["value"], plan.precondition["value"]):
            return ""
        return f"flag {plan.args['name']} is {found!r}: somebody changed it since"

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        name, before = plan.args["name"], plan.precondition["value"]
        if _get(world, name) != before:
            _set(world, name, before)
        return Undone(f"flag {name} is {json.dumps(before)} again")


def _flags(world: World) -> Flags:
    found: Flags = world.resource.need("flags", "flag.set")
    return found


def _get(world: World, name: str) -> Any:
    flags = _flags(world)
    if flags.file:
        values = world.json_file(flags.file, hostfile.read(flags.file).data)
    else:
        values = world.admin_json("flag.set", flags.get)
    if not isinstance(values, dict) or name not in values:
        raise ActionFailed("unknown", f"{world.resource.id} has no flag {name}")
    value = values[name]
    if not isinstance(value, bool | int | str):
        raise ActionFailed("malformed", f"flag {name} is neither a bool, a whole number nor text")
    return value


def _set(world: World, name: str, value: Any) -> None:
    flags = _flags(world)
    if flags.file:
        now = hostfile.read(flags.file)
        values = world.json_file(flags.file, now.data) | {name: value}
        data = json.dumps(values, indent=1).encode() + b"\n"
        hostfile.replace(flags.file, data, expect=hostfile.sha256(now.data), mode=now.mode)
        return
    try:
        reply = world.admin("flag.set", "POST", flags.set, body={name: value})
    except UnknownOutcome as unknown:
        # Setting a value leaves a trace that can be measured: look before calling it unknown.
        if _get(world, name) != value:
            raise Unsure(unknown.message) from None
        return
    if not 200 <= reply.status < 300:
        raise ActionFailed(
            "refused_by_target", f"the admin API answers {reply.status}", began=reply.status >= 500
        )


VERB = FlagSet()
