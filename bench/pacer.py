"""An open loop for peers: writes 16-byte frames (agent u64, intended wall time u64, little-endian) to a Unix socket, each at
its time whether or not the one before was handled. Ours gets the same messages, at the same times, as frames of its link.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

from bench.work import START_IN_S, pick, until

__all__ = ["Pacer"]

READY_WITHIN_S = 300.0
_FRAME = struct.Struct("<QQ")


class Pacer:
    """Listens at `path`; `run` serves the one contestant that connects, once it has said that it is ready."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(READY_WITHIN_S)

    def run(self, *, agents: int, count: int, rate: int) -> None:
        """Raises TimeoutError if nobody connects, ConnectionError if who connected leaves before the end."""
        link, _ = self._listener.accept()
        with link:
            link.settimeout(READY_WITHIN_S)
            if link.recv(1) != b"r":
                raise ConnectionError("the contestant left before it was ready")
            start, gap = time.time_ns() + int(START_IN_S * 1e9), 1_000_000_000 // rate
            for turn in range(count):
                frame = _FRAME.pack(pick(turn, agents), start + turn * gap)
                until(start + turn * gap)
                link.sendall(frame)

    def close(self) -> None:
        self._listener.close()
