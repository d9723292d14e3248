"""W5: how long after its intended time does a random agent among 100,000 live residents handle a message, at 1,000 a second?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Bar, Question, Rival

PEERS = (Rival("asyncio"), Rival("uvloop"), Rival("BEAM"), Rival("Go"), Rival("tokio", quick=False))

QUESTION = Question(
    id="W5",
    title="wake latency among live residents, open loop",
    workload="wake",
    measures=WAKE,
    sizes={
        "full": {"agents": 100_000, "count": 5000, "rate": 1000, "warm": 1, "flood": 0},
        "quick": {"agents": 10_000, "count": 1000, "rate": 1000, "warm": 1, "flood": 0},
        "tiny": {"agents": 200, "count": 100, "rate": 1000, "warm": 1, "flood": 0},
    },
    rivals=(Rival("ours"), *PEERS),
    bars=(Bar("p99_us", 0.5, "asyncio", False), Bar("p99_us", 2, "BEAM", False)),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
