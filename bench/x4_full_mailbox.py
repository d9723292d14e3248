"""X4: what does a message cost the router when its receiver's mailbox is full and it goes back to the sender?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import RATE, ROUTER, Question, Rival

QUESTION = Question(
    id="X4",
    title="durable messages handed back from a full mailbox",
    workload="full",
    measures=(RATE, ROUTER),
    sizes={
        "full": {"messages": 1280, "size": 256, "window": 64, "pairs": 1},
        "quick": {"messages": 320, "size": 256, "window": 64, "pairs": 1},
        "tiny": {"messages": 160, "size": 256, "window": 32, "pairs": 1},
    },
    rivals=(Rival("ours-supervised", "ours"),),
    notes="Every message comes back as `Undelivered`, which is a durable turn of its sender; compare the router's CPU with X2's."
    " The window is 64 because the reserved lane that answers come in holds 64.",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
