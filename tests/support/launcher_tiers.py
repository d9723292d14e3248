# ruff: noqa: PT017, SIM115 - run without pytest, as another user
"""What holds where the launcher may make no namespaces itself: over bubblewrap's, and over none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from launching import (
    DEADLINE,
    HERE,
    MIB,
    bwrap_check,
    gone,
    launched,
    refused,
    run,
    shell,
    start,
    strict_check,
    workspace,
)

from queenright.doctor.doctor import examine
from queenright.errors import SandboxRefused
from queenright.supervisor.launcher import Exit, Launcher
from queenright.supervisor.sandbox_spec import Bind, cell_spec, command_spec

# Leaves its process group and session if it can, forks twice, and says when it stands.
ESCAPE = "(setsid sleep 1000 2>/dev/null || sleep 1000) & (sleep 1000 &) ; echo up; exec sleep 1000"


def named(name: str, own: int) -> set[int]:
    """The processes of this user that run `name`; not `own`."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != own:
                # Its directory is root's where it may not be looked into; the line of its status is not.
                status = (entry / "status").read_text()
                if status.startswith(f"Name:\t{name}\n") and f"\nUid:\t{os.geteuid()}\t" in status:
                    found.add(int(entry.name))
    return found


async def until(what: str, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.01)
    assert holds(), what


async def root_goes_nowhere() -> None:
    """Run as root where its own clone is refused: bubblewrap would give agents root's uid, so it is not asked."""
    assert os.geteuid() == 0
    for word in (None, "landlock"):
        try:
            Launcher.start(degraded=word)  # type: ignore[arg-type]
        except SandboxRefused as error:
            assert error.step == "clone", error
            assert "agents would be root" in error.message, error
        else:
            raise AssertionError("a launcher started")


@bwrap_check
async def the_tier_and_what_it_stands_for_are_told() -> None:
    with launched() as launcher:
        assert launcher.tier == "bwrap"
        assert launcher.instead_of.startswith("clone: "), launcher.instead_of
    # An operator's word for less does not lower what can be had.
    with launched(degraded="landlock") as launcher:
        assert launcher.tier == "bwrap"


@bwrap_check
async def killing_bubblewrap_itself_leaves_nothing() -> None:
    """Its monitor is outside the namespaces: whoever kills it must not set its sandbox free."""
    with launched() as launcher:
        for _ in range(20):
            sandbox, read = await start(launcher, shell(launcher, ESCAPE))
            assert await asyncio.to_thread(os.read, read, 3) == b"up\n"
            first = os.dup(sandbox.pidfd)
            status = Path(f"/proc/{sandbox.pid}/status").read_text()
            parent = next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1]
            assert Path(f"/proc/{parent}/comm").read_text() == "bwrap\n"
            os.kill(int(parent), signal.SIGKILL)
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how.signal == signal.SIGKILL, how
            assert gone([first])
            os.close(first)
            await asyncio.wait_for(asyncio.to_thread(lambda fd: open(fd, "rb").read(), read), DEADLINE)


@bwrap_check
async def what_bubblewrap_complains_of_is_told() -> None:
    with launched() as launcher:
        spec = shell(launcher, ":")
        spec = replace(spec, binds=(*spec.binds, Bind("/usr/bin", "/usr/nowhere/x")))
        error = await refused(launcher, spec, "bwrap")
        assert "/usr/nowhere" in error.message, error


@bwrap_check
async def an_overlay_is_refused_by_name() -> None:
    """It cannot be had in there, and a command without one would change its workspace past undoing."""
    with launched() as launcher:
        error = await refused(launcher, shell(launcher, "true", upper=(MIB, 10)), "overlay", fds=4)
        assert "tier bwrap" in error.message, error


@strict_check
async def nobody_falls_to_it_without_a_word() -> None:
    try:
        Launcher.start()
    except SandboxRefused as error:
        assert error.step == "clone", error
        assert "bubblewrap is no way round it" in error.message
        assert "max_user_namespaces" in error.hint
    else:
        raise AssertionError("a launcher started that nobody allowed")
    report = examine()
    assert (report.exit_code, report.tier) == (6, "none")
    assert "--degraded landlock` would go on" in report.as_text()
    with launched(degraded="landlock") as launcher:
        assert launcher.tier == "landlock-strict"
        assert "bwrap: " in launcher.instead_of, launcher.instead_of


@strict_check
async def below_landlocks_scopes_it_is_refused_even_with_a_word() -> None:
    try:
        Launcher.start(degraded="landlock", landlock_abi_cap=5)
    except SandboxRefused as error:
        assert error.step == "tier", error
        assert "Linux 6.12" in error.message
    else:
        raise AssertionError("agents of one uid could signal each other")


@strict_check
async def a_cell_comes_up_and_ends_with_its_link() -> None:
    package = HERE / "package"
    package.mkdir()
    with launched(degraded="landlock") as launcher:
        ours, theirs = socket.socketpair()
        spec = cell_spec(packages={"ab": package}, slot=1, in_place=True)
        sandbox, read = await start(launcher, spec, [theirs.fileno()])
        theirs.close()
        ours.close()
        words = await asyncio.to_thread(lambda: open(read, "rb").read().decode())
        assert await asyncio.wait_for(sandbox.wait(), DEADLINE) == Exit(2, None), words
        assert words.startswith("cell: "), words


@strict_check
async def a_command_works_in_its_workspace_and_sees_no_other() -> None:
    with launched(degraded="landlock") as launcher:
        other = workspace(launcher, "other")
        (other / "notes").write_text("theirs")
        script = f"pwd; echo hello > made; cat made; cat {other}/notes; cat {HERE}/../x; ls /proc; exit 7"
        how, said = await run(launcher, shell(launcher, script))
        place = str(HERE / "workspace")
        assert how == Exit(7, None), said
        assert said.splitlines()[:2] == [place, "hello"], said
        assert "theirs" not in said
        assert said.count("Permission denied") == 2, said
        how, said = await run(launcher, shell(launcher, "kill -9 $$"))
        assert how == Exit(None, signal.SIGKILL), (how, said)


@strict_check
async def what_needs_a_namespace_is_refused_by_name() -> None:
    with launched(degraded="landlock") as launcher:
        good = shell(launcher, "touch ran")
        cases = {
            "hostname": replace(good, hostname="x"),
            "hide": replace(good, hide=("/usr/share",)),
            "limits.tmp_bytes": replace(good, limits=replace(good.limits, tmp_bytes=1)),
            "/elsewhere": replace(good, binds=(*good.binds, Bind("/usr", "/elsewhere"))),
        }
        for word, spec in cases.items():
            error = await refused(launcher, spec, "request")
            assert word in error.message, error
            assert "landlock-strict" in error.message, error
        usual = command_spec(argv=["/bin/true"], workspace=workspace(launcher), slot=1)
        await refused(launcher, usual, "request")
        assert not (HERE / "workspace" / "ran").exists()


@strict_check
async def a_stop_reaches_what_tried_to_leave() -> None:
    """No pid namespace: a process group that the filter lets nobody leave takes its place."""
    with launched(degraded="landlock") as launcher:
        sandbox, read = await start(launcher, shell(launcher, ESCAPE))
        assert await asyncio.to_thread(os.read, read, 3) == b"up\n"
        await until("all stand", lambda: len(named("sleep", os.getpid())) == 3)
        sandbox.kill()
        assert await asyncio.wait_for(sandbox.wait(), DEADLINE) == Exit(None, signal.SIGKILL)
        await until("nothing is left", lambda: not named("sleep", os.getpid()))
        os.close(read)
        # A command's own end is the end of what it left behind, too.
        how, _ = await run(launcher, shell(launcher, "sleep 1000 & (sleep 1000 &); exit 0"))
        assert how == Exit(0, None)
        await until("nothing is left", lambda: not named("sleep", os.getpid()))


@strict_check
async def killing_the_launcher_or_the_guard_leaves_nothing() -> None:
    for victim in ("launcher", "guard"):
        launcher = Launcher.start(degraded="landlock")
        try:
            sandboxes = [await start(launcher, shell(launcher, ESCAPE)) for _ in range(3)]
            for _, read in sandboxes:
                assert await asyncio.to_thread(os.read, read, 3) == b"up\n"
            await until("all stand", lambda: len(named("sleep", os.getpid())) == 9)
            if victim == "launcher":
                os.kill(launcher.pid, signal.SIGKILL)
            else:
                for sandbox, _ in sandboxes:
                    os.kill(sandbox.pid, signal.SIGKILL)
            for sandbox, read in sandboxes:
                assert (await asyncio.wait_for(sandbox.wait(), DEADLINE)).signal == signal.SIGKILL
                os.close(read)
            await until("nothing is left", lambda: not named("sleep", os.getpid()))
        finally:
            launcher.close()
