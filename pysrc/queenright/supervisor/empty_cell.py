"""A cell's process before it is anybody's: sandboxed, its interpreter up, no agent, no key, no package.

It becomes a cell by one frame, `Start`, and never becomes empty again.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import mmap
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from queenright.errors import Malformed, SandboxRefused
from queenright.supervisor.launcher import Launcher, Sandbox
from queenright.supervisor.sandbox_spec import SandboxSpec
from queenright.wire.frame import FrameReader, pack
from queenright.wire.link import Start, Up, decode, encode
from queenright.wire.page import PAGE_BYTES

__all__ = ["EmptyCell"]

UP_SECONDS = 30.0  # an interpreter that is not up by then, on however busy a machine, is given up
_UP_BYTES = 64


@dataclass(slots=True, eq=False)
class EmptyCell:
    """Everything of a cell but who lives in it. `output` is the reading end of its stdout and stderr."""

    sandbox: Sandbox
    link: socket.socket
    page: mmap.mmap
    output: int

    @classmethod
    async def start(cls, launcher: Launcher, spec: SandboxSpec) -> EmptyCell:
        """Returns when its program is being loaded. Raises SandboxRefused; then nothing of it is left."""
        with contextlib.ExitStack() as mine, contextlib.ExitStack() as the_cells:
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                mine.callback(ours.close)
                the_cells.callback(theirs.close)
                page_fd, page = _make_page()
                mine.callback(page.close)
                the_cells.callback(os.close, page_fd)
                output_read, output_write = os.pipe2(os.O_CLOEXEC)
                mine.callback(os.close, output_read)
                the_cells.callback(os.close, output_write)
                null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                the_cells.callback(os.close, null)
            except OSError as error:
                raise SandboxRefused(
                    f"a cell's descriptors cannot be made: {error.strerror}",
                    step="descriptors", errno=error.errno or 0, hint="raise the supervisor's limit of open files",
                ) from None  # fmt: skip
            sandbox = await launcher.spawn(spec, [null, output_write, output_write, theirs.fileno(), page_fd])
            ours.setblocking(False)
            mine.pop_all()
            return cls(sandbox, ours, page, output_read)

    async def until_up(self) -> None:
        """Wait until it has said that everything is imported. Raises SandboxRefused if it ends, or says anything else."""
        loop = asyncio.get_running_loop()
        reader, bodies = FrameReader(_UP_BYTES), list[bytes]()
        try:
            async with asyncio.timeout(UP_SECONDS):
                while not bodies:
                    data = await loop.sock_recv(self.link, _UP_BYTES)
                    if not data:
                        raise SandboxRefused(
                            "an empty cell ended before it was up",
                            step="cell",
                            hint="see the supervisor's log",
                        )
                    bodies = reader.feed(data)
            if len(bodies) != 1 or not isinstance(decode(bodies[0]), Up):
                raise Malformed("an empty cell says `up` and nothing else")
        except TimeoutError:
            raise SandboxRefused(
                f"an empty cell was not up within {UP_SECONDS:.0f} s",
                step="cell", hint="this machine has more to do than it can",
            ) from None  # fmt: skip
        except (Malformed, OSError) as error:
            raise SandboxRefused(
                f"an empty cell did not come up: {error}", step="cell", hint="see the supervisor's log"
            ) from None

    def begin(self, frame: Start, bundles: Sequence[int]) -> None:
        """Make it a cell: the frame and its packages' descriptors in one piece. Raises SandboxRefused if it has ended."""
        body = pack(encode(frame))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", bundles))] if bundles else []
        try:
            sent = self.link.sendmsg([body], rights)
        except OSError as error:
            raise SandboxRefused(
                f"an empty cell is gone: {error.strerror}", step="cell", hint="its end is in the ledger"
            ) from None
        if sent != len(body):  # the first thing ever written, far below what the kernel buffers
            raise SandboxRefused(
                f"an empty cell took {sent} of {len(body)} bytes of its start", step="cell", hint="try again"
            )

    def discard(self) -> None:
        """End it, unused."""
        self.sandbox.kill()
        with contextlib.suppress(OSError):
            os.close(self.output)
        self.link.close()
        self.page.close()


def _make_page() -> tuple[int, mmap.mmap]:
    """The shared page in which the cell notes whose turn is in progress: read after a death, never trusted."""
    descriptor = os.memfd_create("queenright-page", os.MFD_CLOEXEC)
    try:
        os.ftruncate(descriptor, PAGE_BYTES)
        return descriptor, mmap.mmap(descriptor, PAGE_BYTES)
    except BaseException:
        os.close(descriptor)
        raise
