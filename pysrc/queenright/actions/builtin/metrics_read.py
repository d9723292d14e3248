"""`metrics.read`: scrape a resource's metrics page and give its samples, parsed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.prometheus import Sample, parse
from queenright.actions.resources import Resource
from queenright.actions.verb import Reach
from queenright.actions.world import World

__all__ = ["VERB"]

MAX_SAMPLES = 10_000


class MetricsRead:
    """{"samples": [[name, {label: value}, number]], "cut": bool}. A number that is none is "NaN", "+Inf"
    or "-Inf".
    """

    manifest = Manifest(
        "metrics.read",
        ("svc", "db"),
        "read",
        {
            "names": Arg("strs", None, most=64, pattern=r"[a-zA-Z_:][a-zA-Z0-9_:]*"),
            "labels": Arg("map", None, most=16),
        },
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def read(self, world: World, args: Mapping[str, Any]) -> Any:
        page = world.scrape(world.resource.need("metrics", "metrics.read"))
        names, labels = args["names"], args["labels"] or {}
        found = [
            sample
            for sample in parse(page)
            if (names is None or sample.name in names)
            and all(sample.labels.get(label) == value for label, value in labels.items())
        ]
        return {"samples": [_row(sample) for sample in found[:MAX_SAMPLES]], "cut": len(found) > MAX_SAMPLES}


def _row(sample: Sample) -> list[Any]:
    value: float | str = sample.value
    if not math.isfinite(sample.value):
        value = "NaN" if math.isnan(sample.value) else "+Inf" if sample.value > 0 else "-Inf"
    return [sample.name, sample.labels, value]


VERB = MetricsRead()
