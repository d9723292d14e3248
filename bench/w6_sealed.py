"""W6: how fast do signed and sealed messages go from one cell to another through the supervisor's checks, in one process?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, Bar, Question, Rival

QUESTION = Question(
    id="W6",
    title="sealed and attributable, one sender, through the loop-back link",
    workload="signed",
    measures=(RATE,),
    sizes={
        "full": {"messages": 128_000, "size": 256, "window": 256},
        "quick": {"messages": 25_600, "size": 256, "window": 256},
        "tiny": {"messages": 320, "size": 256, "window": 32},
    },
    rivals=(Rival("ours-sealed", "ours"), Rival("asyncio")),
    bars=(Bar("rate", 30, "asyncio", True),),
    notes="asyncio signs and verifies every message with PyNaCl and seals nothing.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
