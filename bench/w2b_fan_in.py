"""W2b: how fast do 100 senders of one cell write to one receiver, a new message each time?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, Question, Rival

SIZES: dict[str, dict[str, object]] = {
    "full": {"senders": 100, "messages": 1_000_000, "fresh": 1},
    "quick": {"senders": 100, "messages": 100_000, "fresh": 1},
    "tiny": {"senders": 10, "messages": 1000, "fresh": 1},
}
PEERS = (
    Rival("asyncio"), Rival("uvloop", quick=False), Rival("BEAM"), Rival("Go"), Rival("tokio"),
    Rival("tokio, 2 threads", quick=False),
    Rival("ractor", quick=False), Rival("kameo", quick=False), Rival("xoscar", part=50, quick=False),
    Rival("autogen-core", part=100, quick=False), Rival("pykka", part=10, quick=False),
)  # fmt: skip

QUESTION = Question(
    id="W2b",
    title="100 senders to one in a cell, a new message each time",
    workload="fan_in",
    measures=(RATE,),
    sizes=SIZES,
    scaled=("messages",),
    rivals=(Rival("ours"), *PEERS),
    bars=(),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
