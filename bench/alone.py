"""Ours for Y4 and Y4b: agents with cells of their own under a throw-away supervisor, woken from the pool or cold.

`cold`: the package asks for another limit than the pool's cells have, so that each of its cells is started for it. Run as
`python -m bench.alone own_wake|own_many key=value ...`; prints one JSON object.
"""

from __future__ import annotations

import compileall
import json
import os
import sys
from pathlib import Path
from typing import Any

import queenright
from bench.supervised import Supervised
from bench.work import Params, end_in_order, rss_bytes

FILLING = 5  # woken first and not counted: they find an empty pool
NOT_THE_POOLS = b"\n[limits]\nmemory_mib = 1023\n"


class Alone(Supervised):
    """As `Supervised`, with the package `alone`."""

    package = Path(__file__).parent / "behaviours" / "alone"
    start = "alone.Waker"

    def files(self, params: Params) -> dict[str, bytes]:
        files = super().files(params)
        if params.flag("cold"):
            files["behaviour.toml"] += NOT_THE_POOLS
        return files


def _compiled() -> None:
    """As a wheel's installer leaves it: a cell never writes what it compiles."""
    assert queenright.__file__ is not None
    compileall.compile_dir(os.path.dirname(queenright.__file__), quiet=2)


def own_wake(params: Params) -> dict[str, Any]:
    """One agent after the other, with a pause in which the pool fills again."""
    messages = params.whole("messages")
    all_of_them = str(messages + FILLING)
    params = Params(params.words | {"messages": all_of_them, "agents": all_of_them})
    with Alone("own_wake", params, messages + FILLING + 1) as world:
        world.wait("waker", 1, "end")
        late = [one for part in world.wait("waker", 1, "part") for one in part["latencies_ns"]]
        return {"count": messages, "latencies_ns": late[FILLING:]}


def own_many(params: Params) -> dict[str, Any]:
    """All resident; then many woken at once."""
    agents, messages = params.whole("agents"), params.whole("messages")
    with Alone("own_many", params, agents + 1) as world:
        world.wait("waker", 1, "ready")
        resting = len(world.cells())
        weight = rss_bytes(world.pid) / (1024 * 1024)
        (end,) = world.wait("waker", 1, "end")
        seconds = (end["ended"] - end["began"]) / 1e9
        alive = len(world.cells())
        pooled = world.client.call("health")["own_cells"]["pool"]
        return {
            "count": messages, "seconds": seconds, "wakes_per_core": messages / seconds / (os.cpu_count() or 1),
            "resting_processes": resting, "supervisor_mib": weight, "processes_after": alive, "pool_after": pooled,
        }  # fmt: skip


def main() -> int:
    end_in_order()
    _compiled()
    workload, params = sys.argv[1], Params.of_argv(sys.argv[2:])
    workloads = {"own_wake": own_wake, "own_many": own_many}
    if workload not in workloads:
        raise SystemExit(f"no workload {workload}")
    print(json.dumps(workloads[workload](params)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
