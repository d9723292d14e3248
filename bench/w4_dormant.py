"""W4: what does a resident, dormant agent weigh, what does it cost while idle, how fast does a cell take it in?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Bar, Measure, Question, Rival

MEASURES = (
    Measure("bytes_each", "RSS bytes each", False),
    Measure("rate", "made a second"),
    Measure("rss_mb", "RSS MB in all", False),
    Measure("idle_cpu_percent", "idle CPU %", False),
)
PEERS = (
    Rival("asyncio"), Rival("BEAM"), Rival("Go"), Rival("tokio"), Rival("ractor", quick=False), Rival("kameo", quick=False),
)  # fmt: skip

QUESTION = Question(
    id="W4",
    title="resident, dormant agents of one cell",
    workload="dormant",
    measures=MEASURES,
    sizes={
        "full": {"agents": 100_000, "idle_s": 3},
        "quick": {"agents": 10_000, "idle_s": 1},
        "tiny": {"agents": 1000, "idle_s": 0.1},
    },
    rivals=(Rival("ours"), *PEERS),
    bars=(Bar("bytes_each", 400, None, False),),
    notes="The cell's share: the supervisor's is in W4s, and the bar is for both together. `made` is a cell taking in agents"
    " whose births are certified elsewhere; the certified birth is W4s.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
