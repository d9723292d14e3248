"""A command's one way out: a listener of its own network namespace, handed to whoever asked for the command."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace

from launching import (
    DEADLINE,
    bwrap_check,
    launched,
    overlay_check,
    python,
    refused,
    run,
    shell,
    start,
    strict_check,
)

from queenright.supervisor.launcher import Exit, Launcher
from queenright.supervisor.sandbox_spec import cell_spec, executor_spec

_TRY = """python3 - <<'END'
import errno, socket
def tried(step):
    try:
        return step() or 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
def connect(port, family=socket.AF_INET, host='127.0.0.1'):
    with socket.socket(family) as one:
        one.connect((host, port))
        return one.recv(100).decode()
def listen(port):
    with socket.socket() as one:
        one.bind(('127.0.0.1', port))
def make(kind, protocol=0):
    socket.socket(socket.AF_INET, kind, protocol).close()
print(tried(lambda: make(socket.SOCK_DGRAM)), tried(lambda: make(socket.SOCK_RAW, 1)), tried(lambda: make(socket.SOCK_STREAM, 262)),
      tried(lambda: connect(3128)), tried(lambda: connect(3129)), tried(lambda: connect(3128, socket.AF_INET6, '::1')),
      tried(lambda: listen(0)), tried(lambda: listen(3128)), tried(lambda: connect(80, host='10.0.0.1')))
END
ls /proc/self/fd"""


async def handed(launcher: Launcher, script: str, **options: object) -> tuple[Exit, str]:
    """A command with a way out, at which the test says hello once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        spec = shell(launcher, script, egress=True, **options)
        sandbox, read = await start(launcher, spec, (theirs.fileno(),))
        word, descriptors, _, _ = socket.recv_fds(ours, 16, 2)
    assert (word, len(descriptors)) == (b"egress", 1)
    with socket.socket(fileno=descriptors[0]) as listener:
        assert listener.getsockname() == ("127.0.0.1", 3128)
        listener.settimeout(DEADLINE)

        def hello() -> None:
            one, _ = listener.accept()
            with one:
                one.sendall(b"hello")

        await asyncio.to_thread(hello)
        with os.fdopen(read, "rb") as pipe:
            said = (await asyncio.to_thread(pipe.read)).decode()
        return await asyncio.wait_for(sandbox.wait(), DEADLINE), said


@overlay_check
async def a_way_out_is_one_port_and_the_listener_is_never_the_commands() -> None:
    with launched() as launcher:
        how, said = await handed(launcher, _TRY)
        assert how == Exit(0, None), said
        words, *descriptors = said.split("\n", 1)
        # TCP over IPv4 only (the filter), to this port only and bound nowhere (Landlock).
        filtered, held = ["EPERM"] * 3, ["EACCES"] * 3
        assert words.split() == [*filtered, "hello", "EACCES", "EPERM", *held], said
        assert descriptors[0].split() == ["0", "1", "2", "3"], said


@overlay_check
async def without_asking_there_is_no_way_out() -> None:
    with launched() as launcher:
        how, said = await run(launcher, shell(launcher, _TRY))
        assert how == Exit(0, None), said
        assert set(said.splitlines()[0].split()) == {"EPERM"}, said


@overlay_check
async def a_way_out_is_refused_where_it_could_not_be_one_port_only() -> None:
    with launched(landlock_abi_cap=3) as launcher:
        spec = shell(launcher, "true", egress=True)
        assert "Landlock ABI 4" in (await refused(launcher, spec, "egress", 4)).message
    with launched() as launcher:
        await refused(launcher, shell(launcher, "true", egress=True), "request", 3)
        cell = python(cell_spec(packages={}, slot=1), "pass")
        await refused(launcher, replace(cell, egress=True), "request", 4)
        await refused(launcher, replace(executor_spec(module="this"), egress=True), "request", 4)


@bwrap_check
async def bubblewraps_tier_refuses_a_way_out_by_name() -> None:
    with launched() as launcher:
        assert launcher.tier == "bwrap"
        refusal = await refused(launcher, shell(launcher, "true", egress=True), "egress", 4)
        assert "tier bwrap" in refusal.message


@strict_check
async def the_tier_without_namespaces_refuses_a_way_out_by_name() -> None:
    with launched(degraded="landlock") as launcher:
        refusal = await refused(launcher, shell(launcher, "true", egress=True), "egress", 4)
        assert "tier landlock-strict" in refusal.message
