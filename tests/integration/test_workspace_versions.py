"""Workspaces as transactions under a real supervisor: a command commits or drops, and people look and put back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from supervised import Supervised

from queenright.control.operator_key import FileSigner
from queenright.core import digest
from queenright.core.operator import OperatorKey
from queenright.errors import Conflict, Malformed, NotEntitled, Unknown

pytestmark = pytest.mark.isolation

WORKER = """
import json
from queenright.agent import Agent, Context, Message, handles

class Next(Message):
    n: int

class Worker(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.send(ctx.self, Next(0))

    @handles
    async def next(self, ctx: Context, message: Next) -> None:
        commands = {commands!r}
        if message.n == len(commands):
            ctx.log("end")
            return
        command, seconds = commands[message.n]
        try:
            done = await ctx.shell(command, timeout=seconds)
            changed = [path[:40] for path in done.changed]
            ctx.log(json.dumps([message.n, done.code, done.out[:200], changed[:6], done.dropped, len(changed)]))
        except Exception as refused:
            ctx.log(json.dumps([message.n, type(refused).__name__, str(refused)]))
        ctx.send(ctx.self, Next(message.n + 1))
"""
INTENT = """
[intent]
purpose = "work in a workspace"
swarm = "w"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "worker.Worker"
packages = ["worker"]

[[allow]]
do = ["shell.run", "fs.write"]
on = "ws:self"
"""


def told(supervised: Supervised, *commands: tuple[str, float]) -> list[list[Any]]:
    """What the agent was told of each command, once all have ended."""
    if supervised.daemon is None:
        supervised.up()
    supervised.add("worker", WORKER.replace("{commands!r}", repr(list(commands))), classes='"Worker"')
    supervised.apply(INTENT)
    supervised.until("the last command", lambda: "end" in supervised.log("w/worker"), within_s=600)
    return [json.loads(line) for line in supervised.log("w/worker") if line.startswith("[")]


def cli(supervised: Supervised, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "queenright.cli",
            *words,
            "--state",
            supervised.paths.state,
            "--key",
            supervised.key_file,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


def test_a_command_commits_or_is_dropped_and_people_look_and_put_back(supervised: Supervised) -> None:
    said = told(
        supervised,
        ("mkdir d; echo one > d/f; ln -s d/f link; printf x > '\x1b[2Jodd'; exit 7", 30),
        ("echo two >> d/f; chmod 700 d; rm link; mkfifo pipe", 30),
        ("echo lost > lost; sleep 60", 1),
        ("cat d/f; ls -A", 30),
    )
    # A failing exit code is the agent's to judge: what the command did stands, as it would in a shell.
    assert said[0][:2] == [0, 7]
    assert sorted(said[0][3]) == ["\x1b[2Jodd", "d", "d/f", "link"]
    assert (said[1][3], said[1][4]) == (["d", "d/f", "link"], "")
    # One that was ended left a state that it never meant.
    assert (said[2][3], said[2][4]) == ([], "it did not end in time")
    assert said[3][2].split("\n")[:2] == ["one", "two"]
    assert "lost" not in said[3][2]
    assert "pipe" not in said[3][2]

    rows = supervised.call("workspace_log", agent="w/worker")
    assert [(row["version"], row["added"], row["modified"], row["deleted"]) for row in rows] == [
        (2, 0, 2, 1),
        (1, 4, 0, 0),
    ]
    lines = cli(supervised, "workspace", "log", "w/worker").splitlines()
    assert [line.split()[0] for line in lines] == ["VERSION", "2", "1"]
    shown = cli(supervised, "workspace", "diff", "w/worker", "1")
    assert "\x1b" not in shown
    assert "A link  (link, to d/f" in shown
    diff = cli(supervised, "workspace", "diff", "w/worker")
    assert "M d  (directory, mode 755 to 700)" in diff
    assert "D link  (link, to d/f" in diff
    assert json.loads(cli(supervised, "workspace", "diff", "w/worker", "--json"))["count"] == 3
    assert cli(supervised, "workspace", "show", "w/worker", "d/f", "--content", "--version", "1") == "one\n"
    assert "link" not in cli(supervised, "workspace", "show", "w/worker")
    assert "link" in cli(supervised, "workspace", "show", "w/worker", "--version", "1")
    with pytest.raises(Unknown, match="version 9 is not kept"):
        supervised.call("workspace_diff", agent="w/worker", version=9)
    with pytest.raises(Unknown, match="not made yet"):
        supervised.call("workspace_restore_preview", agent="w/worker", version=9)
    for path in (b"../../keyring", b"/etc/passwd", b"d/../../x"):
        with pytest.raises(Malformed):
            supervised.call("workspace_show", agent="w/worker", path=path, content=True)

    # The order is over exactly what was previewed, and by somebody entitled.
    preview = supervised.call("workspace_restore_preview", agent="w/worker", version=1)
    stranger = OperatorKey.generate(os.urandom(32), "stranger")
    supervised.signer = FileSigner(supervised.key_file, stranger)
    with pytest.raises(NotEntitled):
        supervised.call(
            "workspace_restore", agent="w/worker", version=1, preview=digest("plan", preview["bytes"])
        )
    supervised.signer = FileSigner(supervised.key_file, supervised.key)
    with pytest.raises(Conflict, match="no longer"):
        supervised.call("workspace_restore", agent="w/worker", version=1, preview=bytes(32))
    assert "put 3 paths back, as version 3" in cli(
        supervised, "workspace", "restore", "w/worker", "1", "--yes"
    )
    workspace = next(supervised.paths.workspaces.iterdir())
    assert (workspace / "d" / "f").read_text() == "one\n"
    assert os.readlink(workspace / "link") == "d/f"
    assert [entry["kind"] for entry in supervised.entries("what:workspace.restore")] == [
        "action.started",
        "action.done",
    ]
    # Version 2's paths were changed since, by 3: an undo of its act alone says so.
    second = rows[0]["act"]
    preview = supervised.call("undo_preview", target=second)
    assert "changed since, by version 3" in preview["steps"][0]["conflict"]
    # Everything of the agent's, newest first, is the empty workspace it began with.
    preview = supervised.call("undo_preview", target="w/worker")
    result = supervised.call("undo", target="w/worker", preview=digest("undo", preview["bytes"]))
    assert result["failed"] == []
    assert list(workspace.iterdir()) == []


def test_what_a_hostile_command_leaves_is_bounded_refused_or_left_out_by_name(supervised: Supervised) -> None:
    many = "i=0; while [ $i -lt 300 ]; do mkdir d$i; cd d$i; : > f; cd ..; i=$((i+1)); done"
    said = told(
        supervised,
        ("echo kept > kept", 30),
        # 3,000 deep, and closed.
        (
            "p=$(printf 'd/%.0s' $(seq 1500)); mkdir -p $p && cd $p && mkdir -p $p && chmod 0 d",
            60,
        ),
        (
            "dd if=/dev/zero of=big bs=1M count=250 2>/dev/null; dd if=/dev/zero of=more bs=1M count=250 2>/dev/null",
            60,
        ),
        ("dd if=/dev/zero of=over bs=1M count=250 2>/dev/null; ls", 60),
        ("rm big more; ln kept again; ln -s /nowhere root; ln -s ../../keyring up", 30),
        (many, 60),
        ("cat kept; ls d299; readlink up; ls -d d", 30),
    )
    assert said[1][:2] == [1, 0], said[1]
    assert said[2][3] == ["big", "more"]
    assert said[3][1] == "WorkspaceFull"
    assert "over the workspace's quota: it would hold" in said[3][2]
    assert sorted(said[4][3]) == ["again", "big", "more", "root", "up"]
    assert said[5][5] == 50
    assert said[6][2].split() == ["kept", "f", "../../keyring", "d"]
    rows = supervised.call("workspace_log", agent="w/worker")
    assert rows[0]["added"] == 600
    workspace = next(supervised.paths.workspaces.iterdir())
    assert os.stat(workspace / "again").st_nlink == 1
    preview = supervised.call("undo_preview", target="w/worker")
    result = supervised.call("undo", target="w/worker", preview=digest("undo", preview["bytes"]))
    assert result["failed"] == [], result
    assert list(workspace.iterdir()) == []


def test_a_supervisor_that_was_killed_in_a_command_has_a_whole_version_afterwards(
    supervised: Supervised,
) -> None:
    supervised.up()
    commands = [("echo a > a; echo b > b", 30), ("rm a; echo c > b; : > started; sleep 60", 60)]
    supervised.add("worker", WORKER.replace("{commands!r}", repr(commands)), classes='"Worker"')
    supervised.apply(INTENT)
    supervised.until(
        "the first command", lambda: any(line.startswith("[0") for line in supervised.log("w/worker"))
    )
    supervised.until(
        "the second",
        lambda: len([e for e in supervised.entries("what:shell.run") if e["kind"] == "action.started"]) == 2,
    )
    # People look at a workspace while a command runs over it.
    assert [row["version"] for row in supervised.call("workspace_log", agent="w/worker")] == [1]
    supervised.kill()
    supervised.up()
    workspace = next(supervised.paths.workspaces.iterdir())
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"a": "a\n", "b": "b\n"}
    assert [row["version"] for row in supervised.call("workspace_log", agent="w/worker")] == [1]


def peak_kib(supervised: Supervised) -> int:
    """The most memory the supervisor has held."""
    assert supervised.daemon is not None
    status = Path(f"/proc/{supervised.daemon.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def test_the_supervisors_memory_does_not_grow_with_what_a_command_leaves_or_says(
    supervised: Supervised,
) -> None:
    """The largest workspace, the deepest, the longest output: it holds none of it."""
    many = "seq -f f%g 1 99000 | xargs touch"
    supervised.up()
    before = peak_kib(supervised)
    said = told(
        supervised,
        ("head -c 1G /dev/zero; head -c 1G /dev/zero >&2", 300),
        (many, 300),
        ("find . -type f -delete", 300),
        ("p=$(printf 'd/%.0s' $(seq 1500)); mkdir -p $p && cd $p && mkdir -p $p", 300),
        ("seq -f g%g 1 100001 | xargs touch", 300),
        ("trap '' TERM HUP INT; while :; do :; done", 2),
    )
    grown = peak_kib(supervised) - before
    assert [row[1] for row in said[:4]] == [0, 0, 0, 0], said
    assert len(said[0][2]) == 200
    assert said[1][5] == 50
    # The overlay's own bound on inodes, or the quota of the version.
    assert said[4][1] in (123, "WorkspaceFull"), said[4]
    assert said[5][4] == "it did not end in time"
    assert grown < 32 * 1024, f"{grown} KiB more at its peak"
    rows = supervised.call("workspace_log", agent="w/worker")
    assert max(row["added"] for row in rows) == 99_000
    assert max(row["deleted"] for row in rows) >= 99_000
