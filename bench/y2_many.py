"""Y2: how fast are a thousand sandboxes gone, and is any left?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Bar, Measure, Question, Rival

QUESTION = Question(
    id="Y2",
    title="1,000 sandboxes at once, then the stop",
    workload="many",
    measures=(
        Measure("gone_ms", "all gone, ms after the stop", False),
        Measure("orphans", "left", False),
        Measure("made_ms", "ms to make one", False),
    ),
    sizes={"full": {"messages": 1000}, "quick": {"messages": 200}, "tiny": {"messages": 10}},
    rivals=(Rival("ours-launcher", "ours"),),
    bars=(Bar("gone_ms", 1000, None, False), Bar("orphans", 0, None, False)),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
