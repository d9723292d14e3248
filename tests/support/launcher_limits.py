"""What one sandbox takes without end hurts no other: a neighbour goes on forking, writing, opening and allocating."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from launching import DEADLINE, LIMIT_CHECKS, MIB, launched, shell, start

from queenright.supervisor.launcher import Exit, Launcher, Sandbox
from queenright.supervisor.sandbox_spec import SandboxSpec, cell_spec, interpreter_binds

# Answers each line only after it did a little of everything that is being used up beside it.
NEIGHBOUR = """
import os, sys, tempfile
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 65536)
        file.flush()
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
    for descriptor in held:
        os.close(descriptor)
    block = bytearray(8 * 1024 * 1024)
    print(line, end="", flush=True)
"""
# Each says `full` when it has all it can have, and holds on to it; `memory` may be ended first.
BOMBS = {
    "processes": """
import os, signal
try:
    while True:
        if os.fork() == 0:
            signal.pause()
except OSError:
    print("full", flush=True)
signal.pause()
""",
    "processes_without_end": """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("full", flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
    "memory_in_one_process": """
import mmap, signal
blocks = []
try:
    while True:
        block = mmap.mmap(-1, 1 << 22, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block.write(b"x" * len(block))
        blocks.append(block)
except OSError:
    print("full", flush=True)
signal.pause()
""",
    "memory_in_twelve_processes": """
import mmap, os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("full", flush=True)
while True:
    wait, tell = os.pipe()
    for _ in range(12):
        if os.fork() == 0:
            os.close(wait)
            block = mmap.mmap(-1, 60 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            block.write(b"x" * len(block))
            signal.pause()
    os.close(tell)
    os.read(wait, 1)  # all of them were ended: again
    os.close(wait)
""",
    "bytes_of_every_place": """
import os, signal
for place in ("/tmp", "/dev/shm"):
    try:
        for number in range(1 << 20):
            with open(f"{place}/{number}", "wb", buffering=0) as file:
                for _ in range(64):
                    file.write(b"x" * (1 << 20))
    except OSError:
        pass
print("full", flush=True)
signal.pause()
""",
    "files_of_tmp": """
import os, signal
try:
    for number in range(1 << 20):
        os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
except OSError:
    print("full", flush=True)
signal.pause()
""",
    "descriptors_in_a_hundred_processes": """
import os, signal
wait, tell = os.pipe()
for _ in range(100):
    if os.fork() == 0:
        try:
            while True:
                os.open("/dev/null", os.O_RDONLY)
        except OSError:
            os.write(tell, b"x")
        signal.pause()
for _ in range(100):
    os.read(wait, 1)
print("full", flush=True)
signal.pause()
""",
}
ASKED = 30
LIMIT_BYTES = 256 * MIB


def program(launcher: Launcher, code: str, name: str) -> SandboxSpec:
    python = cell_spec(packages={}, slot=1).argv[0]
    spec = shell(launcher, "", name, binds=interpreter_binds())
    limits = replace(spec.limits, memory_bytes=LIMIT_BYTES)
    return replace(spec, argv=(python, "-I", "-S", "-c", code), limits=limits)


class Neighbour:
    """Another agent's command, asked over its pipes."""

    def __init__(self, sandbox: Sandbox, ask: int, answers: int) -> None:
        self.sandbox = sandbox
        self._ask, self._answers = ask, answers

    @classmethod
    async def beside(cls, launcher: Launcher) -> Neighbour:
        ours_read, theirs_write = os.pipe()
        theirs_read, ours_write = os.pipe()
        spec = program(launcher, NEIGHBOUR, "neighbour")
        sandbox = await launcher.spawn(spec, [theirs_read, theirs_write, theirs_write])
        os.close(theirs_read)
        os.close(theirs_write)
        return cls(sandbox, ours_write, ours_read)

    async def asked(self, times: int) -> list[float]:
        """How long each answer took, in ms."""
        took = []
        for number in range(times):
            began = time.perf_counter()
            os.write(self._ask, b"%d\n" % number)
            said = await asyncio.wait_for(asyncio.to_thread(os.read, self._answers, 4096), DEADLINE)
            assert said == b"%d\n" % number, said.decode()
            took.append(1000 * (time.perf_counter() - began))
        return took


def limit(name: str) -> Callable[[], Awaitable[None]]:
    async def hurts_no_neighbour() -> None:
        with launched() as launcher:
            neighbour = await Neighbour.beside(launcher)
            before = await neighbour.asked(ASKED)
            bomb, read = await start(launcher, program(launcher, BOMBS[name], "bomb"))
            said = await asyncio.wait_for(asyncio.to_thread(os.read, read, 4096), DEADLINE)
            assert said in (b"full\n", b""), said.decode()
            during = await neighbour.asked(ASKED)
            if name == "memory_in_twelve_processes" and launcher.memory == "soft":
                how = await asyncio.wait_for(bomb.wait(), DEADLINE)
                assert how == Exit(None, signal.SIGKILL, out_of_memory=True), how
            else:
                assert bomb.pidfd >= 0, "it ended by itself: nothing was held while the neighbour was asked"
                bomb.kill()
                assert (await asyncio.wait_for(bomb.wait(), DEADLINE)).signal == signal.SIGKILL
            # And a third one is made as if nothing had been.
            third, end = await start(launcher, shell(launcher, "exit 3", "third"))
            assert await asyncio.wait_for(third.wait(), DEADLINE) == Exit(3, None)
            for descriptor in (read, end):
                os.close(descriptor)
            middle = [sorted(times)[len(times) // 2] for times in (before, during)]
            print(
                f"{name}, memory {launcher.memory}: a neighbour's {ASKED} answers before and during, p50 "
                f"{middle[0]:.1f} and {middle[1]:.1f} ms, longest {max(before):.1f} and {max(during):.1f} ms"
            )

    return hurts_no_neighbour


LIMIT_CHECKS.update({f"all_{name}": limit(name) for name in BOMBS})
