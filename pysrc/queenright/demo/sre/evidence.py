"""What one agent's piece shows: metrics or log lines in, a few named facts out.

Log lines and label values are untrusted. A fact's kind is one of KINDS; its subject is text that is only ever
compared with names the intent knows, or shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from .measure import ROUTES, Series, bucket_rise, buckets, pick, quantile, since, total
from .pieces import Piece

KINDS = frozenset(
    {
        "target_down",  # subject: target
        "errors_on_release",  # subject: release; value: share of its checkouts and orders answered 500
        "exception",  # subject: release; value: how many
        "release_changed",  # subject: release; value: wall ms
        "config_changed",  # subject: version; value: wall ms
        "upstream_failed",  # subject: upstream; value: how many
        "no_live_upstream",  # value: how many
        "write_wait",  # subject: target; value: p95 in seconds
        "write_timeouts",  # subject: target; value: how many
        "old_transaction",  # subject: target; value: its age in seconds
        "session",  # subject: session id; value: its start, wall ms
        "slow_route",  # subject: route; value: p50 in ms
        "db_work",  # subject: target; value: virtual machine steps a request
        "full_scan",  # subject: table; value: ms
    }
)
WAITED_S = 0.1  # a write that waits longer has another one before it
OLD_S = 1.5  # a transaction that idles longer was forgotten
SLOW_MS = 10.0  # p50 of a route: three times the shop's normal
WORK = 100_000.0  # steps a request: an index read takes some hundred, a full scan millions
MOST = 16  # facts of one finding
SUBJECT = 64  # characters


class Evidence(NamedTuple):
    kind: str
    subject: str
    value: float


def fact(kind: str, subject: object, value: float) -> Evidence:
    if kind not in KINDS:
        raise ValueError(f"`{kind}` is not a kind of evidence")
    return Evidence(kind, str(subject)[:SUBJECT], float(value))


def from_metrics(piece: Piece, before: list[Series], after: list[Series]) -> tuple[Evidence, ...]:
    """The facts in two scrapes of the piece's target."""
    found: list[Evidence] = []
    target, signal = piece.target, piece.signal

    def rise(name: str, **labels: str) -> float:
        return since(total(before, name, **labels), total(after, name, **labels))

    if signal == "errors":
        releases = {series.labels.get("release", "") for series in pick(after, "shop_requests_total")}
        for release in sorted(releases - {""}):
            sent = sum(rise("shop_requests_total", route=route, release=release) for route in ROUTES)
            failed = sum(
                rise("shop_requests_total", route=route, release=release, status="500") for route in ROUTES
            )
            if failed:
                found.append(fact("errors_on_release", release, failed / sent))
    elif signal == "latency":
        for route in ROUTES:
            name = "shop_request_seconds"
            p50 = quantile(
                bucket_rise(buckets(before, name, route=route), buckets(after, name, route=route)), 0.5
            )
            if p50 is not None and p50 * 1000 >= SLOW_MS:
                found.append(fact("slow_route", route, p50 * 1000))
    elif signal == "upstreams":
        name = "shop_upstream_errors_total"
        for upstream in sorted(
            {series.labels.get("upstream", "") for series in pick(after, name)} - {"none"}
        ):
            if failed := rise(name, upstream=upstream):
                found.append(fact("upstream_failed", upstream, failed))
        if failed := rise(name, kind="no_live_upstream"):
            found.append(fact("no_live_upstream", target, failed))
    elif signal == "write-wait":
        name = "shop_db_write_wait_seconds"
        p95 = quantile(bucket_rise(buckets(before, name), buckets(after, name)), 0.95)
        if p95 is not None and p95 >= WAITED_S:
            found.append(fact("write_wait", target, p95))
        if timeouts := rise("shop_db_write_timeouts_total"):
            found.append(fact("write_timeouts", target, timeouts))
    elif signal == "sessions":
        age = total(after, "shop_db_oldest_idle_transaction_seconds")
        if age >= OLD_S:
            found.append(fact("old_transaction", target, age))
    elif signal == "db-work":
        sent = sum(rise("shop_requests_total", route=route) for route in ROUTES)
        work = rise("shop_db_steps_total") / sent if sent else 0.0
        if work >= WORK:
            found.append(fact("db_work", target, work))
    # config, release and traffic are read to be shown; by themselves they accuse nobody.
    return tuple(found[:MOST])


def _is_time(value: object) -> bool:
    """Milliseconds that a float holds exactly."""
    return type(value) is int and 0 <= value < 2**53


def parse(text: str) -> list[dict[str, Any]]:
    """The JSON lines in `text`; a torn or foreign line is skipped, not guessed at."""
    lines = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and _is_time(value.get("ts")):
            lines.append(value)
    return lines


def from_logs(piece: Piece, lines: Iterable[dict[str, Any]]) -> tuple[Evidence, ...]:
    """The facts in the lines of the piece's window."""
    found: list[Evidence] = []
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if not piece.from_ms <= line["ts"] < piece.to_ms:
            continue
        event, signal = line.get("event"), piece.signal
        if signal == "errors" and event == "exception":
            counts["exception", str(line.get("release", ""))] += 1
        elif signal == "errors" and event == "database_error":
            counts["write_timeouts", piece.target] += 1
        elif signal == "changes" and event == "release":
            found.append(fact("release_changed", line.get("release", ""), line["ts"]))
        elif signal == "changes" and event == "config":
            found.append(fact("config_changed", line.get("version", ""), line["ts"]))
        elif signal == "upstreams" and event == "upstream_failed":
            counts["upstream_failed", str(line.get("upstream", ""))] += 1
        elif signal == "upstreams" and event == "no_live_upstream":
            counts["no_live_upstream", piece.target] += 1
        elif signal == "database" and event == "slow_query":
            plan = line.get("plan")
            for words in [str(step).split() for step in plan] if isinstance(plan, list) else []:
                if words[:1] == ["SCAN"] and len(words) > 1:
                    counts["full_scan", words[1]] += 1
        elif signal == "database" and event == "long_transaction" and _is_time(line.get("started")):
            session = fact("session", line.get("id", ""), line["started"])
            if session not in found:
                found.append(session)
    found += [fact(kind, subject, count) for (kind, subject), count in counts.items()]
    return tuple(found[:MOST])
