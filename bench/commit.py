"""Ours and git in Y3: the same tree, the same changes in the same order, each kept in its own way.

Ours: a command in the sandbox makes the changes over an overlay (not measured); measured is `Space.commit_upper`: the diff is
listed, contents and the record are synced, the workspace is carried to the new version. git: the changes are made in the work
tree (not measured); measured is `git add -A && git commit`. Undo: `Space.undo` against `git revert`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.work import Params
from queenright.supervisor.launcher import Launcher
from queenright.supervisor.sandbox_spec import command_spec
from queenright.workspace import versions

ID = bytes(32)
SLOT = 2

SCRIPT = """
import os, random, sys
files, changes, size, round = map(int, sys.argv[1:5])
rand = random.Random(round)
for number in rand.sample(range(files), changes * 6 // 10):
    with open(f"d{number % 100}/f{number}", "r+b") as file:
        file.seek(rand.randrange(size)); file.write(rand.randbytes(16))
for number in range(changes * 2 // 10):
    with open(f"d{number % 100}/new{round}-{number}", "wb") as file:
        file.write(rand.randbytes(size))
for number in range(changes * 2 // 10):
    os.unlink(f"d{number % 100}/old{round}-{number}")
"""
"""Of ten changes six are edits of a file in place, two are new files, two are removed ones."""


BUILD = """
import os, random, sys
files, changes, size, rounds = map(int, sys.argv[1:5])
rand = random.Random(7)
for number in range(100):
    os.mkdir(f"d{number}")
for number in range(files):
    with open(f"d{number % 100}/f{number}", "wb") as file:
        file.write(rand.randbytes(size))
for turn in range(rounds + 1):
    for number in range(changes * 2 // 10):
        with open(f"d{number % 100}/old{turn}-{number}", "wb") as file:
            file.write(rand.randbytes(size))
"""
"""The tree before, which both have kept: `files` to be edited, and what each round removes."""


def measured(
    params: Params,
    change: Callable[[int], None],
    keep: Callable[[], Callable[[], int]],
    undo: Callable[[], None],
) -> None:
    """One round to warm up, then `rounds`; prints the medians. `keep` gives back what says how many paths it kept."""
    kept, undone, count = [], [], 0
    for turn in range(params.whole("rounds") + 1):
        change(turn)
        began = time.perf_counter()
        tally = keep()
        kept.append(time.perf_counter() - began)
        count = tally()
    for _ in range(params.whole("rounds") + 1):
        began = time.perf_counter()
        undo()
        undone.append(time.perf_counter() - began)
    figures = {
        "count": count,
        "commit_ms": 1000 * statistics.median(kept[1:]),
        "undo_ms": 1000 * statistics.median(undone[1:]),
    }
    print(json.dumps(figures))


def words(params: Params, turn: int) -> list[str]:
    return [str(params.whole(name)) for name in ("files", "changes", "bytes")] + [str(turn)]


def ours(params: Params, base: Path) -> None:
    live, store = base / "live", base / "store"
    launcher = Launcher.start()
    try:
        for place in (live, store):
            place.mkdir(mode=0o700)
        launcher.give(live, SLOT)
        uppers: list[int] = []
        loop = asyncio.new_event_loop()
        facts = (ID, ID, 0, 1 << 40, 1 << 20)

        def change(turn: int) -> None:
            uppers.append(loop.run_until_complete(command(launcher, live, SCRIPT, words(params, turn))))

        def keep() -> Callable[[], int]:
            with versions.opened(store, ID, live) as space:
                done = space.commit_upper(uppers[-1], *facts, params.whole("changes"))
            os.close(uppers.pop())
            return lambda: int(done["changed"])

        def undo() -> None:
            with versions.opened(store, ID, live) as space:
                space.undo(next(rounds), *facts[:3])

        # Version 1 is the tree before; each round makes one more.
        rounds = iter(range(params.whole("rounds") + 2, 1, -1))
        upper = loop.run_until_complete(command(launcher, live, BUILD, words(params, params.whole("rounds"))))
        with versions.opened(store, ID, live) as space:
            space.commit_upper(upper, *facts, 0)
        os.close(upper)
        os.sync()
        measured(params, change, keep, undo)
        loop.close()
    finally:
        launcher.close()


async def command(launcher: Launcher, live: Path, script: str, arguments: list[str]) -> int:
    """Run the changes over an overlay; its upper layer's directory."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = os.open(os.devnull, os.O_RDWR)
    argv = [shutil.which("python3", path="/usr/bin") or "/usr/bin/python3", "-c", script, *arguments]
    spec = command_spec(argv=argv, workspace=live, slot=SLOT, upper=(1 << 30, 100_000))
    try:
        with mine, theirs:
            sandbox = await launcher.spawn(spec, [null, null, null, theirs.fileno()])
            end = await sandbox.wait()
            _, descriptors, _, _ = socket.recv_fds(mine, 16, 1)
    finally:
        os.close(null)
    if end.code != 0:
        raise RuntimeError(f"the changes ended with {end}")
    return descriptors[0]


def git(params: Params, base: Path) -> None:
    tree, synced = base / "tree", params.words.get("synced") == "1"
    tree.mkdir()
    settings = ["user.name=bench", "user.email=bench@localhost", "gc.auto=0", "commit.gpgsign=false"]
    flags = [word for setting in settings for word in ("-c", setting)]

    def run(*arguments: str) -> None:
        subprocess.run(["git", *flags, *arguments], cwd=tree, check=True, stdout=subprocess.DEVNULL)

    def change(turn: int) -> None:
        subprocess.run(["/usr/bin/python3", "-c", SCRIPT, *words(params, turn)], cwd=tree, check=True)

    def keep() -> Callable[[], int]:
        run("add", "-A")
        run("commit", "-q", "-m", "changes")
        return tally

    def tally() -> int:
        names = ["git", "diff", "--name-only", "--no-renames", "HEAD~1", "HEAD"]
        return len(subprocess.run(names, cwd=tree, check=True, capture_output=True).stdout.splitlines())

    def undo() -> None:
        run("revert", "--no-edit", f"HEAD~{next(done)}")

    # Undone newest first, and each revert is a commit before those that are left.
    done = iter(range(0, 2 * params.whole("rounds") + 2, 2))
    run("init", "-q")
    subprocess.run(
        ["/usr/bin/python3", "-c", BUILD, *words(params, params.whole("rounds"))], cwd=tree, check=True
    )
    run("add", "-A")
    run("commit", "-q", "-m", "before")
    # The first commit is not measured, and ten thousand syncs of it would be most of the run.
    flags += ["-c", "core.fsync=all"] if synced else []
    os.sync()
    measured(params, change, keep, undo)


def main(argv: list[str]) -> int:
    params = Params.of_argv(argv)
    with tempfile.TemporaryDirectory(prefix="qr-bench-") as base:
        {"ours": ours, "git": git}[params.text("of")](params, Path(base))
    return 0


if __name__ == "__main__":
    # The first word is the workload's name, of which there is one.
    sys.exit(main(sys.argv[2:]))
