# ruff: noqa: PT017, SIM115 - run without pytest, as another user
"""How sandboxes end, and what ends with what."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from launching import (
    DEADLINE,
    HERE,
    MIB,
    check,
    gone,
    launched,
    python,
    refused,
    run,
    shell,
    start,
)

from queenright.errors import SandboxRefused
from queenright.supervisor.launcher import Exit, Launcher
from queenright.supervisor.sandbox_spec import (
    cell_spec,
    interpreter_binds,
)

BOMB = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.write(1, b"x")
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


@check
async def killing_a_fork_bomb_leaves_nothing() -> None:
    with launched() as launcher:
        program = cell_spec(packages={}, slot=1).argv[0]
        for kind in ("cell", "command"):
            spec = python(cell_spec(packages={}, slot=1), BOMB)
            if kind == "command":
                argv = (program, "-I", "-S", "-c", BOMB)
                spec = replace(shell(launcher, "", binds=interpreter_binds()), argv=argv)
            sandbox, read = await start(launcher, spec)
            assert await asyncio.to_thread(os.read, read, 1) == b"x"
            pidfd = os.dup(sandbox.pidfd)
            sandbox.kill()
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how == Exit(None, signal.SIGKILL), how
            assert gone([pidfd])
            os.close(pidfd)
            # The output ends only when no process holds it any more.
            await asyncio.wait_for(asyncio.to_thread(lambda fd: open(fd, "rb").read(), read), DEADLINE)


STAND_IN = """
import asyncio, json, os, sys
sys.path.insert(0, {here!r})
from queenright.supervisor.launcher import Launcher
from queenright.supervisor.sandbox_spec import cell_spec, executor_spec
from launching import HERE, python, shell, start
async def main():
    launcher = Launcher.start()
    cell, _ = await start(launcher, python(cell_spec(packages={{}}, slot=1), "import time; time.sleep(1000)"))
    command, _ = await start(launcher, shell(launcher, "sleep 1000 & sleep 1000"))
    helper = executor_spec(module="http.server", arguments=["0", "--bind", "127.0.0.1"])
    executor, _ = await start(launcher, helper)
    service = await launcher.start_service(
        argv=["/bin/sleep", "1000"], env={{}}, cwd="/",
        output=HERE / "service.log", pidfile=HERE / "service.pid")
    print(json.dumps([service.pid, launcher.pid, cell.pid, command.pid, executor.pid]), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@check
async def killing_the_supervisor_leaves_nothing_but_services() -> None:
    code = STAND_IN.format(here=str(Path(__file__).parent))
    stand_in = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stand_in.stdout is not None
    pids = json.loads(await asyncio.wait_for(asyncio.to_thread(stand_in.stdout.readline), DEADLINE))
    service, *rest = [os.pidfd_open(pid) for pid in pids]
    stand_in.kill()
    stand_in.wait()
    assert gone(rest), "a process outlived the supervisor"
    poll = select.poll()
    poll.register(service, select.POLLIN)
    assert not poll.poll(0), "the service died with the supervisor"
    signal.pidfd_send_signal(service, signal.SIGKILL)
    for pidfd in (service, *rest):
        os.close(pidfd)


@check
async def killing_the_launcher_ends_its_sandboxes_and_is_told() -> None:
    with launched() as launcher:
        sandboxes = [(await start(launcher, shell(launcher, "sleep 1000")))[0] for _ in range(3)]
        pidfds = [os.dup(sandbox.pidfd) for sandbox in sandboxes]
        os.kill(launcher.pid, signal.SIGKILL)
        for sandbox in sandboxes:
            assert await asyncio.wait_for(sandbox.wait(), DEADLINE) == Exit(None, signal.SIGKILL)
        assert gone(pidfds)
        await refused(launcher, shell(launcher, ":"), "launcher")


@check
async def closing_the_launcher_ends_its_sandboxes() -> None:
    launcher = Launcher.start()
    sandboxes = [(await start(launcher, shell(launcher, "sleep 1000")))[0] for _ in range(3)]
    pidfds = [os.dup(sandbox.pidfd) for sandbox in sandboxes]
    launcher.kill_all()
    assert await asyncio.wait_for(sandboxes[0].wait(), DEADLINE) == Exit(None, signal.SIGKILL)
    launcher.close()
    assert gone(pidfds)
    for sandbox in sandboxes:
        assert await asyncio.wait_for(sandbox.wait(), DEADLINE) == Exit(None, signal.SIGKILL)
    launcher.close()


@check
async def a_service_outlives_the_launcher_and_is_known_by_pid_and_time() -> None:
    output, pidfile = HERE / "service.log", HERE / "service.pid"
    output.write_text("before\n")
    script = "env; ls /proc/self/fd; readlink /proc/self/fd/0; exec sleep 1000"
    launcher = Launcher.start()
    service = await launcher.start_service(
        argv=["/bin/sh", "-c", script], env={"ONLY": "this"}, cwd=HERE, output=output, pidfile=pidfile
    )
    pidfd = os.pidfd_open(service.pid)
    launcher.close()
    try:
        stat = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[19]) == service.start_time
        assert pidfile.read_text() == f"{service.pid}\n"
        assert os.getsid(service.pid) != os.getsid(0)
        end = time.monotonic() + DEADLINE
        while Path(f"/proc/{service.pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        text = output.read_text()
        assert text.startswith("before\n"), text
        assert "ONLY=this" in text
        assert "HOME=" not in text
        assert "/dev/null" in text
        assert "\n4\n" not in text, text
        soft = Path(f"/proc/{service.pid}/limits").read_text()
        assert f"Max open files            {os.sysconf('SC_OPEN_MAX')}" in soft, soft
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


@check
async def a_service_that_cannot_start_is_refused() -> None:
    with launched() as launcher:
        cases = [
            ("exec", {"argv": ["/nowhere/program"]}),
            ("output", {"output": HERE / "nowhere" / "log"}),
            ("cwd", {"cwd": HERE / "nowhere"}),
            ("pidfile", {"pidfile": HERE / "nowhere" / "pid"}),
            ("request", {"argv": ["relative"]}),
        ]
        for step, change in cases:
            good = {
                "argv": ["/bin/true"],
                "env": {},
                "cwd": "/",
                "output": HERE / "log",
                "pidfile": HERE / "pid",
            }
            try:
                await launcher.start_service(**{**good, **change})  # type: ignore[arg-type]
            except SandboxRefused as error:
                assert error.step == step, (step, error.step, str(error))
            else:
                raise AssertionError(f"{step}: started")
            assert not (HERE / "pid").exists()


@check
async def a_cancelled_spawn_leaves_no_sandbox() -> None:
    with launched() as launcher:
        for _ in range(20):
            task = asyncio.create_task(start(launcher, shell(launcher, "sleep 1000")))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        how, _ = await run(launcher, shell(launcher, ":"))
        assert how == Exit(0, None)
        end = time.monotonic() + DEADLINE
        while launcher._sandboxes:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


@check
async def a_stop_does_not_wait_behind_sandboxes_that_are_being_made() -> None:
    with launched() as launcher:
        sandbox, read = await start(launcher, shell(launcher, "exec sleep 1000"))
        watch = os.dup(sandbox.pidfd)
        os.kill(launcher.pid, signal.SIGSTOP)  # as busy as can be: it answers nothing
        try:
            making = asyncio.create_task(run(launcher, shell(launcher, ":")))
            while not launcher.busy:
                await asyncio.sleep(0.01)
            sandbox.kill()
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            assert poll.poll(1000 * DEADLINE), "it waits for the launcher"
        finally:
            os.kill(launcher.pid, signal.SIGCONT)
        assert (await sandbox.wait()).signal == signal.SIGKILL
        assert (await making)[0] == Exit(0, None)
        os.close(watch)
        os.close(read)


MEMORY = """
import mmap, os, time
blocks = []
for _ in range(8):
    if os.fork() == 0:
        block = mmap.mmap(-1, 40 * 1024 * 1024)
        block.write(b"x" * len(block))
        time.sleep(1000)
time.sleep(1000)
"""


@check
async def memory_over_the_limit_in_many_processes_is_ended_and_told() -> None:
    with launched() as launcher:
        assert launcher.memory in ("hard", "soft")
        program = cell_spec(packages={}, slot=1).argv[0]
        spec = replace(
            shell(launcher, "", binds=interpreter_binds()), argv=(program, "-I", "-S", "-c", MEMORY)
        )
        limits = replace(spec.limits, memory_bytes=128 * MIB)
        sandbox, read = await start(launcher, replace(spec, limits=limits))
        if launcher.memory == "soft":
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how == Exit(None, signal.SIGKILL, out_of_memory=True), how
        else:
            # The kernel ends one process after the other; the limit holds all the while.
            peak = 0
            end = time.monotonic() + 5
            while time.monotonic() < end and peak < 100 * MIB:
                # One of them is the sandbox's, the others were made ahead and are empty.
                own = f"**/queenright-*-{launcher.pid}/*"
                files = [*Path("/sys/fs/cgroup").glob(f"{own}/memory.max_usage_in_bytes")]
                files += Path("/sys/fs/cgroup").glob(f"{own}/memory.peak")
                assert files
                peak = max(int(file.read_text()) for file in files)
                await asyncio.sleep(0.02)
            assert 100 * MIB <= peak <= 128 * MIB, peak
            sandbox.kill()
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how.signal == signal.SIGKILL
        os.close(read)
    left = list(Path("/sys/fs/cgroup").glob(f"**/queenright-*-{launcher.pid}"))
    assert left == [], left


@check
async def two_launchers_do_not_disturb_each_other() -> None:
    with launched() as first:
        with launched() as second:
            for launcher in (first, second):
                how, _ = await run(launcher, shell(launcher, ":"))
                assert how == Exit(0, None)
        how, _ = await run(first, shell(first, ":"))
        assert how == Exit(0, None)
