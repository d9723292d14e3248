"""Y1: what does a full sandbox add to one command?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Bar, Question, Rival

QUESTION = Question(
    id="Y1",
    title="/bin/true in a sandbox of its own over a workspace's overlay, from asking to its end",
    workload="command",
    measures=WAKE,
    sizes={"full": {"messages": 200}, "quick": {"messages": 100}, "tiny": {"messages": 10}},
    rivals=(
        Rival("ours-launcher", "ours"),
        Rival("bubblewrap", "bubblewrap", {"with": "bwrap"}),
        Rival("bare", "no sandbox", {"with": "nothing"}),
    ),
    bars=(Bar("p50_us", 0.6, "bubblewrap", False, aim=0.4),),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
