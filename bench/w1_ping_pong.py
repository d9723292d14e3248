"""W1: how fast do two agents of one cell bounce one message?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, Bar, Question, Rival

PEERS = (
    Rival("asyncio"), Rival("uvloop"), Rival("BEAM"), Rival("Go"), Rival("tokio"), Rival("tokio, 2 threads", quick=False),
    Rival("ractor", quick=False), Rival("kameo", quick=False), Rival("xoscar", part=20, quick=False),
    Rival("autogen-core", part=100, quick=False), Rival("pykka", part=10, quick=False),
)  # fmt: skip

QUESTION = Question(
    id="W1",
    title="ping-pong in a cell",
    workload="ping_pong",
    measures=(RATE,),
    sizes={"full": {"messages": 400_000}, "quick": {"messages": 100_000}, "tiny": {"messages": 1000}},
    scaled=("messages",),
    rivals=(Rival("ours"), *PEERS),
    bars=(Bar("rate", 12, "asyncio", True, aim=15), Bar("rate", 0.8, "BEAM", True, aim=1.0)),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
