"""W4s: how fast does an agent spawn certified children under a real supervisor, and what does each weigh in both processes?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Bar, Measure, Question, Rival

QUESTION = Question(
    id="W4s",
    title="certified births under a real supervisor",
    workload="spawn",
    measures=(
        Measure("rate", "births/s"),
        Measure("cell_bytes_each", "cells' RSS bytes each", False),
        Measure("supervisor_bytes_each", "supervisor's RSS bytes each", False),
        Measure("bytes_each", "RSS bytes each, in all", False),
    ),
    sizes={
        "full": {"agents": 100_000, "one_by_one": 0},
        "quick": {"agents": 20_000, "one_by_one": 0},
        "tiny": {"agents": 20, "one_by_one": 0},
    },
    rivals=(
        Rival("ours-supervised", "ours"),
        Rival("ours-supervised", "ours, one by one", {"agents": 150, "one_by_one": 1}),
        Rival("asyncio", extra={"idle_s": 0.1}),
    ),
    bars=(Bar("rate", 5, "asyncio", True), Bar("bytes_each", 400, None, False)),
    notes="Ours are one `ctx.spawn_many`, checked and committed; one by one is `ctx.spawn`, 50 asked for at once, with a commit"
    " each. The children sleep from their birth. asyncio's bare tasks have no identity, grant or record.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
