"""A cell's process before it is anybody's: what cannot be made is refused by name and leaves no descriptor open."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

import pytest

from queenright.errors import SandboxRefused
from queenright.supervisor.empty_cell import EmptyCell
from queenright.wire.frame import pack
from queenright.wire.link import Ready, Shutdown, Up, encode


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


class Launcher:
    """Gives the far end of the link to whoever plays the cell, or refuses."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.far: socket.socket | None = None

    async def spawn(self, spec: Any, fds: list[int]) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.far = socket.socket(fileno=os.dup(fds[3]))
        return type("Sandbox", (), {"kill": lambda self: None})()


def start(launcher: Launcher, says: bytes | None = None, *, ends: bool = False) -> None:
    async def whole() -> None:
        empty = await EmptyCell.start(launcher, None)  # type: ignore[arg-type]
        try:
            assert launcher.far is not None
            if says is not None:
                launcher.far.sendall(says)
            if ends:
                launcher.far.close()
            await empty.until_up()
        finally:
            empty.discard()
            if launcher.far is not None:
                launcher.far.close()

    asyncio.run(whole())


@pytest.mark.parametrize("name", ["socketpair", "memfd_create", "pipe2"])
def test_a_supervisor_without_descriptors_says_so_and_keeps_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def whole() -> None:
        monkeypatch.setattr(socket if name == "socketpair" else os, name, none_left)
        before = descriptors()
        with pytest.raises(SandboxRefused) as refused:
            await EmptyCell.start(Launcher(), None)  # type: ignore[arg-type]
        assert (refused.value.step, refused.value.errno) == ("descriptors", errno.EMFILE)
        assert len(descriptors()) == len(before)

    asyncio.run(whole())


def test_a_refusal_of_the_launcher_keeps_no_descriptor() -> None:
    before = descriptors()
    with pytest.raises(SandboxRefused, match="no more processes"):
        start(Launcher(SandboxRefused("no more processes", step="clone", hint="wait")))
    assert descriptors() == before


def test_it_is_up_when_it_says_so_and_not_before() -> None:
    start(Launcher(), pack(encode(Up())))


@pytest.mark.parametrize(
    "says",
    [
        pack(encode(Shutdown())),
        pack(encode(Ready("c", "3", []))),
        pack(encode(Up())) * 2,
        b"\xff" * 8,
        pack(b"\xc1"),
    ],
)
def test_one_that_says_anything_else_is_refused(says: bytes) -> None:
    with pytest.raises(SandboxRefused, match="did not come up"):
        start(Launcher(), says)


def test_one_that_ends_before_it_is_up_is_refused() -> None:
    with pytest.raises(SandboxRefused, match="ended before it was up"):
        start(Launcher(), ends=True)
