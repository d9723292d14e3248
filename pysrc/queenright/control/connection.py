"""One client of the control socket, from the greeting to the close.

Everything a client can do wrong ends here: it gets an error, its own connection is closed, and a
`Violation` says what it was. Nothing it does, or fails to do, makes another client or the supervisor wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from queenright.clock import Clock
from queenright.control.frames import check_params, read_request, to_frame
from queenright.control.hub import Hub, Subscription
from queenright.control.protocol import VERSION
from queenright.control.refusals import to_wire
from queenright.control.service import Gate, Peer, Service, Violation
from queenright.control.session import Tokens
from queenright.control.standing import Standing
from queenright.errors import Conflict, Locked, Malformed, NotEntitled, QueenrightError
from queenright.wire.frame import MAX_FRAME

__all__ = ["Connection", "Host"]

log = logging.getLogger("queenright.control")

FIRST_FRAME = 128 * 1024  # before a key is proved: an offer of 64 key lines of at most 2 KiB
PROVE_WITHIN_S = 60.0  # a person may have to type a passphrase or touch a key
FRAME_WITHIN_S = 30.0  # a frame that began must end, and what is written be taken, in this time
LAST_WORD_S = 1.0  # for the refusal to leave before the close
TRACE_FRAMES = 6  # of the log line about a call that failed by our own fault
IN_FLIGHT = 8  # frames of one client at a time; the next is not read until one is answered


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-TRACE_FRAMES:]
    return " < ".join(
        f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )


class Host(Protocol):
    """What a connection needs of its server."""

    version: str
    runtime: bytes
    socket: str
    service: Service
    gate: Gate
    hub: Hub
    tokens: Tokens
    clock: Clock

    def start_call(self, work: Coroutine[Any, Any, None]) -> None: ...

    def violated(self, violation: Violation) -> None: ...


class Connection:
    """One accepted client."""

    def __init__(
        self,
        host: Host,
        number: int,
        peer: Peer,
        nonce: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._host = host
        self._number = number
        self._peer = peer
        self._nonce = nonce
        self._reader = reader
        self._writer = writer
        self._ready = asyncio.Event()
        self._watching = Subscription(self._ready)
        self._outgoing: deque[tuple[bytes, bool]] = deque()  # a frame, and whether it gives a slot back
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._closing = False
        self._standing = Standing(
            host.gate,
            host.tokens,
            host.clock,
            runtime=host.runtime,
            nonce=nonce,
            socket=host.socket,
            peer=peer,
            connection=number,
        )

    @property
    def proved(self) -> bool:
        return self._standing.proved

    async def run(self) -> None:
        """Serve until the client leaves or breaks a rule, or `close` is called."""
        host = self._host
        self._say(
            {
                "t": "hello",
                "v": VERSION,
                "version": host.version,
                "runtime": host.runtime,
                "nonce": self._nonce,
            }
            | {"socket": host.socket, "now_ms": host.clock.wall_ms(), "locked": host.service.locked()}
        )
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            self.close()
            await asyncio.wait({writing}, timeout=LAST_WORD_S)
        finally:
            host.hub.leave(self._watching)
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            self._writer.close()

    def close(self) -> None:
        """End once what is already answered has been written."""
        self._closing = True
        self._ready.set()

    def evict(self) -> None:
        """End to make room for another. It proved nothing."""
        self._say(
            {"t": "bye", "error": to_wire(Conflict("others wait to prove a key", hint="connect again"))}
        )
        self.close()

    # --- reading ---

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(PROVE_WITHIN_S) as patience:
                while not self._closing:
                    await self._slots.acquire()
                    self._request(read_request(await self._frame()))
                    if self._standing.proved:
                        patience.reschedule(None)
        except TimeoutError:
            self._refuse(
                Malformed("no key was proved, or a frame not finished, in time", hint="connect again")
            )
        except QueenrightError as error:
            self._refuse(error)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it left

    async def _frame(self) -> bytes:
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        limit = MAX_FRAME if self._standing.proved else FIRST_FRAME
        if length > limit:
            raise Malformed(f"frame of {length} bytes is over the limit of {limit}")
        async with asyncio.timeout(FRAME_WITHIN_S):
            return await self._reader.readexactly(length)

    def _request(self, message: dict[str, Any]) -> None:
        """Begin the answer of one frame. Raises what ends the connection."""
        match message["t"]:
            case "offer":
                known = [line for line in message["keys"] if self._standing.enrolled(line)]
                self._say({"t": "enrolled", "keys": known}, slot=True)
            case "prove":
                self._say(self._standing.prove_key(message["key"], message["signature"]), slot=True)
            case "token":
                self._say(self._standing.prove_token(message["id"], message["proof"]), slot=True)
            case "watch":
                self._host.start_call(self._answer(message["id"], self._watch(message["topics"])))
            case _:
                self._host.start_call(self._answer(message["id"], self._call(message)))

    def _refuse(self, error: QueenrightError) -> None:
        """Tell the client why, record it, and close."""
        self._say({"t": "bye", "error": to_wire(error)})
        self._report(error.message)
        self.close()

    def _report(self, what: str) -> None:
        self._host.violated(Violation(self._number, self._peer, self._standing.name, what))

    # --- calls: they run to their end even if the client leaves, so that no act stops half-way ---

    async def _answer(self, number: int, work: Coroutine[Any, Any, Any]) -> None:
        try:
            frame = to_frame({"t": "answer", "id": number, "ok": True, "result": await work})
        except QueenrightError as error:
            frame = to_frame({"t": "answer", "id": number, "ok": False, "error": to_wire(error)})
        except Exception as error:
            # Our own fault: the client learns that it failed, the log learns where. Not what the exception says: that
            # may hold what the client sent.
            log.error("a control call failed: %s at %s", type(error).__name__, _where(error))
            failed = QueenrightError("the supervisor failed on this call", hint="see `queenright logs`")
            frame = to_frame({"t": "answer", "id": number, "ok": False, "error": to_wire(failed)})
        self._outgoing.append((frame, True))
        self._ready.set()

    async def _call(self, message: dict[str, Any]) -> Any:
        name = message["method"]
        params = {key: value for key, value in message["params"].items() if value is not None}
        method = check_params(name, params)
        if not method.locked and self._host.service.locked():
            raise Locked("the supervisor has no master key yet", hint="give it one: `queenright unlock`")
        try:
            caller = await self._standing.admit(method, params, message["order"], message["signature"])
        except QueenrightError as error:
            self._report(f"call of `{name}` refused: {error.code}")
            raise
        if name == "whoami":
            return self._standing.whoami()
        if name == "login":
            return self._host.tokens.issue(self._standing.present().key_line)
        if name == "logout":
            return {"ended": self._host.tokens.end_all(self._standing.present().key_line)}
        return await getattr(self._host.service, name)(caller, **params)

    async def _watch(self, topics: list[str]) -> dict[str, int]:
        self._standing.present()
        self._host.hub.watch(self._watching, topics)
        return {"seq": self._watching.seq}

    # --- writing ---

    def _say(self, message: dict[str, Any], *, slot: bool = False) -> None:
        self._outgoing.append((to_frame(message), slot))
        self._ready.set()

    async def _write(self) -> None:
        try:
            while not (self._closing and not self._outgoing):
                await self._ready.wait()
                self._ready.clear()
                await self._write_answers()
                if not self._closing:
                    await self._write_events()
        except (ConnectionError, TimeoutError):
            pass  # it left, or would not read

    async def _write_answers(self) -> None:
        while self._outgoing:
            frame, slot = self._outgoing.popleft()
            await self._put(frame)
            if slot:
                self._slots.release()

    async def _write_events(self) -> None:
        events = self._watching.take()
        if not events:
            return
        try:
            self._standing.present()
        except NotEntitled as error:
            self._say({"t": "bye", "error": to_wire(error)})
            self.close()
            return
        for event in events:
            await self._put(to_frame({"t": "event", **event}))
            if self._outgoing:
                await self._write_answers()  # an answer never waits behind a long list of events

    async def _put(self, frame: bytes) -> None:
        self._writer.write(frame)
        async with asyncio.timeout(FRAME_WITHIN_S):
            await self._writer.drain()
