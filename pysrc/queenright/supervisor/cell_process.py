"""One cell: its process, its link, the agents in it. Trusts nothing that comes out of it."""

from __future__ import annotations

import asyncio
import mmap
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from queenright.errors import Malformed
from queenright.supervisor.agents import Residents
from queenright.supervisor.launcher import Sandbox
from queenright.supervisor.stops import Point
from queenright.wire.frame import FrameReader, pack
from queenright.wire.link import Frame, decode, encode

__all__ = ["CellProcess"]

# What may wait unread for a cell before it counts as stuck: a window of large messages, no more.
UNREAD_BYTES = 64 * 1024 * 1024
# Above this, volatile mail for it is dropped: what others send must never be what ends a cell.
BEHIND_BYTES = UNREAD_BYTES // 4
READ_BYTES = 256 * 1024
LOG_LINES_A_SECOND = 1_000  # of all agents of a cell together


@dataclass(slots=True, eq=False)
class CellProcess:
    """A running cell. `on_frame` gets each decoded frame, `on_end` the words for why it is over, once."""

    id: str
    number: int
    intent: bytes
    packages: tuple[bytes, ...]
    shared: bool
    nonce: bytes
    sandbox: Sandbox
    link: socket.socket
    page: mmap.mmap
    on_frame: Callable[[CellProcess, Frame], None]
    on_end: Callable[[CellProcess, str, bool], None]
    started_ms: int
    stuck_ms: int  # a step that holds the interpreter this long ends it
    agents: Residents
    left: set[bytes] = field(
        default_factory=set
    )  # agents that were taken out of it: a life in it ends for good
    # (agent, incarnation) whose certificate this cell has
    peers: set[tuple[bytes, int]] = field(default_factory=set)
    given_bytes: int = 0  # of arguments and states, with every agent it was given
    state: Literal["starting", "ready", "ended"] = "starting"
    begun: bool = False  # its first frame is on the way: before that nothing may be sent to it
    violation: str = ""
    wanted: bool = False  # the supervisor asked for the end
    reason: str = ""
    idle_since: int | None = None
    seen_step: tuple[int, int] = (
        0,
        0,
    )  # the step in its page and the boot ms at which it was first seen there
    # evicted and not yet let go: since which boot ms, and who waits for it
    leaving: dict[bytes, tuple[int, asyncio.Future[int]]] = field(default_factory=dict)
    log_second: int = 0
    log_lines: int = 0
    _transport: asyncio.Transport | None = None
    _task: asyncio.Task[None] | None = None
    _ending: Point | None = None

    async def attach(self) -> None:
        """Start reading the link and watching for the process's end."""
        loop = asyncio.get_running_loop()
        reader = FrameReader()
        cell = self

        class Link(asyncio.BufferedProtocol):
            """Reads into one buffer: a new 256 KiB of bytes for each read costs more in page faults than what comes is worth."""

            def __init__(self) -> None:
                self._buffer = memoryview(bytearray(READ_BYTES))

            def get_buffer(self, sizehint: int) -> memoryview:
                return self._buffer

            def buffer_updated(self, nbytes: int) -> None:
                cell._received(reader, self._buffer[:nbytes])

            def connection_lost(self, exc: Exception | None) -> None:
                cell.sandbox.kill()

        transport, _ = await loop.create_connection(Link, sock=self.link)
        self._transport = transport
        self._task = asyncio.create_task(self._watch(), name=f"cell {self.id}")

    def _received(self, reader: FrameReader, data: memoryview) -> None:
        if self.state == "ended" or self.violation:
            return
        try:
            for body in reader.feed(data):
                self.on_frame(self, decode(body))
        except Malformed as error:
            self.violate(str(error))

    def send(self, frame: Frame) -> None:
        """Queue a frame. A cell that does not read is ended rather than waited for."""
        if self.state == "ended" or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(pack(encode(frame)))
        if self._transport.get_write_buffer_size() > UNREAD_BYTES:
            self.kill("does not read its link")

    @property
    def behind(self) -> bool:
        """Whether so much waits unread that only mail which must arrive may be added."""
        return self._transport is not None and self._transport.get_write_buffer_size() > BEHIND_BYTES

    def has_room(self, agents: int, given_bytes: int) -> bool:
        """Whether it holds fewer than that many agents, and was given fewer than that many bytes for them."""
        return len(self.agents) < agents and self.given_bytes < given_bytes

    def may_log(self, now_boot: int) -> bool:
        """Whether this second has room for one more line; a flood of them is dropped, not stored and not waited for."""
        if now_boot // 1000 != self.log_second:
            self.log_second, self.log_lines = now_boot // 1000, 0
        self.log_lines += 1
        return self.log_lines <= LOG_LINES_A_SECOND

    def violate(self, what: str) -> None:
        """A protocol error: the cell ends, and the words go to the ledger."""
        if not self.violation:
            self.violation = what[:300]
        self.kill(f"protocol violation: {self.violation}")

    def kill(self, reason: str, *, wanted: bool = False) -> None:
        """End the whole process namespace. The end is announced once the kernel confirms it."""
        self._because(reason, wanted)
        self.sandbox.kill()

    def leave(self, reason: str) -> None:
        """It was asked to end by itself: nobody is put into it any more."""
        self._because(reason, True)

    def _because(self, reason: str, wanted: bool) -> None:
        if not self.reason:
            self.reason = reason
            self.wanted = wanted

    async def _watch(self) -> None:
        end = await self.sandbox.wait()
        if self.state == "ended":
            return
        self.state = "ended"
        if self._transport is not None:
            self._transport.abort()
        how = f"signal {end.signal}" if end.signal else f"exit {end.code}"
        self.on_end(self, f"{self.reason} ({how})" if self.reason else how, self.wanted)
        self.page.close()
        for agent in list(self.leaving):
            self.let_go(agent)

    async def ended(self) -> int:
        """Wait for the kernel's word that nothing of it is left; how many processes that were, at least."""
        end = await self.sandbox.wait()
        if self._task is not None:
            await asyncio.wait([self._task])  # what is to be written of it has been
        return end.processes

    # --- what an order waits for --------------------------------------------------------------------------------

    def ending(self, why: str) -> Point:
        """The cell itself, which is being ended: the same point for every order."""
        if self._ending is None:
            name = f"{self.id}, pid {self.sandbox.pid}"
            self._ending = Point("cell", name, self.ended, lambda: self.kill(why, wanted=True))
        return self._ending

    def evicting(self, agent: bytes, name: str, now_boot: int) -> Point:
        """An agent that a shared cell was told to forget, until it says that it has, or is gone."""
        if agent not in self.leaving:
            self.leaving[agent] = (now_boot, asyncio.get_running_loop().create_future())
        let_go = self.leaving[agent][1]

        async def gone() -> int:
            return await asyncio.shield(let_go)

        return Point("turn", f"{name} in {self.id}", gone, lambda: self.kill("does not let go", wanted=True))

    def let_go(self, agent: bytes) -> None:
        """The cell's word that it forgot the agent: heeded only where it was told to."""
        _, told = self.leaving.pop(agent, (0, None))
        if told is not None and not told.done():
            told.set_result(0)

    def overdue(self, now_boot: int, limit_ms: int) -> list[bytes]:
        """The agents it was told to forget that long ago, and has not."""
        return [agent for agent, (since, _) in self.leaving.items() if now_boot - since >= limit_ms]
