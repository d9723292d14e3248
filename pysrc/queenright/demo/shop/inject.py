"""The fault injector: does to the shop what goes wrong in real ones, and tells nobody but the caller."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path

from .database import INDEX, drop_index

FAULTS = ("bad-release", "dead-worker", "stuck-sessions", "missing-index", "bad-config", "false-alarm")
BLIP = 0.8  # seconds of the false alarm: longer than a write waits, shorter than anyone may act on
LONGEST_HOLD = 600.0  # seconds after which a stuck client gives up, whatever happened


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step, as a deployment does."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)


def bad_release(root: Path) -> None:
    new = root / "current.new"
    new.symlink_to("releases/v2")
    new.replace(root / "current")


def dead_worker(root: Path) -> None:
    pid = int((root / "run" / "w2.pid").read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if str(root).encode() not in command or b"w2" not in command:
        raise SystemExit(f"process {pid} is not this shop's worker w2: nothing was killed")
    os.kill(pid, signal.SIGKILL)


def missing_index(root: Path) -> None:
    db = sqlite3.connect(root / "data" / "shop.db", timeout=5.0, isolation_level=None)
    db.execute(drop_index(INDEX[0]))
    db.close()


def bad_config(root: Path) -> None:
    path = root / "config" / "edge.json"
    config = json.loads(path.read_bytes())
    config["version"] += 1
    config["upstreams"] = {name: port + 1000 for name, port in config["upstreams"].items()}
    replace(path, json.dumps(config, indent=1).encode())


def stocktake(root: Path, seconds: float, *, finish: bool) -> None:
    """A back-office client that sends half of its list to a worker and falls silent for `seconds`."""
    port = json.loads((root / "shop.json").read_bytes())["ports"]["w2"]
    first, second = b"sku-1 1000000\n", b"sku-2 1000000\n"
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as link:
        head = f"POST /stocktake HTTP/1.0\r\nContent-Length: {len(first + second)}\r\n\r\n"
        link.sendall(head.encode() + first)
        if finish:
            time.sleep(seconds)
            link.sendall(second)
        with suppress(TimeoutError):
            link.recv(4096)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="inject")
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--root", type=Path, required=True, help="the shop's directory")
    parser.add_argument("--hold", type=float, default=LONGEST_HOLD, help="seconds the stuck client stays")
    asked = parser.parse_args(argv)
    sys.stdout.write(json.dumps({"fault": asked.fault, "ts": time.time_ns() // 1_000_000}) + "\n")
    sys.stdout.flush()
    if asked.fault == "stuck-sessions":
        stocktake(asked.root, min(asked.hold, LONGEST_HOLD), finish=False)
    elif asked.fault == "false-alarm":
        stocktake(asked.root, BLIP, finish=True)
    else:
        {
            "bad-release": bad_release,
            "dead-worker": dead_worker,
            "missing-index": missing_index,
            "bad-config": bad_config,
        }[asked.fault](asked.root)
