"""W5b: the same from dormant: the agent's object is made and its state loaded first."""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Bar, Question, Rival

QUESTION = Question(
    id="W5b",
    title="wake latency from dormant, open loop",
    workload="wake",
    measures=WAKE,
    sizes={
        "full": {"agents": 100_000, "count": 5000, "rate": 1000, "warm": 0, "flood": 0},
        "quick": {"agents": 10_000, "count": 1000, "rate": 1000, "warm": 0, "flood": 0},
        "tiny": {"agents": 200, "count": 100, "rate": 1000, "warm": 0, "flood": 0},
    },
    rivals=(Rival("ours"), Rival("ours", "ours, live", {"warm": 1})),
    bars=(Bar("p99_us", 5, "ours, live", False),),
    notes="No peer has this: an actor of theirs is never put away.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
