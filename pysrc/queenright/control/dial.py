"""What a client says and checks, without the socket: shared by the blocking and the asyncio client."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queenright.authority.document import ORDER
from queenright.clock import Clock
from queenright.control.frames import check_params
from queenright.control.methods import Need
from queenright.control.operator_key import Signer
from queenright.control.orders import ORDER_LIFE_MS, order_bytes
from queenright.control.place import check_private
from queenright.control.protocol import (
    SESSION_NAMESPACE,
    VERSION,
    Event,
    Login,
    session_bytes,
    token_bytes,
)
from queenright.control.refusals import from_wire
from queenright.control.session import prove_token
from queenright.errors import Malformed, NoSupervisor, NotEntitled, QueenrightError

__all__ = [
    "Hello",
    "Session",
    "call_frame",
    "key_proof",
    "reach",
    "read_event",
    "read_hello",
    "read_session",
    "result",
    "sign_order",
    "token_proof",
]


@dataclass(frozen=True, slots=True)
class Hello:
    """The supervisor's greeting. `skew_ms`: how far its wall clock is ahead of ours."""

    version: str
    runtime: bytes
    nonce: bytes
    socket: str
    locked: bool
    skew_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """What the supervisor accepted."""

    operator: str
    fingerprint: str
    level: str
    expires_ms: int | None


def reach(path: Path) -> socket.socket:
    """A blocking socket connected to the supervisor at `path`.

    Raises NoSupervisor, or QueenrightError for a bad place.
    """
    try:
        check_private(path.parent, frozenset({os.geteuid(), 0}))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.connect(str(path))
        except BaseException:
            sock.close()
            raise
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NoSupervisor(f"no supervisor answers at {path}", hint="start it: `queenright up`") from None
    except OSError as error:
        raise NoSupervisor(f"cannot reach {path}: {error.strerror}", hint="`queenright paths`") from None
    _check_end(sock, path)
    return sock


def _check_end(sock: socket.socket, path: Path) -> None:
    """Raise QueenrightError if the kernel says that somebody else's process listens there."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (os.geteuid(), 0, os.stat(path).st_uid):
        sock.close()
        raise QueenrightError(f"the process at {path} runs as uid {uid}, not as the owner of the socket")


def read_hello(message: Mapping[str, Any], path: Path, clock: Clock) -> Hello:
    """The greeting, checked. Raises Malformed, or the refusal the supervisor sent instead."""
    if message.get("t") == "bye":
        raise from_wire(message.get("error"))
    shape = {"version": str, "runtime": bytes, "nonce": bytes, "socket": str, "locked": bool, "now_ms": int}
    if message.get("t") != "hello" or message.get("v") != VERSION:
        raise Malformed(f"what answers at {path} does not speak version {VERSION} of the control protocol")
    if any(type(message.get(name)) is not kind for name, kind in shape.items()):
        raise Malformed(f"the greeting at {path} is not complete")
    dialled = os.path.realpath(path)
    if message["socket"] != dialled:
        # Somebody passes our words on to a supervisor that listens elsewhere: sign nothing.
        raise NotEntitled(
            f"the supervisor at {dialled} says that it listens elsewhere", hint="`queenright paths`"
        )
    facts = {name: message[name] for name in ("version", "runtime", "nonce", "socket", "locked")}
    return Hello(**facts, skew_ms=message["now_ms"] - clock.wall_ms())


def key_proof(hello: Hello, signer: Signer) -> dict[str, Any]:
    """The frame that proves an operator's key."""
    message = session_bytes(hello.runtime, hello.nonce, hello.socket)
    return {"t": "prove", "key": signer.key.line, "signature": signer.sign(SESSION_NAMESPACE, message)}


def token_proof(hello: Hello, login: Login) -> dict[str, Any]:
    """The frame that proves a login token without sending it."""
    message = token_bytes(hello.runtime, hello.nonce, hello.socket)
    return {"t": "token", "id": login["id"], "proof": prove_token(login["secret"], message)}


def read_session(message: Mapping[str, Any]) -> Session:
    """What answered a proof. Raises the refusal the supervisor sent, or Malformed."""
    if message.get("t") == "bye":
        raise from_wire(message.get("error"))
    texts = all(isinstance(message.get(name), str) for name in ("operator", "fingerprint", "level"))
    if message.get("t") != "session" or not texts or not isinstance(message.get("expires_ms"), int | None):
        raise Malformed("the supervisor did not answer the proof of a key")
    return Session(**{name: message[name] for name in ("operator", "fingerprint", "level", "expires_ms")})


def sign_order(
    hello: Hello,
    signer: Signer | None,
    method: str,
    params: dict[str, Any],
    *,
    policy_revision: bytes,
    clock: Clock,
    rand: Callable[[int], bytes],
) -> tuple[bytes, str]:
    """An order for this call, and its signature. Raises NotEntitled without a key."""
    if signer is None:
        raise NotEntitled(
            f"`{method}` gives something: it needs your key", hint="pass --key, or load ssh-agent"
        )
    order = order_bytes(
        runtime=hello.runtime,
        method=method,
        params=params,
        policy_revision=policy_revision,
        not_after=clock.wall_ms() + hello.skew_ms + ORDER_LIFE_MS,
        rand=rand,
    )
    return order, signer.sign(ORDER, order)


def call_frame(
    number: int, method: str, params: dict[str, Any], order: tuple[bytes, str] | None = None
) -> dict[str, Any]:
    """The frame of one call. Raises Malformed for parameters that the method does not have."""
    found = check_params(method, params)
    if (order is not None) != (found.need is Need.ORDER):
        raise Malformed(f"method `{method}` {'needs' if order is None else 'takes no'} order")
    signed = order or (None, None)
    frame = {"t": "call", "id": number, "method": method, "params": params}
    return frame | {"order": signed[0], "signature": signed[1]}


def read_event(message: Mapping[str, Any]) -> Event:
    """One event of a watch. Raises Malformed."""
    topic, seq, data = (message.get(name) for name in ("topic", "seq", "data"))
    if not isinstance(topic, str) or not isinstance(seq, int) or not isinstance(data, dict):
        raise Malformed("the supervisor sent an event that is none")
    return {"topic": topic, "seq": seq, "data": data}


def result(message: Mapping[str, Any]) -> Any:
    """The result in an answer. Raises the refusal it holds."""
    if message.get("ok") is True:
        return message.get("result")
    raise from_wire(message.get("error"))
