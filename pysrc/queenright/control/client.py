"""The blocking client:

what the command line, scripts and the demo use. `async_client` is its asyncio twin.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from queenright.clock import Clock, SystemClock
from queenright.control.async_client import AsyncClient
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
from queenright.control.methods import METHODS, Need
from queenright.control.operator_key import Signer
from queenright.control.protocol import Event, Login
from queenright.errors import Malformed, NoSupervisor, TimedOut
from queenright.wire.frame import FrameReader

__all__ = ["AsyncClient", "Client"]

ANSWER_WITHIN_S = 60.0  # an undo walks many actions; everything else answers at once


class Client:
    """One connection to a supervisor. Not for several threads at once."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        rand: Callable[[int], bytes] = os.urandom,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> None:
        """Connect to the socket at `path` and read the greeting. Raises NoSupervisor or QueenrightError."""
        self._clock = clock or SystemClock()
        self._rand = rand
        self._numbers = 0
        self._reader = FrameReader()
        self._frames: deque[dict[str, Any]] = deque()
        self._events: deque[Event] = deque()
        self._path = path
        self._socket = reach(path)
        self._socket.settimeout(timeout_s)
        self.signer: Signer | None = None
        self.session: Session | None = None
        try:
            self.hello: Hello = read_hello(self._receive(), path, self._clock)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave. Whatever runs goes on."""
        self._socket.close()

    def enrolled(self, key_lines: Sequence[str]) -> list[str]:
        """Which of these public keys the supervisor knows."""
        self._send({"t": "offer", "keys": list(key_lines)})
        answer = self._receive_type("enrolled")
        return [line for line in answer.get("keys", []) if line in key_lines]

    def prove(self, signer: Signer) -> Session:
        """Prove an operator's key, and keep it for orders. Raises NotEntitled or InvalidSignature."""
        self._send(key_proof(self.hello, signer))
        self.session = read_session(self._receive())
        self.signer = signer
        return self.session

    def prove_login(self, login: Login) -> Session:
        """Prove a login token: reading and taking away. Raises NotEntitled or InvalidSignature."""
        self._send(token_proof(self.hello, login))
        self.session = read_session(self._receive())
        return self.session

    def call(self, method: str, **params: Any) -> Any:
        """Call a method; one that gives something is signed with the key proved here.

        Raises what the supervisor refused.
        """
        given = {name: value for name, value in params.items() if value is not None}
        order = None
        if method in METHODS and METHODS[method].need is Need.ORDER:
            revision = self.call("status")["policy_revision"]
            order = sign_order(
                self.hello,
                self.signer,
                method,
                given,
                policy_revision=revision,
                clock=self._clock,
                rand=self._rand,
            )
        self._numbers += 1
        self._send(call_frame(self._numbers, method, given, order))
        return result(self._answer(self._numbers))

    def watch(self, topics: Sequence[str], *, idle_s: float | None = None) -> Iterator[Event]:
        """Events of these topics, as they come; a `resync` means:

        list again. Ends after `idle_s` without one.
        """
        self._numbers += 1
        self._send({"t": "watch", "id": self._numbers, "topics": list(topics)})
        result(self._answer(self._numbers))
        return self._stream(idle_s)

    def _stream(self, idle_s: float | None) -> Iterator[Event]:
        before = self._socket.gettimeout()
        try:
            self._socket.settimeout(idle_s)
            while True:
                while self._events:
                    yield self._events.popleft()
                try:
                    self._sort(self._receive())
                except TimedOut:
                    return
        finally:
            with contextlib.suppress(OSError):  # the client may have been closed meanwhile
                self._socket.settimeout(before)

    # --- frames ---

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.sendall(to_frame(message))
        except TimeoutError:
            raise TimedOut("the supervisor does not read", hint="`queenright doctor`") from None
        except (BrokenPipeError, ConnectionError):
            pass  # it said goodbye: the reason is there to be read
        except OSError as error:
            raise NoSupervisor(
                f"the supervisor went away: {error.strerror}", hint="`queenright health`"
            ) from None

    def _receive(self) -> dict[str, Any]:
        while not self._frames:
            try:
                chunk = self._socket.recv(65536)
            except TimeoutError:
                raise TimedOut("the supervisor did not answer in time", hint="`queenright doctor`") from None
            except OSError as error:
                raise NoSupervisor(f"the supervisor went away: {error}", hint="`queenright health`") from None
            if not chunk:
                raise NoSupervisor("the supervisor closed the connection", hint="`queenright health`")
            self._frames.extend(to_map(body) for body in self._reader.feed(chunk))
        return self._frames.popleft()

    def _receive_type(self, kind: str) -> dict[str, Any]:
        message = self._receive()
        if message["t"] == "bye":
            result({"ok": False, "error": message.get("error")})
        if message["t"] != kind:
            raise Malformed(f"the supervisor sent `{message['t']}` where `{kind}` was due")
        return message

    def _answer(self, number: int) -> dict[str, Any]:
        while True:
            message = self._receive()
            if message["t"] == "answer" and message.get("id") == number:
                return message
            self._sort(message)

    def _sort(self, message: dict[str, Any]) -> None:
        if message["t"] == "event":
            self._events.append(read_event(message))
        elif message["t"] == "bye":
            result({"ok": False, "error": message.get("error")})
