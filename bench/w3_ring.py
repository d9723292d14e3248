"""W3: how fast do 10,000 agents of one cell pass on 1,000 tokens in pseudo-random order, bouncing one message?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, Bar, Question, Rival

SIZES: dict[str, dict[str, object]] = {
    "full": {"agents": 10_000, "tokens": 1000, "hops": 50, "fresh": 0},
    "quick": {"agents": 10_000, "tokens": 1000, "hops": 10, "fresh": 0},
    "tiny": {"agents": 100, "tokens": 10, "hops": 10, "fresh": 0},
}
PEERS = (
    Rival("asyncio"), Rival("uvloop"), Rival("BEAM"), Rival("Go"), Rival("tokio"), Rival("tokio, 2 threads", quick=False),
    Rival("ractor", quick=False), Rival("kameo", quick=False), Rival("xoscar", part=5, quick=False),
    Rival("autogen-core", part=5, quick=False),
)  # fmt: skip

QUESTION = Question(
    id="W3",
    title="ring of 10,000 in a cell, bouncing one message",
    workload="ring",
    measures=(RATE,),
    sizes=SIZES,
    scaled=("hops",),
    rivals=(Rival("ours"), *PEERS),
    bars=(Bar("rate", 8, "asyncio", True, aim=12), Bar("rate", 1, "BEAM", True)),
    notes="pykka is not asked: it would need 10,000 threads.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
