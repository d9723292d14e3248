"""Y5: what does a command's connection cost through its listener, and how fast do bytes pass?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import WAKE, Measure, Question, Rival

QUESTION = Question(
    id="Y5",
    title="a tunnel out of a sandbox: connection, CONNECT, a byte each way; then one long answer",
    workload="tunnel",
    measures=(*WAKE, Measure("rate", "MB/s")),
    sizes={
        "full": {"messages": 300, "megabytes": 256},
        "quick": {"messages": 100, "megabytes": 64},
        "tiny": {"messages": 20, "megabytes": 2},
    },
    rivals=(Rival("ours-egress", "ours"), Rival("asyncio-egress", "asyncio")),
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
