"""Y3: what does it cost to list and keep 100 changes in a workspace of 10,000 files?"""

from __future__ import annotations

import sys

from bench.program import main
from bench.question import Bar, Measure, Question, Rival

QUESTION = Question(
    id="Y3",
    title="diff and commit of a command's changes, and their undo",
    workload="commit",
    measures=(Measure("commit_ms", "diff and commit, ms", False), Measure("undo_ms", "undo, ms", False)),
    sizes={
        "full": {"files": 10_000, "changes": 100, "bytes": 20_000, "rounds": 5},
        "quick": {"files": 2_000, "changes": 100, "bytes": 20_000, "rounds": 3},
        "tiny": {"files": 100, "changes": 10, "bytes": 1_000, "rounds": 2},
    },
    rivals=(
        Rival("ours-commit", "ours"),
        Rival("git-commit", "git"),
        Rival("git-commit", "git, all synced", {"synced": 1}),
    ),
    bars=(Bar("commit_ms", 0.5, "git", False), Bar("commit_ms", 0.5, "git, all synced", False)),
    notes="ours: contents, record and directory synced; git syncs what it is set to sync",
)

if __name__ == "__main__":
    sys.exit(main([QUESTION]))
