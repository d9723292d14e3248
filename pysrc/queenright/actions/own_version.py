"""The undo of an act on the agent's own workspace: the version that the act made, found by the act, is put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.plan import Plan
from queenright.actions.verb import ActionFailed, Effect, Undone
from queenright.actions.world import World
from queenright.errors import Conflict, Unknown
from queenright.workspace import versions

__all__ = ["OwnVersion", "head"]

_GONE = "the version it made is no longer kept"


def head(world: World) -> int:
    """The newest version's number, the workspace brought to it."""
    place = world.place
    with versions.opened(place.store, place.agent, place.live) as space:
        return space.settle()


class OwnVersion:
    """How a verb whose only effect is a version is verified and undone. `after["made"]`: whether it made one; an act whose end
    nobody saw may have.
    """

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        """Raise `ActionFailed` unless the workspace is at the version that was made."""
        found, made = head(world), effect.after["version"]
        if found != made:
            why = f"the workspace is at version {found}, not at {made}, which was made"
            raise ActionFailed("not_verified", why, began=True)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        """Why it cannot be put back now, or ""."""
        if not _made(after):
            return ""
        place = world.place
        with versions.opened(place.store, place.agent, place.live) as space:
            version = space.version_of(place.act)
            if version is None:
                return _GONE
            try:
                space.would_undo(version, 0)
            except (Conflict, Unknown) as error:
                return error.message
        return ""

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        """Raises `ActionFailed` with code "conflict" when a path was changed since."""
        if not _made(after):
            return Undone("it changed nothing")
        place = world.place
        with versions.opened(place.store, place.agent, place.live) as space:
            version = space.version_of(place.act)
            if version is None:
                raise ActionFailed("no_undo", _GONE)
            try:
                done = space.undo(version, place.act, place.intent, place.at_ms)
            except Conflict as changed:
                raise ActionFailed("conflict", changed.message) from None
        return Undone(f"put {done['changed']} paths back, as version {done['version']}")


def _made(after: Mapping[str, Any] | None) -> bool:
    return after is None or bool(after["made"])
