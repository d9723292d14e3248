"""Y5's contestants: the same client in the same sandbox, and at its listener our proxy or one of asyncio's streams.

Run as `python -m bench.egress tunnel of=ours|asyncio messages=N megabytes=N`; prints one JSON object. A message is a connection,
a CONNECT, one byte there and one byte back. Ours is answered as the supervisor answers, by an event loop of the interpreter, but
without a grant, a record or a ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.work import Params, end_in_order
from queenright.core.host import EgressProxy
from queenright.supervisor.launcher import Launcher
from queenright.supervisor.sandbox_spec import command_spec

_UPSTREAM = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=512)
print(listener.getsockname()[1], flush=True)
piece = bytes(1 << 20)
def serve(one):
    with one:
        want = one.recv(16)
        if want == b"1":
            one.sendall(b"1")
        else:
            for _ in range(int(want)):
                one.sendall(piece)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
_CLIENT = """
import json, socket, sys, time
port, rounds, megabytes = map(int, sys.argv[1:])
def tunnel(word):
    one = socket.create_connection(("127.0.0.1", 3128))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n".encode())
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += one.recv(4096)
    assert head.startswith(b"HTTP/1.1 200"), head
    one.sendall(word)
    return one
took = []
for count in (rounds // 10, rounds):
    took = []
    for _ in range(count):
        began = time.perf_counter_ns()
        with tunnel(b"1") as one:
            assert one.recv(1) == b"1"
        took.append(time.perf_counter_ns() - began)
got, room, began = 0, bytearray(1 << 20), time.perf_counter_ns()
with tunnel(b"%d" % megabytes) as one:
    while (count := one.recv_into(room)):
        got += count
seconds = (time.perf_counter_ns() - began) / 1e9
assert got == megabytes << 20, got
print(json.dumps({"count": len(took), "latencies_ns": took, "rate": megabytes / seconds}))
"""


@contextlib.contextmanager
def _ours(listener: socket.socket, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    proxy = EgressProxy()

    def readable() -> None:
        for event in proxy.take():
            if event["event"] == "asked":
                proxy.resolve(event["id"], False)
            elif event["event"] == "resolved":
                proxy.go(event["id"])

    loop.call_soon_threadsafe(loop.add_reader, proxy.fileno(), readable)
    door = proxy.listen(listener.fileno())
    yield
    proxy.close_door(door)
    loop.call_soon_threadsafe(loop.remove_reader, proxy.fileno())


@contextlib.contextmanager
def _asyncio(listener: socket.socket, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split(b" ", 2)[1].decode().partition(":")
        theirs, there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(pump(reader, there), pump(theirs, writer))

    starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, sock=listener.dup()), loop)
    server = starting.result()
    yield
    loop.call_soon_threadsafe(server.close)


_OF: dict[str, Callable[..., contextlib.AbstractContextManager[None]]] = {"ours": _ours, "asyncio": _asyncio}


async def _sandboxed(params: Params, directory: Path, port: int) -> dict[str, Any]:
    launcher = Launcher.start()
    proxying = asyncio.new_event_loop()
    thread = threading.Thread(target=proxying.run_forever)
    thread.start()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read, write = os.pipe()
    try:
        workspace = directory / "workspace"
        workspace.mkdir()
        launcher.give(workspace, 1)
        words = [str(port), params.text("messages"), params.text("megabytes")]
        argv = ["/usr/bin/python3", "-I", "-S", "-c", _CLIENT, *words]
        spec = command_spec(argv=argv, workspace=workspace, slot=1, egress=True)
        null = os.open(os.devnull, os.O_RDWR)
        sandbox = await launcher.spawn(spec, [null, write, 2, theirs.fileno()])
        _, (descriptor,), _, _ = socket.recv_fds(ours, 16, 1)
        with socket.socket(fileno=descriptor) as listener, _OF[params.text("of")](listener, proxying):
            end = await sandbox.wait()
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read()
        if end.code != 0:
            raise RuntimeError(f"the client ended with {end}")
        found: dict[str, Any] = json.loads(said)
        return found
    finally:
        proxying.call_soon_threadsafe(proxying.stop)
        thread.join()
        launcher.close()


def main() -> int:
    end_in_order()
    if sys.argv[1] != "tunnel":
        raise SystemExit(f"no workload {sys.argv[1]}")
    params = Params.of_argv(sys.argv[2:])
    upstream = subprocess.Popen([sys.executable, "-c", _UPSTREAM], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    try:
        port = int(upstream.stdout.readline())
        with tempfile.TemporaryDirectory(prefix="qr-bench-") as directory:
            os.chmod(directory, 0o755)
            print(json.dumps(asyncio.run(_sandboxed(params, Path(directory), port))))
    finally:
        upstream.kill()
        upstream.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
