"""`db.session.kill`: end one database session, by its id and start. Its open transaction is lost: class
`none`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Resource, Sessions
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone, Unsure
from queenright.actions.world import World
from queenright.errors import UnknownOutcome

__all__ = ["VERB"]

GONE_SECONDS = 10.0
"""How long a killed session may take to leave the list: it rolls its transaction back first."""

_SHOWN = ("holder", "query")
MAX_SHOWN = 300


class DbSessionKill:
    """`id`, `started`: as the session list gives them; a session with the same id and another start is
    another one.
    """

    manifest = Manifest(
        "db.session.kill",
        ("db",),
        "none",
        {"id": Arg("str", least=1, most=128), "started": Arg("int", most=2**53)},
        secret=True,
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        base, session = _find(world, args["id"], args["started"])
        held = {name: str(session.get(name, ""))[:MAX_SHOWN] for name in _SHOWN}
        effect = (
            f"end session {args['id']} (started {args['started']}) of {world.resource.id}; "
            f"its open transaction is lost\nheld by: {held['holder']}\nrunning: {held['query']}"
        )
        precondition = {"id": args["id"], "started": args["started"], "api": base, **held}
        why_none = "nothing brings a killed session's transaction back"
        return Draft(dict(args), effect, precondition, None, why_none)

    def run(self, world: World, plan: Plan) -> Effect:
        was = plan.precondition
        base, _ = _find(world, was["id"], was["started"])
        if base != was["api"]:
            raise ActionFailed("conflict", f"session {was['id']} is at another process than it was")
        body = {"id": was["id"], "started": was["started"]}
        try:
            reply = world.admin("db.session.kill", "POST", _sessions(world).kill, body=body, base=base)
        except UnknownOutcome as unknown:
            raise Unsure(unknown.message) from None
        if reply.status in (404, 409):
            raise ActionFailed("conflict", f"session {was['id']} ended, or was replaced, meanwhile")
        if reply.status >= 500:
            raise Unsure(f"the admin API answers {reply.status}: whether the session was ended is not known")
        if not 200 <= reply.status < 300:
            raise ActionFailed("refused_by_target", f"the admin API answers {reply.status}")
        return Effect({"id": was["id"], "killed": True}, {"id": was["id"], "started": was["started"]})

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        limit = time.monotonic() + GONE_SECONDS
        while (
            _listed(world, plan.precondition["api"], effect.after["id"], effect.after["started"]) is not None
        ):
            if time.monotonic() > limit:
                raise ActionFailed(
                    "not_verified", f"session {effect.after['id']} is still listed", began=True
                )
            time.sleep(0.1)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        return "a killed session cannot be brought back"

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        raise ActionFailed("no_undo", "a killed session cannot be brought back")


def _sessions(world: World) -> Sessions:
    found: Sessions = world.resource.need("sessions", "db.session.kill")
    return found


def _find(world: World, wanted: str, started: int) -> tuple[str, Mapping[str, Any]]:
    """The process that has the session, and the session. Raises `ActionFailed` when none or two have it."""
    admin = world.resource.need("admin", "db.session.kill")
    found = []
    for base in (admin.url, *admin.also):
        session = _listed(world, base, wanted, started)
        if session is not None:
            found.append((base, session))
    if not found:
        raise ActionFailed("unknown", f"{world.resource.id} has no session {wanted} started at {started}")
    if len(found) > 1:
        raise ActionFailed("conflict", f"two processes of {world.resource.id} list session {wanted}")
    return found[0]


def _listed(world: World, base: str, wanted: str, started: int) -> Mapping[str, Any] | None:
    listed = world.admin_json("db.session.kill", _sessions(world).list, base=base)
    sessions = listed.get("sessions") if isinstance(listed, dict) else None
    if not isinstance(sessions, list) or not all(isinstance(item, dict) for item in sessions):
        raise ActionFailed("malformed", 'the session list is not {"sessions": [{…}]}')
    matching = [one for one in sessions if str(one.get("id")) == wanted and one.get("started") == started]
    return dict(matching[0]) if matching else None


VERB = DbSessionKill()
