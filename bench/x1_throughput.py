"""X1: how fast do sealed, attributable, ephemeral messages go between cells, in two and in four processes?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, ROUTER, Bar, Question, Rival

SIGNED = {"sign": 1, "disk": "none"}

QUESTION = Question(
    id="X1",
    title="sealed and attributable between two cells, and between two pairs",
    workload="cross",
    measures=(RATE, ROUTER),
    sizes={
        "full": {"messages": 256_000, "size": 256, "window": 256, "pairs": 1},
        "quick": {"messages": 51_200, "size": 256, "window": 256, "pairs": 1},
        "tiny": {"messages": 320, "size": 256, "window": 32, "pairs": 1},
    },
    rivals=(
        Rival("ours-supervised", "ours"),
        Rival("ours-supervised", "ours, 4 processes", {"pairs": 2}),
        Rival("socket", "asyncio", SIGNED),
        Rival("socket", "asyncio, 4 processes", SIGNED | {"pairs": 2}),
    ),
    bars=(Bar("rate", 20, "asyncio", True),),
    notes="asyncio over a Unix socket signs and verifies every message with PyNaCl and seals nothing; no router checks anything.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
