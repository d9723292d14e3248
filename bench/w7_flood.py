"""W7: what does one flooding agent do to the wake latency of 1,000 polite ones?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Bar, Question, Rival

QUESTION = Question(
    id="W7",
    title="wake latency of 1,000 polite agents beside a flooder, open loop",
    workload="wake",
    measures=WAKE,
    sizes={
        "full": {"agents": 1000, "count": 5000, "rate": 1000, "warm": 1, "flood": 1},
        "quick": {"agents": 1000, "count": 1000, "rate": 1000, "warm": 1, "flood": 1},
        "tiny": {"agents": 100, "count": 100, "rate": 1000, "warm": 1, "flood": 1},
    },
    rivals=(
        Rival("ours"),
        Rival("ours", "ours, no flood", {"flood": 0}),
        Rival("asyncio"),
        Rival("asyncio", "asyncio, no flood", {"flood": 0}),
        Rival("BEAM", quick=False),
        Rival("BEAM", "BEAM, no flood", {"flood": 0}, quick=False),
        Rival("Go", quick=False),
        Rival("Go", "Go, no flood", {"flood": 0}, quick=False),
    ),
    bars=(Bar("p99_us", 2, "ours, no flood", False),),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
