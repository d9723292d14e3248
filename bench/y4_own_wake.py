"""Y4: how long does an agent that has a cell of its own take to wake?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Bar, Question, Rival

QUESTION = Question(
    id="Y4",
    title="a message wakes an agent with a cell of its own: from its sending to its handler",
    workload="own_wake",
    measures=WAKE,
    sizes={
        "full": {"messages": 200, "gap_ms": 600, "settle_ms": 2000, "cold": 0},
        "quick": {"messages": 30, "gap_ms": 600, "settle_ms": 1000, "cold": 0},
        "tiny": {"messages": 10, "gap_ms": 50, "settle_ms": 100, "cold": 0},
    },
    rivals=(
        Rival("ours-alone", "ours"),
        Rival("ours-alone", "ours, cold", {"cold": 1}),
        Rival("ours-launcher", "sandboxed true", {"python": 0}),
        Rival("ours-launcher", "sandboxed true + python", {"python": 1}),
    ),
    bars=(
        Bar("p50_us", 3, "sandboxed true", False),
        Bar("p50_us", 1.5, "sandboxed true + python", False, ours="ours, cold"),
    ),
    notes="Of ours two turns are in it: the sender's end and the begin of its receiver's, each a commit with fsync.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
