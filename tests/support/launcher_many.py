"""Many sandboxes at once, and that none outlives a stop or `kill -9` of anything that holds them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from launching import DEADLINE, MANY_CHECKS, launched, shell

from queenright.supervisor.launcher import Launcher, Sandbox

# As many as asked for on the command line.
MANY = next((int(word) for word in sys.argv[2:3] if word.isdigit()), 1000)
# Found in /proc by what nobody else has in a command line.
MARK = f"7{os.getpid()}"
SCRIPT = f"(sleep {MARK} &); exec sleep {MARK}"


def many_check(function):
    MANY_CHECKS[function.__name__] = function
    return function


def marked() -> int:
    """How many processes carry the mark, as the kernel lists them."""
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(f"/proc/{entry.name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found += words[:2] == [b"sleep", MARK.encode()]
    return found


def bubblewraps(launcher: int) -> list[int]:
    """Of that launcher, as the kernel lists them."""
    name = f"queenright-bwrap-{launcher}-".encode()
    found = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and Path(entry.path, "cmdline").read_bytes().startswith(name):
                found.append(int(entry.name))
    return found


def allow_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def make(launcher: Launcher, count: int) -> list[Sandbox]:
    """As many sandboxes of two processes each, all of them seen to run."""
    null = os.open(os.devnull, os.O_RDWR)
    spec = shell(launcher, SCRIPT)
    sandboxes = [await launcher.spawn(spec, [null] * 3) for _ in range(count)]
    os.close(null)
    async with asyncio.timeout(DEADLINE):
        while marked() < 2 * count:
            await asyncio.sleep(0.1)
    return sandboxes


def wait_gone(pidfds: list[int]) -> float:
    """Seconds until the processes behind all of them have ended."""
    began = time.perf_counter()
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    left = len(pidfds)
    while left:
        ready = poll.poll(1000 * DEADLINE)
        assert ready, f"{left} are left after {DEADLINE} s"
        for pidfd, _ in ready:
            poll.unregister(pidfd)
            left -= 1
    return time.perf_counter() - began


@many_check
async def many_at_once_are_gone_with_the_stop() -> None:
    allow_descriptors()
    with launched() as launcher:
        began = time.perf_counter()
        sandboxes = await make(launcher, MANY)
        made = time.perf_counter() - began
        began = time.perf_counter()
        launcher.kill_all()
        async with asyncio.timeout(DEADLINE):
            ends = await asyncio.gather(*(sandbox.wait() for sandbox in sandboxes))
        took = time.perf_counter() - began
        assert {end.signal for end in ends} == {signal.SIGKILL}
        assert marked() == 0
    print(
        f"{MANY} sandboxes of two processes ({launcher.tier}): made in {made:.1f} s, gone {took:.2f} s after the stop"
    )


@many_check
async def many_end_with_kill_9_of_the_launcher() -> None:
    allow_descriptors()
    launcher = Launcher.start()
    sandboxes = await make(launcher, MANY)
    pidfds = [os.dup(sandbox.pidfd) for sandbox in sandboxes]
    os.kill(launcher.pid, signal.SIGKILL)
    took = wait_gone(pidfds)
    assert marked() == 0
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(sandbox.wait() for sandbox in sandboxes))
    launcher.close()
    print(f"{MANY} sandboxes ({launcher.tier}): gone {took:.2f} s after kill -9 of the launcher")


@many_check
async def those_that_are_just_being_made_end_with_kill_9_of_the_launcher() -> None:
    """At any moment of the making: no sandbox is between two hands."""
    killed = []
    for number in range(40):
        launcher = Launcher.start()
        killed.append(launcher.pid)
        null = os.open(os.devnull, os.O_RDWR)
        spec = shell(launcher, SCRIPT)
        making = [asyncio.create_task(launcher.spawn(spec, [null] * 3)) for _ in range(8)]
        await asyncio.sleep(number / 4000)
        os.kill(launcher.pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*making, return_exceptions=True)
            while marked():
                await asyncio.sleep(0.01)
        launcher.close()
        os.close(null)
    # In tier bwrap one of bubblewrap's own may wait, before any sandbox: the next launcher ends it.
    with launched():
        async with asyncio.timeout(DEADLINE):
            while any(bubblewraps(pid) for pid in killed):
                await asyncio.sleep(0.01)


STAND_IN = """
import asyncio, json, os, sys
sys.path.insert(0, {here!r})
import launcher_many
launcher_many.MARK, launcher_many.SCRIPT = {mark!r}, {script!r}
async def main():
    launcher_many.allow_descriptors()
    launcher = launcher_many.Launcher.start()
    sandboxes = await launcher_many.make(launcher, {many})
    print(json.dumps([launcher.pid, *(sandbox.pid for sandbox in sandboxes)]), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@many_check
async def many_end_with_kill_9_of_the_supervisor() -> None:
    allow_descriptors()
    code = STAND_IN.format(here=str(Path(__file__).parent), mark=MARK, script=SCRIPT, many=MANY)
    stand_in = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stand_in.stdout is not None
    pids = json.loads(await asyncio.wait_for(asyncio.to_thread(stand_in.stdout.readline), 2 * DEADLINE))
    assert len(pids) == MANY + 1
    pidfds = [os.pidfd_open(pid) for pid in pids]
    stand_in.kill()
    stand_in.wait()
    took = wait_gone(pidfds)
    assert marked() == 0
    print(f"{MANY} sandboxes: gone {took:.2f} s after kill -9 of the supervisor")


@many_check
async def a_sandbox_ends_with_kill_9_of_its_first_process_or_of_its_command() -> None:
    with launched() as launcher:
        for whom in ("first", "command"):
            sandboxes = await make(launcher, 20)
            for sandbox in sandboxes:
                children = Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text().split()
                words = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
                # The one that became `sleep` by exec is older than the orphan it left to the first process.
                command = min((child for child in words if words[child].startswith(b"sleep")), key=int)
                os.kill(sandbox.pid if whom == "first" else int(command), signal.SIGKILL)
            async with asyncio.timeout(DEADLINE):
                ends = await asyncio.gather(*(sandbox.wait() for sandbox in sandboxes))
            assert {end.signal for end in ends} == {signal.SIGKILL}
            assert marked() == 0
