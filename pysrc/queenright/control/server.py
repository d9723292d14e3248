"""The control socket: listening, and the bounds that all its clients share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from queenright.clock import Clock
from queenright.control.connection import Connection
from queenright.control.frames import to_frame
from queenright.control.hub import Hub
from queenright.control.place import check_private
from queenright.control.refusals import to_wire
from queenright.control.service import Gate, Peer, Service, Violation, ViolationSink
from queenright.control.session import Tokens
from queenright.errors import Conflict, Malformed, QueenrightError
from queenright.paths import SOCKET_LIMIT

__all__ = ["MAX_CALLS", "MAX_CLIENTS", "MAX_UNPROVED", "VIOLATIONS_PER_MINUTE", "Server"]

log = logging.getLogger("queenright.control")

MAX_CLIENTS = 64  # terminals, scripts and the TUI of every operator of one machine
MAX_UNPROVED = 16  # of them before a proof; one more, and the oldest of these is closed
MAX_CALLS = 1024  # running at once, those of clients that left included
VIOLATIONS_PER_MINUTE = 20  # ledger leaves about bad clients; what is beyond is counted into the next one
LEAVE_WITHIN_S = 5.0  # for clients to take their answers when the server closes
CALLS_END_WITHIN_S = 5.0  # for calls that still run then; the record shows what one that takes longer began
_MINUTE_MS = 60_000


class Server:
    """Listens on one Unix socket and serves `service` to whoever `gate` knows. For one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        service: Service,
        gate: Gate,
        hub: Hub,
        runtime: bytes,
        version: str,
        clock: Clock,
        rand: Callable[[int], bytes],
        violated: ViolationSink,
        uids: frozenset[int] | None = None,
    ) -> None:
        """`runtime`:

        the runtime's public key. `uids`: whose processes may connect at all (default: ours and root's).
        """
        self.path = path
        self.socket = os.path.realpath(path)
        length = len(os.fsencode(self.socket))
        if length > SOCKET_LIMIT:
            raise Malformed(f"socket path of {length} bytes is over the kernel's {SOCKET_LIMIT}: {path}")
        self.service = service
        self.gate = gate
        self.hub = hub
        self.runtime = runtime
        self.version = version
        self.clock = clock
        self.tokens = Tokens(clock, rand)
        self._rand = rand
        self._sink = violated
        self._uids = frozenset({os.geteuid(), 0}) if uids is None else uids
        self._server: asyncio.Server | None = None
        self._bound: tuple[int, int] | None = None
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._minute_ms = 0
        self._this_minute = 0
        self._untold = 0

    async def start(self) -> None:
        """Make the directory and the socket, and begin to accept.

        Raises Conflict if another supervisor answers there.
        """
        directory = self.path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(directory, 0o700)
        check_private(directory, frozenset({os.geteuid()}))
        self._take_over()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # The directory is 0700, so nobody else can reach the socket before its own mode is set.
            listening.bind(str(self.path))
            os.chmod(self.path, 0o600)
            listening.setblocking(False)
            self._server = await asyncio.start_unix_server(self._accepted, sock=listening)
        except BaseException:
            listening.close()
            raise
        found = os.stat(self.path)
        self._bound = (found.st_dev, found.st_ino)

    async def close(self) -> None:
        """Stop accepting, let answers that are ready go out, and remove the socket."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.close()
        if self._connections:
            await asyncio.wait(set(self._connections.values()), timeout=LEAVE_WITHIN_S)
        for task in self._connections.values():
            task.cancel()
        running = self._calls - {asyncio.current_task()}
        if running:
            await asyncio.wait(running, timeout=CALLS_END_WITHIN_S)
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(self.path)
            if (found.st_dev, found.st_ino) == self._bound:  # not one that a successor has already put there
                self.path.unlink()

    # --- what connections use ---

    def start_call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run one call to its end, whatever becomes of its client. Raises Conflict when too many run."""
        if len(self._calls) >= MAX_CALLS:
            work.close()
            raise Conflict(f"{MAX_CALLS} calls are running already", hint="try again in a moment")
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def violated(self, violation: Violation) -> None:
        """Pass a violation on, or count it when this minute's share of ledger leaves is used up."""
        now = self.clock.boot_ms()
        if now - self._minute_ms >= _MINUTE_MS:
            self._minute_ms, self._this_minute = now, 0
        log.warning(
            "control client refused: %s (connection %d, pid %d, uid %d)",
            violation.what,
            violation.connection,
            violation.peer.pid,
            violation.peer.uid,
        )
        if self._this_minute >= VIOLATIONS_PER_MINUTE:
            self._untold += 1
            return
        self._this_minute += 1
        if self._untold:
            violation = replace(
                violation, what=f"{violation.what}; {self._untold} more were not recorded one by one"
            )
            self._untold = 0
        task = asyncio.ensure_future(self._record(violation))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _record(self, violation: Violation) -> None:
        try:
            await self._sink(violation)
        except Exception as error:
            log.error("a control violation could not be recorded: %s", type(error).__name__)

    # --- accepting ---

    def _take_over(self) -> None:
        """Remove the socket of a supervisor that is gone; refuse while one still answers."""
        if not os.path.lexists(self.path):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                self.path.unlink(missing_ok=True)
                return
        raise Conflict(
            f"a supervisor already answers at {self.path}", hint="stop it first: `queenright down`"
        )

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._numbers += 1
        peer = _peer(writer.get_extra_info("socket"))
        refusal = self._no_place(peer)
        if refusal is not None:
            if peer.uid not in self._uids:
                self.violated(Violation(self._numbers, peer, "", refusal.message))
            writer.write(to_frame({"t": "bye", "error": to_wire(refusal)}))
            writer.close()
            return
        connection = Connection(self, self._numbers, peer, self._rand(32), reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.run()
        finally:
            del self._connections[connection]

    def _no_place(self, peer: Peer) -> QueenrightError | None:
        if peer.uid not in self._uids:
            return QueenrightError(f"uid {peer.uid} may not use this control socket")
        strangers = [connection for connection in self._connections if not connection.proved]
        if len(strangers) >= MAX_UNPROVED:
            # The oldest makes room: whoever holds no key must not be able to keep out an operator who wants to stop
            # something, and an operator proves a key within milliseconds.
            strangers[0].evict()
        elif len(self._connections) >= MAX_CLIENTS:
            return Conflict("too many clients are connected", hint="close one, or try again in a moment")
        return None


def _peer(sock: Any) -> Peer:
    return Peer(
        *struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    )
