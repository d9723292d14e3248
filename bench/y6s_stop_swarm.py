"""Y6s: the same for a swarm of a thousand agents."""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Bar, Measure, Question, Rival

QUESTION = Question(
    id="Y6s",
    title="stop a swarm of 1,000 woken agents, 100 of them with a command",
    workload="stop_swarm",
    measures=(
        Measure("gone_ms", "all gone, ms after the order", False),
        Measure("stopped_ms", "answered and recorded, ms", False),
    ),
    sizes={
        "full": {"agents": 1000, "commands": 100},
        "quick": {"agents": 300, "commands": 30},
        "tiny": {"agents": 20, "commands": 3},
    },
    rivals=(Rival("ours-stopping", "ours"),),
    bars=(Bar("gone_ms", 2000, None, False),),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
