"""Frames between the supervisor and an executor: u32 big-endian length, then one canonical map. Both
sides trust.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from queenright.core import canonical, decode
from queenright.errors import Malformed

__all__ = ["LENGTH", "MAX_FRAME", "Closed", "decoded", "encode", "frame_size", "receive_now", "send_now"]

MAX_FRAME = 48 << 20
"""A pre-image of the largest file (16 MiB) twice, and room."""

LENGTH = struct.Struct(">I")


class Closed(Exception):
    """The other side is gone."""


def encode(message: dict[str, Any]) -> bytes:
    data = canonical(message)
    if len(data) > MAX_FRAME:
        raise Malformed(f"a frame of {len(data)} bytes; at most {MAX_FRAME}")
    return LENGTH.pack(len(data)) + data


def frame_size(head: bytes) -> int:
    size: int = LENGTH.unpack(head)[0]
    if size > MAX_FRAME:
        raise Malformed(f"a frame of {size} bytes; at most {MAX_FRAME}")
    return size


def decoded(data: bytes) -> dict[str, Any]:
    message = decode(data)
    if not isinstance(message, dict):
        raise Malformed("a frame is not a map")
    return message


def send_now(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one frame. Raises `Closed`."""
    try:
        channel.sendall(encode(message))
    except OSError as error:
        raise Closed from error


def receive_now(channel: socket.socket) -> dict[str, Any]:
    """The next frame. Raises `Closed`, `Malformed`."""
    return decoded(_exactly_now(channel, frame_size(_exactly_now(channel, LENGTH.size))))


def _exactly_now(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = channel.recv(min(size - len(parts), 1 << 20))
        except OSError as error:
            raise Closed from error
        if not part:
            raise Closed
        parts += part
    return bytes(parts)
