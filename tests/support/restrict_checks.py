# ruff: noqa: PT017 - run without pytest, as another user
"""What a process that restricts itself can still do. `restrict_checks.py NAME`, each in a process of its own."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from queenright.core.host import harden_process, restrict_self
from queenright.errors import SandboxRefused

HERE = Path.cwd()
PR_GET_DUMPABLE = 3


def system() -> list[str]:
    return [
        os.path.realpath(path) for path in ("/usr", "/lib", "/lib64", "/dev/null") if os.path.exists(path)
    ]


def outcome(function: Callable[[], object]) -> str:
    try:
        function()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def only_the_named_paths_stay_in_reach() -> None:
    for name in ("read", "write", "other"):
        (HERE / name).mkdir()
        (HERE / name / "file").write_text(name)
    friend = subprocess.Popen(["/bin/sleep", "1000"])
    abi = restrict_self([*system(), str(HERE / "read")], [str(HERE / "write")])
    assert 1 <= abi <= 6
    said = {
        (name, mode): outcome(lambda name=name, mode=mode: open(HERE / name / "file", mode).close())
        for name in ("read", "write", "other")
        for mode in ("r", "a")
    }
    assert said == {
        ("read", "r"): "done", ("read", "a"): "EACCES", ("write", "r"): "done", ("write", "a"): "done",
        ("other", "r"): "EACCES", ("other", "a"): "EACCES",
    }, said  # fmt: skip
    assert outcome(lambda: open("/etc/passwd").close()) == "EACCES"
    # What it starts from now on is inside as well; its network and its signals are as before.
    done = subprocess.run(["/bin/sh", "-c", f"cat {HERE}/other/file"], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"ermission denied" in done.stderr
    with socket.create_server(("127.0.0.1", 0)):
        friend.kill()
        friend.wait()


def a_second_thread_is_refused() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        restrict_self([], [])
    except SandboxRefused as error:
        assert (error.step, error.errno) == ("landlock", errno.EBUSY)
    else:
        raise AssertionError("restricted one thread of two")
    finally:
        release.set()
        thread.join()
    assert outcome(lambda: os.listdir("/")) == "done"


def a_path_that_cannot_be_opened_is_refused_and_nothing_is_restricted() -> None:
    (HERE / "link").symlink_to("/usr")
    for paths in (["/nowhere"], ["/usr", str(HERE / "link")], ["relative/\0"]):
        try:
            restrict_self(paths, [])
        except SandboxRefused as error:
            assert error.step in ("landlock", "request"), error.step
        else:
            raise AssertionError(f"{paths} was taken")
    assert outcome(lambda: os.listdir("/")) == "done"


def a_hardened_process_cannot_be_looked_into() -> None:
    harden_process()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    # A process that is not dumpable belongs, as far as /proc shows, to the machine's root.
    if os.geteuid() != 0:
        assert os.stat("/proc/self/environ").st_uid == 0
        done = subprocess.run(["/bin/cat", f"/proc/{os.getpid()}/environ"], capture_output=True, check=False)
        assert done.returncode != 0
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0


if __name__ == "__main__":
    globals()[sys.argv[1]]()
