"""Agents' shell commands: each in a sandbox of its own over that agent's workspace, with no network and
no lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from queenright.supervisor.launcher import Launcher
from queenright.supervisor.sandbox_spec import command_spec
from queenright.workspace.workspaces import Workspaces

__all__ = ["MAX_OUTPUT", "Commands"]

MAX_OUTPUT = 256 * 1024
"""Bytes kept of each of the two outputs; the rest is read and dropped, so that the command is never held
up.
"""

DRAIN_SECONDS = 2.0
"""After the sandbox's end its pipes end too; a moment for what is still in them."""


class Commands:
    """Runs commands. `slot` gives an agent's kernel uid slot."""

    def __init__(self, launcher: Launcher, workspaces: Workspaces, slot: Callable[[bytes], int]) -> None:
        self._launcher = launcher
        self._workspaces = workspaces
        self._slot = slot

    async def run(self, agent: bytes, command: str, timeout_ms: int) -> dict[str, Any]:
        """{"code", "out", "err", "timed_out"}: `code` is negative for a signal. Raises SandboxRefused:
        nothing ran.
        """
        spec = command_spec(
            argv=("/bin/sh", "-c", command),
            workspace=self._workspaces.path(agent),
            slot=self._slot(agent),
        )
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sandbox = await self._launcher.spawn(spec, (null, out_write, err_write))
        except BaseException:
            os.close(out_read)
            os.close(err_read)
            raise
        finally:
            for descriptor in (null, out_write, err_write):
                os.close(descriptor)
        reading = [asyncio.ensure_future(_drain(out_read)), asyncio.ensure_future(_drain(err_read))]
        timed_out = False
        try:
            try:
                end = await asyncio.wait_for(sandbox.wait(), timeout_ms / 1000)
            except TimeoutError:
                timed_out = True
                sandbox.kill()
                end = await sandbox.wait()
            await asyncio.wait(reading, timeout=DRAIN_SECONDS)
        finally:
            sandbox.kill()
            for task in reading:
                task.cancel()
        out, err = [bytes(task.result()) if task.done() and not task.cancelled() else b"" for task in reading]
        code = end.code if end.code is not None else -(end.signal or 0)
        return {"code": code, "out": out, "err": err, "timed_out": timed_out}


async def _drain(descriptor: int) -> bytearray:
    """Everything until the end, of which MAX_OUTPUT bytes are kept."""
    loop = asyncio.get_running_loop()
    kept, ended = bytearray(), asyncio.Event()
    os.set_blocking(descriptor, False)

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            part = os.read(descriptor, 65536)
            if not part:
                loop.remove_reader(descriptor)
                ended.set()
            kept.extend(part[: MAX_OUTPUT - len(kept)])

    loop.add_reader(descriptor, readable)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return kept
