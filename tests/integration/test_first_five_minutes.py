"""The path of docs/start with the installed command, real cells and a real ledger; and the README's second block."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.isolation

BIN = Path(sys.executable).parent


class Shell:
    """Commands in one directory, with an environment of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            "PATH": f"{BIN}:{os.defpath}",
            "HOME": str(directory),
            "QUEENRIGHT_STATE": str(directory / "state"),
            "QUEENRIGHT_CONFIG": str(directory / "config"),
            "QUEENRIGHT_KEY": str(directory / "owner"),
        }

    def run(self, *args: str, code: int = 0) -> str:
        done = subprocess.run(
            ["queenright", *args],
            cwd=self.directory,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=90,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"{args} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *args: str) -> object:
        return json.loads(self.run(*args, "--json"))

    def until(self, condition, *args: str):
        """The JSON of a command once it satisfies `condition`; a bounded number of calls, each of some tenths of a second."""
        for _ in range(60):
            found = self.json(*args)
            if condition(found):
                return found
            time.sleep(0.1)
        raise AssertionError(f"{args} never showed what was waited for: {found}")


@pytest.fixture
def shell() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="qr-five-") as name:
        yield Shell(Path(name))
        pid = Path(name) / "state" / "run" / "supervisor.pid"
        if pid.exists():  # whatever became of the test: nothing that it started may outlive it
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)


def test_first_five_minutes_work_as_they_are_written(shell):
    home = shell.directory
    shell.run("init", "--new-key", "owner", "--name", "ana", "--master-file", "master")
    shell.run("up", "--detach")
    assert shell.json("health")["locked"] is False
    assert shell.json("status")["whoami"]["operator"] == "ana"
    shell.run("behaviour", "new", "hello")
    shell.run("behaviour", "add", "hello")
    shell.run("intent", "new", "hello.toml", "--package", "hello", "--start", "Hello", "--swarm", "hello")
    shell.run("intent", "check", "hello.toml")
    shell.run("intent", "apply", "hello.toml", code=3)  # no terminal, no --yes: nothing is signed
    shell.run("intent", "apply", "hello.toml", "--yes")
    (agent,) = shell.until(lambda agents: len(agents) == 1, "agent", "list")
    assert agent["name"] == "hello/hello"
    assert shell.json("can", "hello/hello", "svc.restart", "svc:shop/web")["outcome"] == "allow"
    assert shell.json("agent", "show", "hello/hello")["chain"][0]["kind"] == "intent"
    shell.run("agent", "freeze", "hello/hello", "--reason", "a drill")
    assert shell.json("agent", "list")[0]["state"] == "frozen"
    shell.run("agent", "unfreeze", "hello/hello")
    assert shell.json("agent", "list")[0]["state"] != "frozen"
    shell.run("login")
    shell.environ.pop("QUEENRIGHT_KEY")
    shell.run("swarm", "freeze", "hello")
    shell.run("swarm", "unfreeze", "hello", code=3)  # a login never gives
    shell.environ["QUEENRIGHT_KEY"] = str(home / "owner")

    (home / "seen.note").write_text(shell.run("ledger", "checkpoint"))
    vkey = shell.json("ledger", "export", "./copy")["vkey"]
    alone = Shell(home)
    alone.environ = {"PATH": f"{BIN}:{os.defpath}", "HOME": "/nonexistent"}
    report = alone.json(
        "ledger",
        "verify",
        "./copy",
        "--vkey",
        vkey,
        "--checkpoint",
        "seen.note",
        "--operator-key",
        "owner.pub",
    )
    assert (report["exit"], report["tail"], report["broken"]) == (0, "checked", [])
    assert report["signatures"] >= 2  # the intent and the order that unfroze
    shell.run("down")
    shell.run("health", code=5)


def test_swarms_logins_and_the_record_outlive_or_end_with_a_restart(shell):
    shell.run("init", "--new-key", "owner", "--name", "ana", "--master-file", "master")
    shell.run("up", "--detach")
    shell.run("up", "--detach", code=1)  # one supervisor a state directory
    shell.run("behaviour", "new", "hello")
    shell.run("behaviour", "add", "hello")
    shell.run("intent", "new", "hello.toml", "--package", "hello", "--start", "Hello", "--swarm", "hello")
    shell.run("intent", "apply", "hello.toml", "--yes")
    (before,) = shell.until(lambda agents: len(agents) == 1, "agent", "list")
    shell.run("login")  # it ends with the process that gave it; the key is used again without a word from us
    pid = int((shell.directory / "state" / "run" / "supervisor.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    shell.run("up", "--detach", "--locked")
    assert [agent["id"] for agent in shell.json("agent", "list")] == [before["id"]]
    shell.run("secret", "list", code=7)
    shell.run("unlock")
    shell.run("ledger", "checkpoint")  # continues what this client saw before the kill
    assert "supervisor.started" in shell.run("ledger", "list")


def test_readmes_second_block_runs_as_it_is_written(shell):
    line = "queenright behaviour new hello && cd hello && queenright behaviour test . && queenright try ."
    readme = Path(__file__).resolve().parents[2] / "README.md"
    if "behaviour new hello" in readme.read_text("utf-8"):
        assert line in readme.read_text("utf-8")
    shell.environ["TMPDIR"] = str(shell.directory)
    running = subprocess.Popen(
        ["/bin/sh", "-c", line],
        cwd=shell.directory,
        env=shell.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    said = []
    for text in running.stdout:
        said.append(text)
        if "is here" in text:
            os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C does
    running.wait(60)
    assert any("1 passed" in text for text in said), "".join(said)
    assert any("is here" in text for text in said), "".join(said)
    assert said[-1] == "queenright: stopped\n"
    assert not list(shell.directory.glob("qr-try-*"))
