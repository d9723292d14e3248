"""X3: how long does one message between cells, and its answer, take?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Question, Rival

QUESTION = Question(
    id="X3",
    title="round trip between two cells, sealed and attributable both ways",
    workload="round_trip",
    measures=WAKE,
    sizes={
        "full": {"messages": 1000, "size": 256, "window": 2, "pairs": 1},
        "quick": {"messages": 500, "size": 256, "window": 2, "pairs": 1},
        "tiny": {"messages": 100, "size": 256, "window": 2, "pairs": 1},
    },
    rivals=(
        Rival("ours-supervised", "ours"),
        Rival("socket", "Unix socket", {"sign": 0, "disk": "none"}),
        Rival("socket", "Unix socket, signed", {"sign": 1, "disk": "none"}),
    ),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
