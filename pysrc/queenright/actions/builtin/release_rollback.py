"""`release.rollback`: point a service's release link at another release, atomically."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from queenright.actions import process
from queenright.actions.builtin.svc_restart import restart, service_reach
from queenright.actions.health import require_healthy
from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.process import Running
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone
from queenright.actions.world import World, open_parent

__all__ = ["VERB"]

PREVIOUS = "previous"


class ReleaseRollback:
    """`to`: the name of a release, or "previous", the last one seen before the present one.

    Class `exact`; `compensate` where the owner lets it restart the service in the same act.
    """

    manifest = Manifest(
        "release.rollback",
        ("svc",),
        "exact",
        {"to": Arg("str", PREVIOUS, least=1, most=255, pattern=r"[A-Za-z0-9][A-Za-z0-9._+-]*")},
        deadline_ms=180_000,
    )

    def reach(self, resource: Resource) -> Reach:
        link = os.path.dirname(resource.release_link)
        return Reach(read=(resource.releases, *service_reach(resource).read), write=(link,) if link else ())

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        resource = world.resource
        now = _current(resource)
        name = args["to"] if args["to"] != PREVIOUS else _previous(world, now)
        target = _target(resource, name, now)
        if target == now:
            raise ActionFailed("nothing_to_do", f"{resource.release_link} points at {name} already")
        effect = f"{resource.release_link}: {now} → {target}"
        precondition: dict[str, Any] = {"target": now}
        if not resource.restart_on_release:
            return Draft({"to": name}, effect, precondition, {"target": now}, f"point it at {now} again")
        running = process.find(resource, "release.rollback")
        precondition |= (
            {"pid": running.pid, "started": running.started} if running else {"pid": 0, "started": 0}
        )
        return Draft(
            {"to": name},
            f"{effect}; then restart {resource.id}",
            precondition,
            {"target": now},
            f"point it at {now} again and restart {resource.id}",
            klass="compensate",
        )

    def run(self, world: World, plan: Plan) -> Effect:
        resource, was = world.resource, plan.precondition
        target = _target(resource, plan.args["to"], was["target"])
        _swap(resource, was["target"], target)
        after: dict[str, Any] = {"target": target}
        if resource.restart_on_release:
            expected = Running(was["pid"], was["started"]) if was["pid"] else None
            after |= _restarted(world, expected)
        return Effect({"release": plan.args["to"], "was": os.path.basename(was["target"])}, after)

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        now = _current(world.resource)
        if now != effect.after["target"]:
            message = f"{world.resource.release_link} points at {now}, not {effect.after['target']}"
            raise ActionFailed("not_verified", message, began=True)
        if "pid" in effect.after:
            running = Running(effect.after["pid"], effect.after["started"])
            require_healthy(world, running, time.monotonic, time.sleep)

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        now, before = _current(world.resource), plan.precondition["target"]
        ours = after["target"] if after else _target(world.resource, plan.args["to"], before)
        if now in (ours, before):
            return ""
        return f"{world.resource.release_link} points at {now}: somebody changed it since"

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        resource, before = world.resource, plan.precondition["target"]
        now = _current(resource)
        if now == before:
            return Undone(f"{resource.release_link} points at {before} already")
        _swap(resource, now, before)
        if resource.restart_on_release:
            _restarted(world, process.find(resource, "release.rollback"))
        return Undone(f"{resource.release_link}: {now} → {before}")


def _restarted(world: World, expected: Running | None) -> dict[str, int]:
    try:
        now = restart(world, expected)
    except ActionFailed as failed:
        # The link has moved: whatever stopped the restart, something has begun.
        raise ActionFailed(failed.code, f"the link was moved, then: {failed.message}", began=True) from None
    return {"pid": now.pid, "started": now.started}


def _current(resource: Resource) -> str:
    with open_parent(resource.need("release_link", "release.rollback")) as (folder, name):
        try:
            return os.readlink(name, dir_fd=folder)
        except OSError as error:
            message = f"{resource.release_link} is not a link: {error.strerror}"
            raise ActionFailed("malformed", message) from None


def _names(resource: Resource) -> list[str]:
    with open_parent(resource.need("releases", "release.rollback") + "/.") as (folder, _):
        return sorted(os.listdir(folder))


def _previous(world: World, now: str) -> str:
    """The last release seen here before the present one. Never guessed from names or dates."""
    for seen in world.history.get("release", []):
        if seen != now:
            return os.path.basename(seen)
    names = ", ".join(_names(world.resource)[:20])
    raise ActionFailed("no_previous", f"no earlier release was seen here; name one of: {names}")


def _target(resource: Resource, name: str, now: str) -> str:
    """The link's new text, relative where the present one is. Raises for what is no plain directory of
    releases.
    """
    with open_parent(os.path.join(resource.need("releases", "release.rollback"), name)) as (folder, last):
        try:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(last, flags, dir_fd=folder))
        except OSError:
            names = ", ".join(_names(resource)[:20])
            raise ActionFailed("unknown", f"no release {name}; there are: {names}") from None
    path = os.path.join(resource.releases, name)
    return path if now.startswith("/") else os.path.relpath(path, os.path.dirname(resource.release_link))


def _swap(resource: Resource, expected: str, target: str) -> None:
    """Replace the link in one step, if it still is what it was."""
    with open_parent(resource.release_link) as (folder, name):
        beside = f".queenright-{name}-{os.getpid()}"
        os.symlink(target, beside, dir_fd=folder)
        try:
            if os.readlink(name, dir_fd=folder) != expected:
                raise ActionFailed("conflict", f"{resource.release_link} was changed meanwhile")
            os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(beside, dir_fd=folder)
            raise
        os.fsync(folder)


VERB = ReleaseRollback()
