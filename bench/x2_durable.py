"""X2: the same, durable: each message is recorded before it is handed on, and its handling too."""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, ROUTER, Question, Rival

QUESTION = Question(
    id="X2",
    title="sealed, attributable and durable between two cells",
    workload="durable",
    measures=(RATE, ROUTER),
    sizes={
        "full": {"messages": 1280, "size": 256, "window": 256, "pairs": 1},
        "quick": {"messages": 320, "size": 256, "window": 64, "pairs": 1},
        "tiny": {"messages": 160, "size": 256, "window": 32, "pairs": 1},
    },
    rivals=(
        Rival("ours-supervised", "ours"),
        Rival("ours-supervised", "ours, 4 processes", {"pairs": 2}, quick=False),
        Rival("socket", "asyncio + fsync", {"sign": 1, "disk": "fsync"}),
        Rival("socket", "asyncio + SQLite", {"sign": 1, "disk": "sqlite"}),
    ),
    notes="Peers: sign and verify each message, and the receiver fsyncs, or commits to SQLite (WAL, FULL), each before it counts."
    " They keep no state and no record of the handling.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
