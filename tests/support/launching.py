# ruff: noqa: PT017, SIM115 - run without pytest, as another user
"""What the checks of the launcher share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from queenright.errors import SandboxRefused
from queenright.supervisor.launcher import Exit, Launcher, Sandbox
from queenright.supervisor.sandbox_spec import (
    SandboxSpec,
    command_spec,
)

DEADLINE = 30.0
MIB = 1024 * 1024
HERE = Path.cwd()
AHEAD_DESCRIPTORS = 4
"""What the launcher may hold open more at one moment than at another: of the cgroups that it makes ahead."""

CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}
ROOT_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}
BWRAP_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}  # where only bubblewrap may make namespaces
LIMIT_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}  # bombs beside a neighbour
MANY_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}
STRICT_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}  # where nobody may
OVERLAY_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}  # of the full tier only


def check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    CHECKS[function.__name__] = function
    return function


def root_check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    ROOT_CHECKS[function.__name__] = function
    return function


def bwrap_check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    BWRAP_CHECKS[function.__name__] = function
    return function


def overlay_check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    OVERLAY_CHECKS[function.__name__] = function
    return function


def strict_check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    STRICT_CHECKS[function.__name__] = function
    return function


@contextlib.contextmanager
def launched(**options: Any) -> Iterator[Launcher]:
    launcher = Launcher.start(**options)
    try:
        yield launcher
    finally:
        launcher.close()


def workspace(launcher: Launcher, name: str = "workspace", slot: int = 1) -> Path:
    path = HERE / name
    path.mkdir(exist_ok=True)
    launcher.give(path, slot)
    return path


def python(spec: SandboxSpec, code: str) -> SandboxSpec:
    """A cell's spec that runs `code` instead of its entry."""
    return replace(spec, argv=(*spec.argv[:-1], code))


def shell(launcher: Launcher, script: str, name: str = "workspace", **options: object) -> SandboxSpec:
    place = workspace(launcher, name)
    return command_spec(
        argv=["/bin/sh", "-c", script], workspace=place, slot=1, in_place=launcher.in_place, **options
    )


async def start(launcher: Launcher, spec: SandboxSpec, extra: Sequence[int] = ()) -> tuple[Sandbox, int]:
    """A sandbox and the read end of its output."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        sandbox = await launcher.spawn(spec, [null, write, write, *extra])
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
        os.close(null)
    return sandbox, read


async def run(launcher: Launcher, spec: SandboxSpec, extra: Sequence[int] = ()) -> tuple[Exit, str]:
    sandbox, read = await start(launcher, spec, extra)
    output = await asyncio.wait_for(asyncio.to_thread(lambda: open(read, "rb").read()), DEADLINE)
    return await asyncio.wait_for(sandbox.wait(), DEADLINE), output.decode("utf-8", "replace")


async def refused(launcher: Launcher, spec: SandboxSpec, step: str, fds: int = 3) -> SandboxRefused:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        await launcher.spawn(spec, [null] * fds)
    except SandboxRefused as error:
        assert error.step == step, f"{error.step}: {error}"
        return error
    finally:
        os.close(null)
    raise AssertionError(f"not refused at {step}")


def gone(pidfds: Sequence[int]) -> bool:
    """Whether the processes behind all of them have ended within the deadline."""
    end = time.monotonic() + DEADLINE
    for pidfd in pidfds:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            return False
    return True
