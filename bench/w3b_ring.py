"""W3b: how fast do 10,000 agents of one cell pass on 1,000 tokens in pseudo-random order, a new message each time?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, Question, Rival

SIZES: dict[str, dict[str, object]] = {
    "full": {"agents": 10_000, "tokens": 1000, "hops": 50, "fresh": 1},
    "quick": {"agents": 10_000, "tokens": 1000, "hops": 10, "fresh": 1},
    "tiny": {"agents": 100, "tokens": 10, "hops": 10, "fresh": 1},
}
PEERS = (
    Rival("asyncio"), Rival("uvloop", quick=False), Rival("BEAM"), Rival("Go"), Rival("tokio"),
    Rival("tokio, 2 threads", quick=False),
    Rival("ractor", quick=False), Rival("kameo", quick=False), Rival("xoscar", part=5, quick=False),
    Rival("autogen-core", part=5, quick=False),
)  # fmt: skip

QUESTION = Question(
    id="W3b",
    title="ring of 10,000 in a cell, a new message each time",
    workload="ring",
    measures=(RATE,),
    sizes=SIZES,
    scaled=("hops",),
    rivals=(Rival("ours"), *PEERS),
    bars=(),
    notes="pykka is not asked: it would need 10,000 threads.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
