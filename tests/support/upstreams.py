"""Real servers on loopback for what commands reach: each does one thing, and notes what it saw."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

WITHIN_S = 30.0


class Upstream:
    """Serves each connection by `serve` in a thread of its own. `seen`: what each connection sent first; `ended`: how many have
    ended.
    """

    def __init__(self, serve: Callable[[socket.socket, bytes], None]) -> None:
        self._serve = serve
        self.seen: list[bytes] = []
        self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(one,), daemon=True).start()

    def _one(self, one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            one.settimeout(WITHIN_S)
            first = one.recv(65536)
            self.seen.append(first)
            self._serve(one, first)
        self.ended += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def hello(one: socket.socket, first: bytes) -> None:
    """Answers every request with a few bytes and its own request line."""
    line = first.split(b"\r\n", 1)[0]
    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello %s" % (6 + len(line), line))


def echo(one: socket.socket, first: bytes) -> None:
    one.sendall(first)
    while data := one.recv(65536):
        one.sendall(data)


def silent(one: socket.socket, first: bytes) -> None:
    """Hears, and never answers."""
    while one.recv(65536):
        pass


def redirect(one: socket.socket, first: bytes) -> None:
    one.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"
    )


def swallow(one: socket.socket, first: bytes) -> None:
    """Reads a body of any size, and says how much it was."""
    head, _, body = first.partition(b"\r\n\r\n")
    want = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    got = len(body)
    while got < want and (data := one.recv(1 << 20)):
        got += len(data)
    text = b"%d" % got
    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


@contextlib.contextmanager
def upstream(serve: Callable[[socket.socket, bytes], None]) -> Iterator[Upstream]:
    server = Upstream(serve)
    try:
        yield server
    finally:
        server.close()
