"""Is a service healthy by measurement: its process lives, and its own metrics say so."""

from __future__ import annotations

import operator
from collections.abc import Callable

from queenright.actions.process import Running, start_time
from queenright.actions.prometheus import parse
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed
from queenright.actions.world import Unreachable, World

__all__ = ["HEALTH_SECONDS", "require_healthy"]

HEALTH_SECONDS = 30.0
"""How long a service may take from its start to its first good answer."""

_PAUSE = 0.1
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def require_healthy(
    world: World, running: Running, now: Callable[[], float], pause: Callable[[float], None]
) -> None:
    """Wait until the service answers its metrics and `healthy` holds, while this very process lives.

    Raises `ActionFailed` (it has begun: the act stands, its aim was missed). Without `metrics` only the
    process is looked at.
    """
    limit = now() + HEALTH_SECONDS
    while True:
        if start_time(running.pid) != running.started:
            message = f"process {running.pid} of {world.resource.id} ended again"
            raise ActionFailed("not_healthy", message, began=True)
        why = _unhealthy(world)
        if not why:
            return
        if now() >= limit:
            message = f"{world.resource.id} is not healthy after {HEALTH_SECONDS:.0f} s: {why}"
            raise ActionFailed("not_healthy", message, began=True)
        pause(_PAUSE)


def _unhealthy(world: World) -> str:
    """Why not, or ""."""
    resource: Resource = world.resource
    if not resource.metrics:
        return ""
    try:
        samples = list(parse(world.scrape(resource.metrics)))
    except Unreachable as error:
        return error.message
    if not resource.healthy:
        return ""
    name, sign, wanted = resource.healthy.split(" ")
    values = [sample.value for sample in samples if sample.name == name]
    if not values:
        return f"it shows no {name}"
    return "" if all(_COMPARE[sign](value, float(wanted)) for value in values) else f"not {resource.healthy}"
