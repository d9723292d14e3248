"""Y4b: what do ten thousand agents with cells of their own weigh, and how many can wake in a second?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Measure, Question, Rival

QUESTION = Question(
    id="Y4b",
    title="agents with cells of their own, resident; then many of them woken at once",
    workload="own_many",
    measures=(
        Measure("wakes_per_core", "wakes/s/core"),
        Measure("resting_processes", "cell processes while they sleep", False),
        Measure("processes_after", "and when the last has woken", False),
        Measure("supervisor_mib", "supervisor's MiB", False),
    ),
    sizes={
        "full": {"agents": 10_000, "messages": 1000, "gap_ms": 0, "settle_ms": 2000, "cold": 0},
        "quick": {"agents": 1000, "messages": 100, "gap_ms": 0, "settle_ms": 1000, "cold": 0},
        "tiny": {"agents": 50, "messages": 10, "gap_ms": 0, "settle_ms": 100, "cold": 0},
    },
    rivals=(Rival("ours-alone", "ours"),),
    notes="Resting there is one process: of the shared cell in which the one lives that wakes them.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
