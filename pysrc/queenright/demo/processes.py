"""Everything the demo started, so that all of it is ended by pid and nothing else ever is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Processes", "running"]

GRACE_S = 5.0  # seconds between asking a process to end and ending it


def running(commands: Iterable[Sequence[str]]) -> Iterator[int]:
    """This user's processes that run exactly one of `commands`, such as a worker that an action restarted.

    The commands name the demo's fresh directory, so they can be nobody else's.
    """
    wanted = {b"".join(os.fsencode(word) + b"\0" for word in command) for command in commands}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid == os.getuid() and (entry / "cmdline").read_bytes() in wanted:
                yield int(entry.name)
        except OSError:
            continue  # it ended meanwhile


class Processes:
    """Children by name, ended in reverse order of their start."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[Any]] = {}

    def start(self, name: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        child = subprocess.Popen(argv, start_new_session=True, **options)
        self.adopt(name, child)
        return child

    def adopt(self, name: str, child: subprocess.Popen[Any]) -> None:
        self._children[name] = child

    def died(self, name: str) -> bool:
        """Whether a child that should live has ended."""
        child = self._children.get(name)
        return child is not None and child.poll() is not None

    def end(self, name: str) -> int | None:
        """Ask it to end, then end it. Its exit status; None if there was no such process."""
        child = self._children.pop(name, None)
        if child is None:
            return None
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
        return child.wait()

    def end_all(self, commands: Sequence[Sequence[str]] = ()) -> list[int]:
        """End every child, then whoever else runs one of `commands`. The pids that would not go."""
        for name in reversed(list(self._children)):
            self.end(name)
        for pid in running(commands):
            _kill(pid)
        limit = time.monotonic() + GRACE_S
        while (left := list(running(commands))) and time.monotonic() < limit:
            time.sleep(0.02)
        return left


def _kill(pid: int) -> None:
    """Through a pidfd, so that the pid cannot have become somebody else's between the look and the blow."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
