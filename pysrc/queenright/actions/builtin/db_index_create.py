"""`db.index.create`: build an index through the database's admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Index, Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone, Unsure
from queenright.actions.world import World
from queenright.errors import UnknownOutcome

__all__ = ["VERB"]

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
ABSENT = 404


class DbIndexCreate:
    """`name` must be new: the API refuses (409) one that exists, so the undo drops only what this act
    made. `exact`.
    """

    manifest = Manifest(
        "db.index.create",
        ("db",),
        "exact",
        {
            "name": Arg("str", pattern=_NAME),
            "table": Arg("str", pattern=_NAME),
            "columns": Arg("strs", least=1, most=16, pattern=_NAME),
        },
        secret=True,
        deadline_ms=120_000,
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        _index(world)
        world.resource.need("admin", "db.index.create")
        columns = ", ".join(args["columns"])
        return Draft(
            dict(args),
            f"create index {args['name']} on {args['table']} ({columns}) in {world.resource.id}",
            {"absent": args["name"]},
            {"drop": args["name"]},
            f"drop index {args['name']}",
        )

    def run(self, world: World, plan: Plan) -> Effect:
        body = {name: plan.args[name] for name in ("name", "table", "columns")}
        try:
            reply = world.admin("db.index.create", "POST", _index(world).create, body=body)
        except UnknownOutcome as unknown:
            raise Unsure(unknown.message) from None
        if reply.status == 409:
            raise ActionFailed("conflict", f"an index {plan.args['name']} exists already")
        if reply.status >= 500:
            raise Unsure(f"the admin API answers {reply.status}: whether the index was made is not known")
        if not 200 <= reply.status < 300:
            raise ActionFailed("refused_by_target", f"the admin API answers {reply.status}")
        return Effect({"name": plan.args["name"], "status": reply.status}, {"index": plan.args["name"]})

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        """The API is asked for the same index again: only "it exists already" proves that it does."""
        body = {name: plan.args[name] for name in ("name", "table", "columns")}
        try:
            reply = world.admin("db.index.create", "POST", _index(world).create, body=body)
        except UnknownOutcome as unknown:
            raise ActionFailed("not_verified", unknown.message, began=True) from None
        if reply.status != 409:
            message = f"asked again, the admin API answers {reply.status} and not that the index exists"
            raise ActionFailed("not_verified", message, began=True)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        return ""  # names are unique, and this one did not exist before the act

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        name = plan.args["name"]
        try:
            reply = world.admin("db.index.create", "DELETE", _index(world).drop, body={"name": name})
        except UnknownOutcome as unknown:
            raise Unsure(unknown.message) from None
        if reply.status in (ABSENT, 409):
            return Undone(f"index {name} is gone already")
        if not 200 <= reply.status < 300:
            raise ActionFailed("refused_by_target", f"the admin API answers {reply.status}", began=True)
        return Undone(f"dropped index {name}")


def _index(world: World) -> Index:
    found: Index = world.resource.need("index", "db.index.create")
    return found


VERB = DbIndexCreate()
