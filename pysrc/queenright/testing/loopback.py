"""A cell as an ordinary process (no sandbox) with the test's runtime at the other end of its link.

For tests of the cell itself: they kill it, stop it, feed it garbage, and look at what it says. Every wait has a deadline.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import queenright
from queenright.testing.records import CellEnd
from queenright.testing.runtime import Runtime
from queenright.wire.frame import FrameReader, pack
from queenright.wire.link import Frame, decode, encode
from queenright.wire.page import PAGE_BYTES

__all__ = ["CellProcess", "Loopback"]

_BOOT = "import sys; sys.path.append({!r}); from queenright.cell.main import main; sys.exit(main())"


class CellProcess:
    """One running cell: its pid, our end of its link, the page it shares, what it wrote to stderr."""

    def __init__(self, python: str = sys.executable) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self.link = ours
        page = os.memfd_create("page", os.MFD_CLOEXEC)
        os.ftruncate(page, PAGE_BYTES)
        self.page = mmap.mmap(page, PAGE_BYTES)
        self._stderr, stderr = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # Above the numbers they are to get, so that each dup2 makes a new descriptor without close-on-exec.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (stderr, theirs.fileno(), page)]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in zip(high, (2, 3, 4), strict=True)]
        root = str(Path(queenright.__file__).parents[1])
        argv = [python, "-I", "-S", "-B", "-c", _BOOT.format(root)]
        self.pid = os.posix_spawn(python, argv, {"PATH": "/usr/bin:/bin"}, file_actions=actions)
        for fd in (*high, stderr, page):
            os.close(fd)
        theirs.close()
        self._reader = FrameReader()
        self._out = bytearray()
        self._words = bytearray()
        self.code: int | None = None
        self.closed = False

    def send(self, frame: Frame) -> None:
        self.send_raw(pack(encode(frame)))

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are, well-formed or not."""
        self._out += data
        self._write()

    def _write(self) -> None:
        try:
            while self._out:
                del self._out[: self.link.send(self._out)]
        except BlockingIOError:
            return
        except OSError:
            self._out.clear()

    def frames(self) -> list[Frame]:
        """What has come, without waiting. `closed` is set at the end of the stream."""
        self._write()
        try:
            chunk = self.link.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        if not chunk:
            self.closed = True
        return [decode(body) for body in self._reader.feed(chunk)]

    def wait(self, seconds: float = 10) -> int:
        """The exit code, negative for a signal. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > deadline:
                raise TimeoutError("the cell did not end")
            select.select([], [], [], 0.005)
        return self.code

    def kill(self) -> None:
        """SIGKILL and reap."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    @property
    def stderr(self) -> str:
        try:
            while chunk := os.read(self._stderr, 65536):
                self._words += chunk
        except BlockingIOError:
            pass
        return self._words.decode("utf-8", "replace")

    def close(self) -> None:
        self.kill()
        self.link.close()
        os.close(self._stderr)


class Loopback:
    """A `Runtime` with cells in processes of their own. Use as a context manager: it leaves no process behind."""

    def __init__(self, runtime: Runtime, python: str = sys.executable) -> None:
        self.runtime = runtime
        self._python = python
        self.processes: dict[str, CellProcess] = {}

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.close()

    def open_cell(self, packages: list[dict[str, Any]], *, shared: bool = True) -> CellEnd:
        """Start a cell process and wait for its Ready or Fault."""
        process = CellProcess(self._python)
        cell = self.runtime.open_cell(process.send, packages, shared=shared)
        self.processes[cell.id] = process
        self.until(
            lambda: cell.ready is not None or cell.fault != "" or process.closed, "the cell to be ready"
        )
        return cell

    def turn(self, wait: float = 0.01) -> None:
        """One look at every link."""
        live = {p.link: p for p in self.processes.values() if not p.closed}
        ready, _, _ = select.select(list(live), [], [], wait)
        cells = {cell.id: cell for cell in self.runtime.cells}
        for cell_id, process in self.processes.items():
            if process.link in ready:
                for frame in process.frames():
                    self.runtime.receive(cells[cell_id], frame)
            elif not process.closed:
                process._write()
        self.runtime.fire_due()

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Serve the links until the condition holds. Raises TimeoutError naming what was waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            self.turn()

    def kill(self, cell: CellEnd) -> None:
        """SIGKILL a cell, as a crash would."""
        self.processes[cell.id].kill()
        self.runtime.cell_died(cell)
