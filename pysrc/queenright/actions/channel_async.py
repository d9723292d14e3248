"""The supervisor's side of `channel`, which never blocks its loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from queenright.actions.channel import LENGTH, Closed, decoded, encode, frame_size

__all__ = ["receive", "send"]


async def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one frame. Raises `Closed`."""
    try:
        await asyncio.get_running_loop().sock_sendall(channel, encode(message))
    except OSError as error:
        raise Closed from error


async def receive(channel: socket.socket) -> dict[str, Any]:
    """The next frame. Raises `Closed`, `Malformed`."""
    return decoded(await _exactly(channel, frame_size(await _exactly(channel, LENGTH.size))))


async def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = await asyncio.get_running_loop().sock_recv(channel, min(size - len(parts), 1 << 20))
        except OSError as error:
            raise Closed from error
        if not part:
            raise Closed
        parts += part
    return bytes(parts)
