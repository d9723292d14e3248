"""The cell's end of its one socket, without an event loop: reads while it writes, so neither side waits for the other."""

from __future__ import annotations

import _socket
import array
import os
import select

from queenright.errors import Malformed
from queenright.wire.frame import FrameReader, pack
from queenright.wire.link import Frame, decode, encode

__all__ = ["Link", "LinkClosed"]

_CHUNK = 256 * 1024
_DESCRIPTORS = 16  # that may come with the first frame: one a package
# What may wait to be written before agents are made to wait: a few of the largest frames.
HIGH_WATER = 16 * 1024 * 1024


class LinkClosed(Exception):
    """The supervisor is gone."""


class Link:
    """Frames over a non-blocking stream socket. Descriptors are taken only with the first bytes that come."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        os.set_blocking(descriptor, False)
        self._reader = FrameReader()
        self._out = bytearray()
        # Read into again and again: a new 256 KiB of bytes each time costs more in page faults than what comes is worth.
        self._chunk = memoryview(bytearray(_CHUNK))
        self._poll = select.poll()
        self._events = select.POLLIN
        self._poll.register(descriptor, self._events)
        # The C module: Python's `socket` around it costs a cell's start a tenth of what all its imports do.
        self._first: _socket.socket | None = _socket.socket(fileno=descriptor)
        self.descriptors: list[int] = []

    def send(self, frame: Frame) -> None:
        """Queue a frame; `pump` writes it. One that is too large for the link is a Malformed of whoever made it."""
        self._out += pack(encode(frame))

    @property
    def clogged(self) -> bool:
        """More waits to be written than agents may add to."""
        return len(self._out) > HIGH_WATER

    def pump(self, wait_ms: int | None) -> list[Frame]:
        """Write and read what can be, waiting for it at most that long (None: for ever). Raises LinkClosed, Malformed."""
        wanted = select.POLLIN
        if self._out:
            self._write()
            wanted |= select.POLLOUT if self._out else 0
        if wanted != self._events:
            self._events = wanted
            self._poll.modify(self._fd, wanted)
        events = self._poll.poll(wait_ms)
        if not events:
            return []
        if events[0][1] & select.POLLOUT:
            self._write()
        return self._read()

    def _write(self) -> None:
        while self._out:
            try:
                written = os.write(self._fd, self._out[:_CHUNK])
            except BlockingIOError:
                return
            except OSError as error:
                raise LinkClosed(str(error)) from None
            del self._out[:written]

    def _read(self) -> list[Frame]:
        try:
            length = self._read_first() if self._first is not None else os.readv(self._fd, [self._chunk])
        except BlockingIOError:
            return []
        except OSError as error:
            raise LinkClosed(str(error)) from None
        if not length:
            raise LinkClosed("the supervisor closed the link")
        return [decode(body) for body in self._reader.feed(self._chunk[:length])]

    def _read_first(self) -> int:
        """The first bytes, and the descriptors that come with them. Later ones stay in the kernel and are closed there."""
        assert self._first is not None
        descriptors = array.array("i")
        length, ancillary, flags, _ = self._first.recvmsg_into(
            [self._chunk],
            _socket.CMSG_SPACE(_DESCRIPTORS * descriptors.itemsize),
            _socket.MSG_CMSG_CLOEXEC,
        )
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        self.descriptors = list(descriptors)
        if flags & _socket.MSG_CTRUNC:
            raise Malformed(f"more than {_DESCRIPTORS} descriptors came with the first frame")
        self._first.detach()
        self._first = None
        return length

    def drain(self) -> None:
        """Write everything that waits, before leaving."""
        os.set_blocking(self._fd, True)
        try:
            while self._out:
                del self._out[: os.write(self._fd, self._out)]
        except OSError as error:
            raise LinkClosed(str(error)) from None
