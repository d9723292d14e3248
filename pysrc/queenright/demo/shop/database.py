"""The shop's database: SQLite in one file, shared by the workers, one connection a request.

Each connection is a *session* with an id and a start time, so that an operator can list them and close one:
the same that PostgreSQL shows in pg_stat_activity and ends with pg_terminate_backend.
"""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .service import Request
from .telemetry import Log, Metrics, now_ms

BUSY_TIMEOUT = 0.5  # seconds a write waits for another's transaction before it gives up
SLOW_QUERY_MS = 8.0  # a read through an index takes well under one
STEPS = (
    20_000  # SQLite virtual machine steps per count: a full scan takes millions, an index read a few hundred
)
KILL_WAIT = 2.0  # seconds a killed session gets to let go

SCHEMA = """
CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT, price REAL, price_cents INTEGER, stock INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, placed INTEGER, sku TEXT, qty INTEGER,
    cents INTEGER, note TEXT);
"""
INDEX = ("orders_by_customer", "orders", ("customer", "placed"))
PRODUCTS = 40
CUSTOMERS = 20_000


def create(path: Path, orders: int) -> None:
    """A new database with `orders` past orders. Three products in ten are old ones without price_cents."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(SCHEMA)
    db.execute("BEGIN")
    for n in range(PRODUCTS):
        cents = None if n % 10 in (3, 6, 9) else 500 + 25 * n
        db.execute(
            "INSERT INTO products VALUES (?,?,?,?,?)", (f"sku-{n}", f"thing {n}", 5 + n / 4, cents, 10**9)
        )
    db.execute(
        "INSERT INTO orders (customer, placed, sku, qty, cents, note)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " SELECT (i * 7919) % ?, i, 'sku-' || (i % ?), 1 + i % 3, 995, 'thank you, it is on its way' FROM n",
        (orders, CUSTOMERS, PRODUCTS),
    )
    db.execute("COMMIT")
    db.execute(create_index(*INDEX))
    db.close()


def _name(text: str) -> str:
    if not (text.isidentifier() and text.isascii()):
        raise ValueError(f"not a name: {text!r}")
    return text


def create_index(name: str, table: str, columns: tuple[str, ...]) -> str:
    return f"CREATE INDEX {_name(name)} ON {_name(table)} ({', '.join(map(_name, columns))})"


def drop_index(name: str) -> str:
    return f"DROP INDEX {_name(name)}"


class Session:
    """One open connection: reads, and writes inside `write()`. `state` is active or idle in transaction."""

    def __init__(self, id: str, holder: str, client: socket.socket, owner: Database) -> None:
        self.id, self.holder, self.started = id, holder, now_ms()
        self.query, self.state, self.since = "", "active", time.monotonic()
        self.killed = False
        self._client, self._owner = client, owner
        # check_same_thread=False: another thread may interrupt it; only this one runs statements.
        self._db = sqlite3.connect(
            owner.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.set_progress_handler(self._stepped, STEPS)

    def _stepped(self) -> int:
        self._owner.metrics.count("shop_db_steps_total", STEPS)
        return int(self.killed)  # not 0: SQLite interrupts the statement

    def run(self, sql: str, *args: object) -> list[Any]:
        """Run one statement and return its rows; a slow one is logged with the plan SQLite chose."""
        self.query, self.state = sql, "active"
        start = time.perf_counter()
        rows = self._db.execute(sql, args).fetchall()
        took = (time.perf_counter() - start) * 1000
        self.state = "idle in transaction" if self._db.in_transaction else "idle"
        if took > SLOW_QUERY_MS and sql.startswith("SELECT"):
            plan = [row[3] for row in self._db.execute(f"EXPLAIN QUERY PLAN {sql}", args)]
            self._owner.metrics.count("shop_db_slow_queries_total")
            self._owner.log.write("slow_query", "warning", ms=round(took, 1), query=sql, plan=plan)
        return rows

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction. SQLite has one writer at a time: the wait for this one's turn is measured."""
        start = time.perf_counter()
        try:
            self.run("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._owner.metrics.count("shop_db_write_timeouts_total")
            raise
        finally:
            self._owner.metrics.observe("shop_db_write_wait_seconds", time.perf_counter() - start)
        try:
            yield self
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self.run("COMMIT")

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def age_ms(self) -> int:
        return int((time.monotonic() - self.since) * 1000)

    def row(self) -> dict[str, object]:
        facts = {"id": self.id, "started": self.started, "holder": self.holder}
        return {**facts, "query": self.query, "age_ms": self.age_ms(), "state": self.state}

    def kill(self) -> None:
        """Interrupt it and cut its client off; its thread rolls back. What was not committed is lost."""
        self.killed = True
        self._db.interrupt()
        with suppress(OSError):  # the client may be gone already
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._db.close()


class Database:
    """The sessions of one worker."""

    def __init__(self, path: Path, worker: str, log: Log, metrics: Metrics) -> None:
        self.path, self.worker, self.log, self.metrics = path, worker, log, metrics
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}
        self._next = 0
        # Whenever the last connection closes SQLite writes the whole WAL back: this one stays.
        self._anchor = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._anchor.execute("SELECT count(*) FROM products")

    @contextmanager
    def session(self, request: Request) -> Iterator[Session]:
        with self._lock:
            self._next += 1
            session = Session(f"{self.worker}-{self._next}", request.holder, request.client, self)
            self._open[session.id] = session
        try:
            yield session
        finally:
            with self._lock:
                del self._open[session.id]
            session.close()

    def sessions(self) -> list[Session]:
        with self._lock:
            return list(self._open.values())

    def kill(self, id: str, started: int) -> int:
        """End session `id` if it is still the one begun at `started` (ms). The HTTP status of the outcome."""
        session = next((s for s in self.sessions() if s.id == id), None)
        if session is None:
            return 404
        if session.started != started:
            return 409
        session.kill()
        deadline = time.monotonic() + KILL_WAIT
        while session in self.sessions():
            if time.monotonic() > deadline:
                return 504
            time.sleep(0.01)
        self.log.write("session_killed", "warning", session=id, started=started, holder=session.holder)
        return 200

    def collect(self) -> None:
        """Bring the gauges up to date, before a scrape."""
        sessions = self.sessions()
        writers = [s.age_ms() / 1000 for s in sessions if s.state == "idle in transaction"]
        self.metrics.gauge("shop_db_sessions_open", len(sessions))
        self.metrics.gauge("shop_db_oldest_idle_transaction_seconds", max(writers, default=0.0))
