"""The undo of an act on the agent's own workspace: the version that the act made, found by the act, is put back."""

from __future__ import annotations

from queenright.actions.verb import ActionFailed, Undone
from queenright.actions.world import World
from queenright.errors import Conflict, Unknown
from queenright.workspace import versions

__all__ = ["conflict", "head", "require_head", "undo"]

_GONE = "the version it made is no longer kept"


def head(world: World) -> int:
    """The newest version's number, the workspace brought to it."""
    place = world.place
    with versions.opened(place.store, place.agent, place.live) as space:
        return space.settle()


def require_head(world: World, version: int) -> None:
    """Raise `ActionFailed` unless the workspace is at that version."""
    found = head(world)
    if found != version:
        why = f"the workspace is at version {found}, not at {version}, which was made"
        raise ActionFailed("not_verified", why, began=True)


def conflict(world: World, made: bool) -> str:
    """Why it cannot be put back now, or "". `made`: whether the act is known to have changed nothing (False)."""
    if not made:
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


def undo(world: World, made: bool) -> Undone:
    """Raises `ActionFailed` with code "conflict" when a path was changed since."""
    if not made:
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
