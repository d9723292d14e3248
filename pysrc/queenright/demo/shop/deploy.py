"""Lays a shop out in a directory of its own, and says how each of its processes is started.

program/        the shop's code            releases/v1 v2, current -> releases/v1
config/         edge.json                  flags.json
data/shop.db    the database               secret/admin.token (0600)
log/            JSON lines                 run/  pid files
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import database

PROCESSES = ("edge", "w1", "w2")
ORDERS = 300_000  # reading it all takes some 20 ms: five times an order's normal, and no machine falls over
PORTS = (20_000, 30_000)  # below the kernel's ephemeral range: no outgoing connection takes one of ours


@dataclass(frozen=True)
class Shop:
    root: Path
    ports: dict[str, int]

    def url(self, process: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[process]}{path}"

    def command(self, program: str, *args: str) -> list[str]:
        return [os.path.realpath(sys.executable), "-I", str(self.root / "program"), program, *args]

    def start(self, process: str) -> list[str]:
        """The argv of one of PROCESSES."""
        name = ["worker", "--name", process] if process != "edge" else ["edge"]
        return self.command(*name, "--port", str(self.ports[process]), "--root", str(self.root))

    def log(self, process: str) -> Path:
        return self.root / "log" / f"{process}.jsonl"

    def pidfile(self, process: str) -> Path:
        return self.root / "run" / f"{process}.pid"

    @property
    def token(self) -> str:
        return (self.root / "secret" / "admin.token").read_text().strip()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(range(*PORTS), 200):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports between {PORTS[0]} and {PORTS[1]}")


def deploy(root: Path, orders: int = ORDERS) -> Shop:
    """Lay a new shop out under `root`, which must not exist."""
    here = Path(__file__).parent
    root.mkdir(mode=0o700)
    for name in ("config", "data", "log", "run", "secret", "releases"):
        (root / name).mkdir(mode=0o700)
    (root / "program" / "shop").mkdir(parents=True)
    for source in here.glob("*.py"):
        shutil.copy(source, root / "program" / "shop")
    (root / "program" / "shop" / "__main__.py").rename(root / "program" / "__main__.py")
    for release in ("v1", "v2"):
        (root / "releases" / release).mkdir()
        shutil.copy(here / f"release_{release}" / "app.py", root / "releases" / release)
    (root / "current").symlink_to("releases/v1")
    token = root / "secret" / "admin.token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_urlsafe(24) + "\n")
    ports = dict(zip(PROCESSES, free_ports(len(PROCESSES)), strict=True))
    upstreams = {name: port for name, port in ports.items() if name != "edge"}
    config = {"version": 1, "upstreams": upstreams, "upstream_timeout_ms": 2000}
    (root / "config" / "edge.json").write_text(json.dumps(config, indent=1))
    (root / "flags.json").write_text(json.dumps({"read_only": False, "recommend": False}))
    (root / "shop.json").write_text(json.dumps({"ports": ports}))
    database.create(root / "data" / "shop.db", orders)
    return Shop(root, ports)


def start(shop: Shop, process: str, deadline: float = 15.0) -> subprocess.Popen[bytes]:
    """Start one process and wait until it listens. RuntimeError if it does not within `deadline` seconds."""
    with (shop.root / "log" / f"{process}.err").open("ab") as err:
        child = subprocess.Popen(
            shop.start(process), stdin=subprocess.DEVNULL, stdout=err, stderr=err, start_new_session=True
        )
    limit = time.monotonic() + deadline
    while time.monotonic() < limit and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", shop.ports[process]), timeout=0.2).close()
            return child
        except OSError:
            time.sleep(0.02)
    child.kill()
    child.wait()
    raise RuntimeError(f"{process} does not listen on port {shop.ports[process]}: see {err.name}")
