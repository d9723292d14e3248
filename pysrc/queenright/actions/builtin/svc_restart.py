"""`svc.restart`: stop a service's process and start it again; start it when it does not run.

Class `compensate`: what was in the process's memory is gone; the undo starts it if a restart left it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from queenright.actions import process
from queenright.actions.health import require_healthy
from queenright.actions.manifest import Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.process import Running
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Effect, Reach, Undone, Unsure
from queenright.actions.world import World

__all__ = ["VERB", "restart", "service_reach"]


def service_reach(resource: Resource) -> Reach:
    """What finding and judging the process needs; the launcher starts the new one."""
    folder = resource.pidfile.rpartition("/")[0]
    return Reach(read=(folder,) if folder else ())


def restart(world: World, expected: Running | None) -> Running:
    """Stop `expected` (None: it must not run) and start the service. The new process.

    Raises `ActionFailed` before anything happened when another process runs, `Unsure` when it was stopped and
    nobody knows whether it started.
    """
    found = process.find(world.resource, "svc.restart")
    if found != expected:
        raise ActionFailed(
            "conflict", f"{world.resource.id} is not the process it was: it was restarted meanwhile"
        )
    if found is not None:
        process.stop(found, world.resource.stop_seconds)
    try:
        started = world.request("start")
    except ActionFailed as failed:
        raise ActionFailed(failed.code, f"stopped, but not started: {failed.message}", began=True) from None
    except OSError:
        raise Unsure(f"{world.resource.id} was stopped; whether it started is not known") from None
    return Running(started["pid"], started["start_time"])


class SvcRestart:
    manifest = Manifest("svc.restart", ("svc",), "compensate", deadline_ms=180_000)

    def reach(self, resource: Resource) -> Reach:
        return service_reach(resource)

    def plan(self, world: World, args: Mapping[str, Any]) -> Draft:
        resource = world.resource
        resource.need("start", "svc.restart")
        running = process.find(resource, "svc.restart")
        command = " ".join(resource.start)
        if running is None:
            effect = f"start {resource.id}, which does not run: {command}"
            precondition: dict[str, Any] = {"running": False}
        else:
            effect = (
                f"stop process {running.pid} of {resource.id} with TERM, after {resource.stop_seconds} s "
                f"with KILL; then start: {command}"
            )
            precondition = {"running": True, "pid": running.pid, "started": running.started}
        return Draft(
            {},
            effect,
            precondition,
            {"start_if_stopped": True},
            f"start {resource.id} if it was left stopped",
        )

    def run(self, world: World, plan: Plan) -> Effect:
        was = plan.precondition
        expected = Running(was["pid"], was["started"]) if was["running"] else None
        now = restart(world, expected)
        return Effect(
            {"pid": now.pid, "was": expected.pid if expected else None},
            {"pid": now.pid, "started": now.started},
        )

    def verify(self, world: World, plan: Plan, effect: Effect) -> None:
        require_healthy(
            world, Running(effect.after["pid"], effect.after["started"]), time.monotonic, time.sleep
        )

    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str:
        return ""  # starting what does not run overwrites nothing; what runs is left alone

    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone:
        running = process.find(world.resource, "svc.restart")
        if running is not None:
            return Undone(f"{world.resource.id} runs (process {running.pid}): nothing to start")
        now = restart(world, None)
        return Undone(f"started {world.resource.id} (process {now.pid})")


VERB = SvcRestart()
