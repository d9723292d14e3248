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
    sizes={"full": {"agents": 500}, "quick": {"agents": 150}, "tiny": {"agents": 20}},
    rivals=(Rival("ours-supervised", "ours"), Rival("asyncio", extra={"idle_s": 0.1})),
    bars=(Bar("rate", 5, "asyncio", True), Bar("bytes_each", 400, None, False)),
    notes="The bar is for 100,000 births; with a commit a birth, 500 is what a run can wait for, and the rate falls as the"
    " count grows (--set agents=N for more). asyncio's bare tasks have no identity, grant or record.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
