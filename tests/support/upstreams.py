"""Real servers on loopback for what commands reach: each does one thing, and notes what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acting_world import ActingWorld

from queenright.actions.act import Done

WITHIN_S = 30.0

TOOLS = [f"/usr/bin/{name}" for name in ("curl", "git", "openssl", "python3")]
"""What commands in a sandbox use here: it shows the machine's /usr, and nothing else of its programs."""

TO_LOOPBACK = """
[[allow]]
do = ["net.private"]
on = "addr:127/0/0/1"

[[allow]]
do = ["net.private"]
on = "addr6:**"
"""
"""Rules without which nothing here is reached: `localhost` is both."""

with_tools = pytest.mark.skipif(
    not all(map(os.path.exists, TOOLS)),
    reason=f"needs {', '.join(path for path in TOOLS if not os.path.exists(path))}",
)


class Upstream:
    """Serves each connection by `serve` in a thread of its own. `seen`: what each connection sent first; `ended`: how many have
    ended.
    """

    def __init__(
        self, serve: Callable[[socket.socket, bytes], None], context: ssl.SSLContext | None = None
    ) -> None:
        self._serve = serve
        self._context = context
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
            if self._context is not None:
                one = self._context.wrap_socket(one, server_side=True)
            first = one.recv(65536)
            self.seen.append(first)
            self._serve(one, first)
            if isinstance(one, ssl.SSLSocket):
                one.unwrap()
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
def upstream(
    serve: Callable[[socket.socket, bytes], None], context: ssl.SSLContext | None = None
) -> Iterator[Upstream]:
    server = Upstream(serve, context)
    try:
        yield server
    finally:
        server.close()


def make_authority(folder: Path, name: str = "ca") -> Path:
    """A certificate authority of a test's own; `NAME.pem` and `NAME-key.pem` in `folder`."""
    _openssl(folder, name, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")
    return folder / f"{name}.pem"


def serving_as(folder: Path, host: str, authority: Path) -> ssl.SSLContext:
    """A server's context with a certificate for `host`, signed by `authority`."""
    key = authority.with_name(f"{authority.stem}-key.pem")
    name = f"leaf-{host}-{authority.stem}"
    _openssl(
        folder, name, "-subj", f"/CN={host}", "-CA", str(authority), "-CAkey", str(key),
        "-addext", f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    context.set_alpn_protocols(["http/1.1"])
    return context


def _openssl(folder: Path, name: str, *more: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", folder / f"{name}-key.pem", "-out", folder / f"{name}.pem", *more],
        check=True, capture_output=True,
    )  # fmt: skip


async def shell(world: ActingWorld, command: str, ordinal: int = 0, **more: Any) -> dict[str, Any]:
    """A command's value, its output as text, once all its connections have ended."""
    result = await world.act("shell.run", "ws:self", command=command, ordinal=ordinal, **more)
    assert isinstance(result, Done), result
    async with asyncio.timeout(30):
        while world.egress.counts():
            await asyncio.sleep(0.01)
    return result.value | {name: result.value[name].decode() for name in ("out", "err")}
