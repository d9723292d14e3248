"""`queenright demo` as a user runs it: every fault, the table's truth, the person at the terminal, and nothing left."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queenright.demo.demo import Demo
from queenright.demo.place import command_line
from queenright.demo.table import PROMISED, problems
from queenright.demo.tell import Tell

pytestmark = pytest.mark.isolation

WITHIN = 150.0  # seconds for one demo on a busy machine; alone it takes some forty


def environment(folder: Path) -> dict[str, str]:
    """A home and a place for temporary files of this test's own: what is left behind shows."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "TERM": "xterm-256color"}


def left_behind(folder: Path) -> list[str]:
    """Files in the temporary folder, and processes that name it."""
    found = [str(path) for path in (folder / "tmp").iterdir()]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder / "tmp") in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose path is short enough for a socket below it."""
    folder = Path(tempfile.mkdtemp(prefix="qrt-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def play(folder: Path, *args: str) -> tuple[int, dict[str, Any], str]:
    """Run the demo to its end: exit code, the data it printed, the story it told."""
    done = subprocess.run(
        command_line("demo", "--scripted", "--json", *args),
        env=environment(folder), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_the_story_heals_one_fault_alone_and_asks_for_the_other(short: Path) -> None:
    code, data, told = play(short)
    assert (code, data["problems"]) == (0, []), told
    small, severe = data["faults"]
    assert (small["fault"], small["severity"], small["alone"], small["asked"]) == (
        "bad-release", "small", ["release.rollback"], [],
    )  # fmt: skip
    assert (severe["fault"], severe["severity"], severe["alone"]) == ("stuck-sessions", "severe", [])
    assert (severe["asked"], severe["decided_by"], severe["verdict"]) == (
        ["db.session.kill"],
        "demo script",
        "approved",
    )
    assert small["agents"] <= 6
    assert 40 <= severe["agents"] <= 60
    for row in (small, severe):
        assert len(row["pieces"]) == len(set(row["pieces"])) == row["agents"] - 3
        assert row["blind"] == []
    assert all(row["agents_after"] == 1 and row["hurt"] for row in data["faults"])
    assert (data["leases_left"], data["verified"], data["left_running"]) == (0, True, 0)
    assert "severity small:" in told
    assert "severity severe:" in told
    assert left_behind(short) == []


def test_every_other_fault_ends_as_promised(short: Path) -> None:
    """In one demo after the other, which also shows that a swarm that healed one fault is fit for the next."""
    (short / "tmp").mkdir()
    told: list[str] = []
    demo = Demo(
        Path(tempfile.mkdtemp(prefix="qr-demo-", dir=short / "tmp")), Tell(told.append), scripted=True
    )
    try:
        demo.set_up()
        assert demo.play(sorted(set(PROMISED) - {"bad-release", "stuck-sessions"})) == 0
    finally:
        left = demo.end()
    assert left == []
    assert demo.closing is not None
    assert problems(demo.rows, demo.closing) == [], "".join(told)


class Terminal:
    """The demo on a terminal of its own, as a person has it."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.pid, self.tty = pty.fork()
        if self.pid == 0:
            try:
                os.execve(sys.executable, command_line("demo", *args), environment(folder))
            finally:
                os._exit(127)
        self.text = ""

    def read(self, seconds: float) -> bool:
        """Take what is on the screen; False once the program has left."""
        ready, _, _ = select.select([self.tty], [], [], seconds)
        if ready:
            try:
                data = os.read(self.tty, 65536)
            except OSError:
                return False
            self.text += data.decode(errors="replace")
            return bool(data)
        return True

    def until(self, words: str) -> None:
        limit = time.monotonic() + WITHIN
        while words not in self.text:
            assert self.read(0.2), f"it ended before {words!r}: {self.text[-2000:]}"
            assert time.monotonic() < limit, f"never said {words!r}: {self.text[-2000:]}"

    def type(self, text: str) -> None:
        os.write(self.tty, text.encode())

    def end(self) -> int:
        limit = time.monotonic() + WITHIN
        while self.read(0.2) and time.monotonic() < limit:
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.tty)
        return os.waitstatus_to_exitcode(status)


def test_a_person_who_leaves_the_terminal_and_denies_gets_the_truth_and_exit_3(short: Path) -> None:
    terminal = Terminal(short, "--fault", "stuck-sessions")
    terminal.until("the terminal opens")
    terminal.until("\x1b[?1049h")  # the alternate screen: the TUI is up
    time.sleep(1.0)  # it takes keys once it has drawn
    terminal.type("q")
    terminal.until("to approve this once")
    terminal.type("yes\r")
    terminal.until("nothing was signed")
    terminal.type("deny let it finish\r")
    terminal.until("denied by you, not healed")
    assert terminal.end() == 3
    assert "let it finish" in terminal.text
    assert left_behind(short) == []


def test_a_person_who_types_the_resource_approves(short: Path) -> None:
    terminal = Terminal(short, "--fault", "stuck-sessions")
    terminal.until("\x1b[?1049h")
    time.sleep(1.0)
    terminal.type("q")
    terminal.until("to approve this once")
    terminal.type("db:shop/main\r")
    terminal.until("nothing was signed")  # the risk of a key beside its supervisor is not taken in passing
    terminal.type("db:shop/main same-user\r")
    assert terminal.end() == 0, terminal.text[-3000:]
    assert "decided by" in terminal.text
    assert left_behind(short) == []


def test_interrupting_it_puts_everything_away(short: Path) -> None:
    process = subprocess.Popen(
        command_line("demo", "--scripted"),
        env=environment(short), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if "watching" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(WITHIN) == 1
    assert "stopped" in rest
    assert left_behind(short) == []
