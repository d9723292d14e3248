"""W4m: do a million dormant agents fit?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Bar, Measure, Question, Rival

QUESTION = Question(
    id="W4m",
    title="a million resident, dormant agents of one cell",
    workload="dormant",
    measures=(
        Measure("rss_mb", "RSS MB in all", False),
        Measure("bytes_each", "RSS bytes each", False),
        Measure("idle_cpu_percent", "idle CPU %", False),
        Measure("rate", "made a second"),
    ),
    sizes={
        "full": {"agents": 1_000_000, "idle_s": 5},
        "quick": {"agents": 10_000, "idle_s": 1},
        "tiny": {"agents": 2000, "idle_s": 0.1},
    },
    rivals=(Rival("ours"), Rival("BEAM", quick=False), Rival("asyncio", quick=False)),
    bars=(Bar("rss_mb", 600, None, False), Bar("idle_cpu_percent", 1, None, False)),
    notes="A quick run asks for 10,000: its megabytes are not the million's.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
