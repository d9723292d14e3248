"""asyncio between processes over Unix sockets: what one would write instead of a router.

With sign=1 every message and every credit is signed by its sender and verified by its receiver with PyNaCl. With disk=fsync
the receiver appends each message to a file and fsyncs before it counts as received; with disk=sqlite it commits each to a
database (WAL, synchronous FULL). `python socket_peer.py cross|durable|round_trip key=value ...`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, os.getcwd())
from bench.work import Params
from nacl.signing import SigningKey, VerifyKey

SEEDS = (b"s" * 32, b"r" * 32)  # of the sender and the receiver: each must know the other's public key


class Channel:
    """Frames of u32 length, signed or not."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, sign: bool, sender: bool
    ) -> None:
        self._reader, self._writer, self._sign = reader, writer, sign
        mine, other = SEEDS if sender else SEEDS[::-1]
        self._mine, self._other = SigningKey(mine), VerifyKey(bytes(SigningKey(other).verify_key))

    def write(self, body: bytes) -> None:
        data = bytes(self._mine.sign(body)) if self._sign else body
        self._writer.write(len(data).to_bytes(4, "big") + data)

    async def flush(self) -> None:
        await self._writer.drain()

    async def read(self) -> bytes:
        """Raises BadSignatureError, or IncompleteReadError at the end."""
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        data = await self._reader.readexactly(length)
        return bytes(self._other.verify(data)) if self._sign else data


def _keeper(disk: str, directory: Path) -> Callable[[bytes], None]:
    """What makes a message durable before it counts."""
    if disk == "none":
        return lambda body: None
    if disk == "fsync":
        file = (directory / "journal").open("ab", buffering=0)

        def append(body: bytes) -> None:
            file.write(len(body).to_bytes(4, "big") + body)
            os.fsync(file.fileno())

        return append
    if disk == "sqlite":
        base = sqlite3.connect(directory / "journal.db", isolation_level=None)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, body BLOB)")
        return lambda body: base.execute("INSERT INTO message (body) VALUES (?)", (body,)) and None
    raise SystemExit(f"disk is none, fsync or sqlite, not {disk}")


async def receive(params: Params) -> None:
    """Serve one sender: a credit for each half window, or an answer for each message."""
    path, half = Path(params.text("path")), params.whole("window") // 2
    keep = _keeper(params.text("disk"), path.parent)
    over = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel, seen = Channel(reader, writer, sign=params.flag("sign"), sender=False), 0
        try:
            while True:
                body = await channel.read()
                keep(body)
                seen += 1
                if params.flag("echo"):
                    channel.write(body)
                    await channel.flush()
                elif seen % half == 0:
                    channel.write(half.to_bytes(8, "big"))
                    await channel.flush()
        except asyncio.IncompleteReadError:
            over.set_result(None)

    server = await asyncio.start_unix_server(serve, path)
    print("listening", flush=True)
    await over
    server.close()


async def send(params: Params) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(params.text("path"))
    channel = Channel(reader, writer, sign=params.flag("sign"), sender=True)
    payload, window = bytes(params.whole("size")), params.whole("window")
    result: dict[str, Any] = {}
    for messages in params.warm("messages"):
        began, latencies = time.time_ns(), []
        if params.flag("echo"):
            for _ in range(messages):
                at = time.perf_counter_ns()
                channel.write(payload)
                await channel.flush()
                await channel.read()
                latencies.append(time.perf_counter_ns() - at)
            result = {"latencies_ns": latencies}
        else:
            unsent = unseen = messages
            under_way = 0
            while unseen:
                while unsent and under_way < window:
                    channel.write(payload)
                    unsent, under_way = unsent - 1, under_way + 1
                await channel.flush()
                credit = int.from_bytes(await channel.read(), "big")
                under_way, unseen = under_way - credit, unseen - credit
        result |= {"began": began, "ended": time.time_ns()}
    writer.close()
    return result


def between(workload: str, params: Params) -> dict[str, Any]:
    """`pairs` senders and receivers, a process each."""
    pairs = params.whole("pairs")
    with tempfile.TemporaryDirectory(prefix="qr-bench-") as directory:
        words = [f"{name}={value}" for name, value in params.words.items()]
        words.append(f"echo={int(workload == 'round_trip')}")
        running: list[subprocess.Popen[str]] = []
        try:
            for role in ("receive", "send"):
                for pair in range(pairs):
                    place = Path(directory) / str(pair)
                    place.mkdir(exist_ok=True)
                    argv = [sys.executable, __file__, role, *words, f"path={place / 'socket'}"]
                    running.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
                    if role == "receive":
                        assert running[-1].stdout is not None
                        if running[-1].stdout.readline() != "listening\n":
                            raise SystemExit("a receiver did not listen")
            ends = [json.loads(sender.communicate()[0]) for sender in running[pairs:]]
            for receiver in running[:pairs]:
                receiver.communicate()
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    began, ended = min(end["began"] for end in ends), max(end["ended"] for end in ends)
    result = {"count": params.whole("messages") * pairs, "seconds": (ended - began) / 1e9}
    if workload == "round_trip":
        result["latencies_ns"] = ends[0]["latencies_ns"]
    return result


def main() -> int:
    workload, params = sys.argv[1], Params.of_argv(sys.argv[2:])
    if workload == "receive":
        asyncio.run(receive(params))
        return 0
    result = asyncio.run(send(params)) if workload == "send" else between(workload, params)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
