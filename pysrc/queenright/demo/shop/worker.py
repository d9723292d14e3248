"""A worker: runs the current release against the database, and answers the admin API."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import threading
from pathlib import Path
from types import ModuleType

from .database import Database, create_index, drop_index
from .service import BadRequest, Reply, Request, Service, read_token
from .telemetry import Log, Metrics

LONG_TRANSACTION_MS = 1500  # past this a transaction is worth a line in the log, once a second


class Release:
    """The code behind the `current` link, loaded again whenever the link points elsewhere."""

    def __init__(self, link: Path, log: Log, metrics: Metrics) -> None:
        self._link, self._log, self._metrics = link, log, metrics
        self._lock = threading.Lock()
        self._target = ""
        self._module: ModuleType | None = None

    @property
    def name(self) -> str:
        return Path(self._target).name

    def code(self) -> ModuleType:
        with self._lock:
            target = os.readlink(self._link)
            if self._module is None or target != self._target:
                spec = importlib.util.spec_from_file_location(
                    "release", self._link.parent / target / "app.py"
                )
                if spec is None or spec.loader is None:
                    raise RuntimeError(f"no release at {target}")
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                self._module, self._target = module, target
                self._log.write("release", release=self.name)
                self._metrics.only("shop_build_info", release=self.name)
            return self._module


class Worker(Service):
    def __init__(self, name: str, root: Path) -> None:
        log, metrics = Log(root / "log" / f"{name}.jsonl", name), Metrics()
        super().__init__(name, log, metrics, read_token(root / "secret" / "admin.token"))
        self._flags = root / "flags.json"
        self._database = Database(root / "data" / "shop.db", name, log, metrics)
        self._release = Release(root / "current", log, metrics)
        self._release.code()
        self._ticks = 0
        self.collectors.append(self._database.collect)
        self.routes |= {
            ("POST", "/checkout"): self.checkout,
            ("GET", "/orders"): self.orders,
            ("POST", "/stocktake"): self.stocktake,
            ("GET", "/admin/sessions"): lambda _: Reply(
                200, {"sessions": [s.row() for s in self._database.sessions()]}
            ),
            ("POST", "/admin/sessions/kill"): self.kill,
            ("POST", "/admin/index"): self.index,
            ("DELETE", "/admin/index"): self.index,
            ("GET", "/admin/flags"): lambda _: Reply(200, self.flags()),
            ("POST", "/admin/flags"): self.set_flags,
        }

    def release(self) -> str:
        return self._release.name

    def flags(self) -> dict[str, bool]:
        flags: dict[str, bool] = json.loads(self._flags.read_text())
        return flags

    # --- what customers call ---

    def checkout(self, request: Request) -> Reply:
        code, order = self._release.code(), request.json()
        if self.flags().get("read_only"):
            return Reply(503, {"error": "the shop takes no orders just now"}, self.release())
        with self._database.session(request) as session, session.write():
            return Reply(200, code.checkout(session, order), self.release())

    def orders(self, request: Request) -> Reply:
        code = self._release.code()
        with self._database.session(request) as session:
            found = code.orders(session, int(request.query["customer"]), self.flags())
        return Reply(200, found, self.release())

    def stocktake(self, request: Request) -> Reply:
        """Book counted stock, one `sku count` a line, all or nothing.

        The shop's weak spot, as it is found in the wild: the transaction begins before the list has arrived,
        so a client that falls silent half-way keeps every other writer waiting.
        """
        left, booked = request.length, 0
        with self._database.session(request) as session, session.write():
            while left > 0:
                line = request.body.readline(left)
                left -= len(line)
                if not line:
                    raise BadRequest("the list ended early: nothing was booked")
                sku, count = line.split()
                session.run("UPDATE products SET stock = ? WHERE sku = ?", int(count), sku.decode())
                booked += 1
        return Reply(200, {"booked": booked}, self.release())

    # --- what operators call ---

    def kill(self, request: Request) -> Reply:
        asked = request.json()
        status = self._database.kill(str(asked["id"]), int(asked["started"]))
        return Reply(status, {"id": asked["id"], "killed": status == 200})

    def index(self, request: Request) -> Reply:
        asked = request.json()
        if request.method == "POST":
            sql = create_index(asked["name"], asked["table"], tuple(asked["columns"]))
        else:
            sql = drop_index(asked["name"])
        with self._database.session(request) as session:
            known = session.run("SELECT 1 FROM sqlite_master WHERE type='index' AND name=?", asked["name"])
            if bool(known) == (request.method == "POST"):
                return Reply(409, {"error": "it exists already" if known else "no such index"})
            session.run(sql)
        self.log.write("index", "warning", sql=sql)
        return Reply(200, {"sql": sql})

    def set_flags(self, request: Request) -> Reply:
        flags = self.flags() | request.json()
        if not all(isinstance(value, bool) for value in flags.values()):
            raise BadRequest("a flag is true or false")
        new = self._flags.with_suffix(".new")
        new.write_text(json.dumps(flags))
        new.replace(self._flags)
        self.log.write("flags", flags=flags)
        return Reply(200, flags)

    def tick(self) -> None:
        self._ticks += 1
        for session in self._database.sessions():
            if (
                session.state == "idle in transaction"
                and session.age_ms() > LONG_TRANSACTION_MS
                and self._ticks % 2
            ):
                self.log.write("long_transaction", "warning", **session.row())


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the shop's directory")
    asked = parser.parse_args(argv)
    Worker(asked.name, asked.root).serve(asked.port, asked.root / "run" / f"{asked.name}.pid")
