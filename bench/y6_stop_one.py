"""Y6: from the order to stop an agent to the kernel's word that nothing of it is left."""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Bar, Question, Rival

QUESTION = Question(
    id="Y6",
    title="stop an agent with its own cell and a command of 50 processes that ignore SIGTERM",
    workload="stop_one",
    measures=WAKE,
    sizes={
        "full": {"messages": 50, "processes": 50},
        "quick": {"messages": 10, "processes": 50},
        "tiny": {"messages": 2, "processes": 10},
    },
    rivals=(Rival("ours-stopping", "ours"),),
    bars=(Bar("p99_us", 2_000_000, None, False),),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
