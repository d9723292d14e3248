"""The asyncio client: what the terminal uses. Calls overlap, events stream, a lost connection is dialled
again.

A slow reader of `events` is treated as the supervisor treats a slow client: its queue becomes one `resync`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from queenright.clock import Clock, SystemClock
from queenright.control.dial import (
    Hello,
    Session,
    call_frame,
    key_proof,
    reach,
    read_event,
    read_hello,
    read_session,
    result,
    sign_order,
    token_proof,
)
from queenright.control.frames import to_frame, to_map
from queenright.control.hub import MAX_QUEUED
from queenright.control.methods import METHODS, Need
from queenright.control.operator_key import Signer
from queenright.control.protocol import Event, Login
from queenright.control.refusals import from_wire
from queenright.errors import Malformed, NoSupervisor, NotEntitled, QueenrightError, TimedOut
from queenright.wire.frame import MAX_FRAME

__all__ = ["AsyncClient"]

GREET_WITHIN_S = 5.0
ANSWER_WITHIN_S = 60.0
FIRST_DELAY_S, LAST_DELAY_S = 0.1, 2.0  # between tries of `reconnect`


class AsyncClient:
    """One connection at a time to a supervisor, for one event loop."""

    def __init__(
        self, path: Path, *, clock: Clock | None = None, rand: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._rand = rand
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._topics: list[str] = []
        self._login: Login | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._reading: asyncio.Task[None] | None = None
        self._hello: Hello | None = None
        self.signer: Signer | None = None
        self.session: Session | None = None
        self.signer_again: Callable[[], Signer] | None = None
        """Gives the session's key when a login has ended (a restart ends them all), for `reconnect` to prove it anew."""

    @property
    def hello(self) -> Hello:
        """The greeting. Raises NoSupervisor before `connect`."""
        if self._hello is None:
            raise NoSupervisor(f"not connected to {self._path}")
        return self._hello

    @property
    def connected(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def connect(self) -> Hello:
        """Dial and read the greeting. Raises NoSupervisor or QueenrightError."""
        sock = reach(self._path)
        sock.setblocking(False)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=sock)
        self._hello = read_hello(await self._due(), self._path, self._clock)
        return self._hello

    async def enrolled(self, key_lines: Sequence[str]) -> list[str]:
        """Which of these public keys the supervisor knows. Only before a proof."""
        await self._send({"t": "offer", "keys": list(key_lines)})
        answer = await self._due()
        if answer["t"] != "enrolled":
            raise from_wire(answer.get("error"))
        return [line for line in answer.get("keys", []) if line in key_lines]

    async def prove(self, signer: Signer) -> Session:
        """Prove an operator's key, begin to read, and take a login so that a lost connection needs no new
        signature.

        The key is not kept for orders: that is `arm`. Raises NotEntitled or InvalidSignature.
        """
        # A signature may wait for a touch: not on the event loop.
        frame = await asyncio.to_thread(key_proof, self.hello, signer)
        await self._prove(frame)
        self._login = await self.call("login")
        assert self.session is not None
        return self.session

    async def prove_login(self, login: Login) -> Session:
        """Prove a login token: reading and taking away. Raises NotEntitled or InvalidSignature."""
        await self._prove(token_proof(self.hello, login))
        self._login = login
        assert self.session is not None
        return self.session

    def arm(self, signer: Signer) -> None:
        """Keep a key for orders until `disarm`. It must be the key of the session. Raises NotEntitled."""
        if self.session is None or signer.key.fingerprint != self.session.fingerprint:
            raise NotEntitled(
                "that is not the key of this session", hint="connect with the key you want to use"
            )
        self.signer = signer

    def disarm(self) -> None:
        """Let go of the key, and wipe it if it was held here."""
        if self.signer is not None:
            self.signer.close()
            self.signer = None

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method; one that gives something is signed with the armed key.

        Raises what the supervisor refused.
        """
        given = {name: value for name, value in params.items() if value is not None}
        order = None
        if method in METHODS and METHODS[method].need is Need.ORDER:
            revision = (await self.call("status"))["policy_revision"]
            order = await asyncio.to_thread(
                sign_order,
                self.hello,
                self.signer,
                method,
                given,
                policy_revision=revision,
                clock=self._clock,
                rand=self._rand,
            )
        number = self._number()
        return result(await self._ask(number, call_frame(number, method, given, order)))

    async def watch(self, topics: Sequence[str]) -> None:
        """Have exactly these topics from now on. Raises Malformed."""
        number = self._number()
        result(await self._ask(number, {"t": "watch", "id": number, "topics": list(topics)}))
        self._topics = list(topics)

    async def events(self) -> AsyncIterator[Event]:
        """Events as they come. Ends when the connection is lost or closed; `reconnect` and iterate again."""
        while True:
            event = await self._events.get()
            if event is None:
                return
            yield event

    async def reconnect(
        self, patience_s: float, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> Hello:
        """Dial until it answers or `patience_s` of waiting is used up; prove the login and watch as before.

        A `resync` event over the watched topics follows. Raises NoSupervisor, or NotEntitled if the login
        has ended.
        """
        waited, delay = 0.0, FIRST_DELAY_S
        while True:
            try:
                await self._drop()
                hello = await self.connect()
                break
            except NoSupervisor:
                if waited >= patience_s:
                    raise
                await sleep(delay)
                waited, delay = waited + delay, min(2 * delay, LAST_DELAY_S)
        if self._login is None:
            return hello
        try:
            await self.prove_login(self._login)
        except NotEntitled:
            if self.signer_again is None:
                raise
            await self._drop()
            hello = await self.connect()
            await self.prove(await asyncio.to_thread(self.signer_again))
        if self._topics:
            await self.watch(self._topics)
            self._resync()
        return hello

    async def close(self) -> None:
        """Detach. Whatever runs goes on."""
        self.disarm()
        await self._drop()

    # --- frames ---

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _prove(self, frame: dict[str, Any]) -> None:
        await self._send(frame)
        self.session = read_session(await self._due())
        self._events = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _ask(self, number: int, frame: dict[str, Any]) -> dict[str, Any]:
        if self._reading is None:  # not proved: answers are read here, one at a time
            await self._send(frame)
            return await self._due()
        if self._reading.done():
            raise NoSupervisor("the connection is lost", hint="`queenright health`")
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self._send(frame)
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await answer
        except TimeoutError:
            raise TimedOut("the supervisor did not answer in time", hint="`queenright doctor`") from None
        finally:
            self._waiting.pop(number, None)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None:
            raise NoSupervisor(f"not connected to {self._path}")
        try:
            self._writer.write(to_frame(message))
            await self._writer.drain()
        except ConnectionError:
            pass  # it said goodbye: the reason is there to be read

    async def _due(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(GREET_WITHIN_S):
                return await self._frame()
        except TimeoutError:
            raise TimedOut("the supervisor did not answer in time", hint="`queenright doctor`") from None

    async def _frame(self) -> dict[str, Any]:
        if self._reader is None:
            raise NoSupervisor(f"not connected to {self._path}")
        try:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > MAX_FRAME:
                raise Malformed(f"the supervisor sent a frame of {length} bytes")
            return to_map(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            raise NoSupervisor("the supervisor closed the connection", hint="`queenright health`") from None

    async def _read(self) -> None:
        reason: QueenrightError = NoSupervisor("the connection is lost", hint="`queenright health`")
        try:
            while True:
                message = await self._frame()
                match message["t"]:
                    case "answer" if (answer := self._waiting.get(message.get("id", -1))) is not None:
                        if not answer.done():
                            answer.set_result(message)
                    case "event":
                        self._take(read_event(message))
                    case "bye":
                        reason = from_wire(message.get("error"))
                        return
        except QueenrightError as error:
            reason = error
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(reason)
            self._events.put_nowait(None)

    def _take(self, event: Event) -> None:
        if self._events.qsize() >= MAX_QUEUED:
            self._resync()
        else:
            self._events.put_nowait(event)

    def _resync(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait({"topic": "resync", "seq": 0, "data": {"topics": sorted(self._topics)}})

    async def _drop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._reader = None
