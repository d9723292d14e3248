"""Length-prefixed frames: u32 big-endian length, then that many bytes. Used on the cell link and the control socket."""

from __future__ import annotations

from queenright.errors import Malformed

__all__ = ["MAX_FRAME", "FrameReader", "pack"]

# A turn's state is at most 1 MiB and a step result 64 KiB; 4 MiB holds the largest record with room, and bounds
# what one peer can make the other buffer.
MAX_FRAME = 4 * 1024 * 1024


def pack(body: bytes) -> bytes:
    """One frame around `body`. Raises Malformed above MAX_FRAME."""
    if len(body) > MAX_FRAME:
        raise Malformed(
            f"frame of {len(body)} bytes is over the limit of {MAX_FRAME}", hint="send it in parts"
        )
    return len(body).to_bytes(4, "big") + body


class FrameReader:
    """Cuts a byte stream into frame bodies. Holds at most one frame and the chunk fed last."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, chunk: bytes | memoryview) -> list[bytes]:
        """The bodies completed by `chunk`. Raises Malformed on a length over the limit, before buffering it."""
        self._buffer += chunk
        bodies: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= 4:
            length = int.from_bytes(self._buffer[start : start + 4], "big")
            if length > self._limit:
                raise Malformed(f"frame of {length} bytes is over the limit of {self._limit}")
            if len(self._buffer) - start - 4 < length:
                break
            with memoryview(self._buffer) as view:
                bodies.append(bytes(view[start + 4 : start + 4 + length]))
            start += 4 + length
        del self._buffer[:start]
        return bodies
