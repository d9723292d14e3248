"""A small HTTP server: routes, /metrics, /healthz, and an admin API that one bearer token opens."""

from __future__ import annotations

import hmac
import json
import os
import socket
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

from .telemetry import Log, Metrics

MAX_BODY = 64 * 1024  # no request of the shop is near it
READ_TIMEOUT = 600.0  # seconds a silent client is kept: long on purpose, see worker.stocktake


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: BinaryIO  # read it yourself: a route may work on the body while it still arrives
    length: int
    client: socket.socket
    token: str

    @property
    def holder(self) -> str:
        """Who keeps what this request opens: route and peer, for the people who read a list of sessions."""
        host, port = self.client.getpeername()
        return f"{self.method} {self.path} from {host}:{port}"

    def read(self) -> bytes:
        return self.body.read(self.length)

    def json(self) -> dict[str, Any]:
        value = json.loads(self.read() or b"{}")
        if not isinstance(value, dict):
            raise BadRequest("the body must be a JSON object")
        return value


@dataclass
class Reply:
    status: int
    payload: Any = None
    release: str = ""  # which release answered; handed on in a header and counted
    kind: str = field(default="application/json", repr=False)

    def encode(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else json.dumps(self.payload).encode()


class BadRequest(Exception):
    """The client's fault: answered 400."""


Route = Callable[[Request], Reply]


class Service:
    """One program's HTTP face. Routes are {(method, path): function}; what one raises is logged, and 500."""

    def __init__(self, name: str, log: Log, metrics: Metrics, token: str) -> None:
        self.name, self.log, self.metrics, self._token = name, log, metrics, token
        self.routes: dict[tuple[str, str], Route] = {
            ("GET", "/healthz"): lambda _: Reply(200, {"ok": True}),
            ("GET", "/metrics"): lambda _: Reply(200, self._metrics(), kind="text/plain; version=0.0.4"),
        }
        self.collectors: list[Callable[[], None]] = []  # run before each scrape
        metrics.gauge("shop_up", 1)
        metrics.gauge("shop_start_time_seconds", time.time())

    def _metrics(self) -> bytes:
        for collect in self.collectors:
            collect()
        return self.metrics.render().encode()

    def answer(self, request: Request) -> Reply:
        route = self.routes.get((request.method, request.path))
        if request.path.startswith("/admin/") and not hmac.compare_digest(request.token, self._token):
            self.metrics.count("shop_admin_refused_total")
            return Reply(401, {"error": "the admin API needs its bearer token"})
        if route is None:
            return Reply(404, {"error": f"no such route: {request.method} {request.path}"})
        try:
            return route(request)
        except (BadRequest, ValueError) as error:
            return Reply(400, {"error": str(error)})
        except sqlite3.OperationalError as error:
            self.log.write("database_error", "error", route=request.path, error=str(error))
            return Reply(503, {"error": "the database did not answer in time"})
        except Exception as error:  # the one place where a route's bug ends
            where = traceback.extract_tb(error.__traceback__)[-1]
            facts = {"error": f"{type(error).__name__}: {error}", "at": f"{where.filename}:{where.lineno}"}
            self.log.write("exception", "error", route=request.path, release=self.release(), **facts)
            return Reply(500, {"error": "internal error"})

    def release(self) -> str:
        return ""

    def measured(self, request: Request) -> Reply:
        """The answer, counted and timed. Unknown paths share one label: a scanner cannot grow the metrics."""
        start = time.perf_counter()
        reply = self.answer(request)
        route = request.path if (request.method, request.path) in self.routes else "other"
        if not request.path.startswith(("/metrics", "/healthz")):
            labels = {"route": route, "status": str(reply.status), "release": reply.release or self.release()}
            self.metrics.count("shop_requests_total", **labels)
            self.metrics.observe("shop_request_seconds", time.perf_counter() - start, route=route)
        return reply

    def serve(self, port: int, pidfile: Path) -> None:
        """Listen on 127.0.0.1 until the process ends; the pid is written once the socket is open."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            timeout = READ_TIMEOUT
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                url = urlsplit(self.path)
                length = self.headers.get("Content-Length", "0")
                if not length.isdigit() or int(length) > MAX_BODY:
                    return self.send_error(413)
                scheme, _, token = self.headers.get("Authorization", "").partition(" ")
                request = Request(
                    self.command,
                    url.path,
                    dict(parse_qsl(url.query)),
                    self.rfile,  # type: ignore[arg-type]
                    int(length),
                    self.connection,
                    token if scheme == "Bearer" else "",
                )
                reply = service.measured(request)
                body = reply.encode()
                self.send_response_only(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Shop-Release", reply.release or service.release())
                self._headers_buffer.append(b"\r\n" + body)  # type: ignore[attr-defined]  # one write, one packet
                with suppress(OSError):  # the client may be gone
                    self.flush_headers()

            do_GET = do_POST = do_DELETE = handle_one  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass  # our own log has what matters

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that went away mid-request

        with Server(("127.0.0.1", port), Handler) as server:
            pidfile.write_text(f"{os.getpid()}\n")
            self.log.write("start", pid=os.getpid(), port=port, release=self.release())
            threading.Thread(target=self._housekeeping, daemon=True).start()
            server.serve_forever()

    def tick(self) -> None:
        """Called twice a second, for what a program watches by itself."""

    def _housekeeping(self) -> None:
        while True:
            time.sleep(0.5)
            self.tick()


def read_token(path: Path) -> str:
    """The admin token from its file; a file that others may read is refused."""
    if path.stat().st_mode & 0o077:
        raise SystemExit(f"{path} must be readable by its owner alone: chmod 600 {path}")
    return path.read_text().strip()
