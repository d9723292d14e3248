"""W2: how fast do 100 senders of one cell write to one receiver, bouncing one message?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, Bar, Question, Rival

SIZES: dict[str, dict[str, object]] = {
    "full": {"senders": 100, "messages": 1_000_000, "fresh": 0},
    "quick": {"senders": 100, "messages": 100_000, "fresh": 0},
    "tiny": {"senders": 10, "messages": 1000, "fresh": 0},
}
PEERS = (
    Rival("asyncio"), Rival("uvloop"), Rival("BEAM"), Rival("Go"), Rival("tokio"), Rival("tokio, 2 threads", quick=False),
    Rival("ractor", quick=False), Rival("kameo", quick=False), Rival("xoscar", part=50, quick=False),
    Rival("autogen-core", part=100, quick=False), Rival("pykka", part=10, quick=False),
)  # fmt: skip

QUESTION = Question(
    id="W2",
    title="100 senders to one in a cell, bouncing one message",
    workload="fan_in",
    measures=(RATE,),
    sizes=SIZES,
    scaled=("messages",),
    rivals=(Rival("ours"), *PEERS),
    bars=(Bar("rate", 2, "asyncio", True, aim=3),),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
