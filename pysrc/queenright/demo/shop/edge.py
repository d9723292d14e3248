"""The edge: hands each request to a worker that answers, and each admin request to whom it concerns."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .service import Reply, Request, Service, read_token
from .telemetry import Log, Metrics

RETRY_AFTER = (
    1.0  # seconds a worker that did not answer is left alone; then one real request tries it, as in nginx
)
ADMIN_TIMEOUT = 10.0  # an index on a big table takes its time


@dataclass
class Upstream:
    name: str
    port: int
    down_until: float = 0.0


class Balancer:
    """Round robin over the upstreams of the config file, which is read again whenever it changes."""

    def __init__(self, path: Path, log: Log, metrics: Metrics) -> None:
        self._path, self._log, self._metrics = path, log, metrics
        self._lock = threading.Lock()
        self._seen: tuple[int, int] = (0, 0)
        self._turn = 0
        self.upstreams: list[Upstream] = []
        self.timeout = 0.0
        self.text = b""

    def refresh(self) -> None:
        stat = self._path.stat()
        with self._lock:
            if (stat.st_ino, stat.st_mtime_ns) == self._seen:
                return
            text = self._path.read_bytes()
            config = json.loads(text)
            self.upstreams = [Upstream(name, int(port)) for name, port in config["upstreams"].items()]
            self.timeout = config["upstream_timeout_ms"] / 1000
            self.text, self._seen = text, (stat.st_ino, stat.st_mtime_ns)
            self._metrics.only("shop_config_info", version=str(config["version"]))
            self._log.write("config", version=config["version"], upstreams=config["upstreams"])

    def pick(self) -> Upstream | None:
        """The next one that is not known to be down; None if there is none."""
        with self._lock:
            now = time.monotonic()
            for _ in self.upstreams:
                self._turn += 1
                upstream = self.upstreams[self._turn % len(self.upstreams)]
                if upstream.down_until <= now:
                    if upstream.down_until:
                        upstream.down_until = (
                            now + RETRY_AFTER
                        )  # this request is the trial; no second one meanwhile
                    return upstream
        return None

    def seen(self, upstream: Upstream, *, up: bool) -> None:
        with self._lock:
            upstream.down_until = 0.0 if up else time.monotonic() + RETRY_AFTER
        self._metrics.gauge("shop_upstream_up", int(up), upstream=upstream.name)


class Edge(Service):
    def __init__(self, root: Path) -> None:
        log, metrics = Log(root / "log" / "edge.jsonl", "edge"), Metrics()
        token = read_token(root / "secret" / "admin.token")
        super().__init__("edge", log, metrics, token)
        self._admin = {"Authorization": f"Bearer {token}"}
        self._balancer = Balancer(root / "config" / "edge.json", log, metrics)
        self._balancer.refresh()
        self.collectors.append(self._balancer.refresh)
        self.routes |= {
            ("POST", "/checkout"): self.forward,
            ("GET", "/orders"): self.forward,
            ("GET", "/admin/sessions"): self.sessions,
            ("POST", "/admin/sessions/kill"): self.kill,
            ("POST", "/admin/index"): self.any_worker,
            ("DELETE", "/admin/index"): self.any_worker,
            ("GET", "/admin/flags"): self.any_worker,
            ("POST", "/admin/flags"): self.any_worker,
            ("GET", "/admin/config"): self.config,
        }

    def _call(
        self, upstream: Upstream, method: str, path: str, body: bytes, headers: dict[str, str], timeout: float
    ) -> Reply:
        link = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=timeout)
        try:
            link.request(method, path, body or None, headers)
            answer = link.getresponse()
            return Reply(answer.status, answer.read(), answer.getheader("X-Shop-Release", ""))
        finally:
            link.close()

    def forward(self, request: Request) -> Reply:
        """Once, never twice: the edge cannot know whether a checkout that broke off was booked."""
        self._balancer.refresh()
        upstream = self._balancer.pick()
        if upstream is None:
            self.metrics.count("shop_upstream_errors_total", upstream="none", kind="no_live_upstream")
            self.log.write("no_live_upstream", "error", route=request.path)
            return Reply(502, {"error": "no worker answers"})
        path = request.path + (
            "?" + "&".join(f"{k}={v}" for k, v in request.query.items()) if request.query else ""
        )
        kind, status = "", 502
        try:
            reply = self._call(upstream, request.method, path, request.read(), {}, self._balancer.timeout)
        except TimeoutError:
            kind, status = "timeout", 504
        except (OSError, http.client.HTTPException) as error:
            kind = type(error).__name__
        self._balancer.seen(upstream, up=not kind)
        if not kind:
            return reply
        self.metrics.count("shop_upstream_errors_total", upstream=upstream.name, kind=kind)
        facts = {"upstream": upstream.name, "port": upstream.port, "kind": kind}
        self.log.write("upstream_failed", "error", route=request.path, **facts)
        return Reply(status, {"error": "the worker did not answer"})

    # --- admin: one door for the whole shop ---

    def _workers(self, method: str, path: str, body: bytes) -> list[Reply]:
        replies = []
        for upstream in self._balancer.upstreams:
            try:
                replies.append(self._call(upstream, method, path, body, self._admin, ADMIN_TIMEOUT))
            except (OSError, http.client.HTTPException):
                continue  # a dead worker has no sessions and can do nothing
        return replies

    def any_worker(self, request: Request) -> Reply:
        body = request.read()
        for upstream in self._balancer.upstreams:
            try:
                return self._call(upstream, request.method, request.path, body, self._admin, ADMIN_TIMEOUT)
            except (OSError, http.client.HTTPException):
                continue
        return Reply(502, {"error": "no worker answers"})

    def sessions(self, request: Request) -> Reply:
        found: list[Any] = []
        for reply in self._workers("GET", "/admin/sessions", b""):
            found += json.loads(reply.encode())["sessions"]
        return Reply(200, {"sessions": found})

    def kill(self, request: Request) -> Reply:
        """The worker that has the session answers 200, 409 or 504; every other one 404."""
        replies = self._workers("POST", request.path, request.read())
        return next((r for r in replies if r.status != 404), Reply(404, {"error": "no such session"}))

    def config(self, request: Request) -> Reply:
        text = self._balancer.text
        return Reply(200, {"sha256": hashlib.sha256(text).hexdigest(), "config": json.loads(text)})


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="edge")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the shop's directory")
    asked = parser.parse_args(argv)
    Edge(asked.root).serve(asked.port, asked.root / "run" / "edge.pid")
