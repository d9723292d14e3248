"""Y7: what does one command cost an agent, end to end?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Question, Rival

QUESTION = Question(
    id="Y7",
    title="ctx.shell, from the call to its result in the agent",
    workload="shell",
    measures=WAKE,
    sizes={"full": {"messages": 200}, "quick": {"messages": 50}, "tiny": {"messages": 5}},
    rivals=(Rival("ours-stopping", "ours"),),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
