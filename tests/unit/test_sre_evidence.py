"""Metrics and log lines become facts of a closed set; what a line says cannot become anything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.demo.shop.telemetry import Metrics
from queenright.demo.sre.evidence import KINDS, MOST, SUBJECT, Evidence, fact, from_logs, from_metrics, parse
from queenright.demo.sre.pieces import Piece

from .test_sre_measure import scrape, serve

W2 = "svc:shop/w2"


def metrics_piece(signal: str, target: str = W2) -> Piece:
    return Piece("metrics", signal, target, 0, 1_500)


def logs_piece(signal: str, target: str = W2) -> Piece:
    return Piece("logs", signal, target, 1_000, 2_000)


def test_errors_are_laid_to_the_release_that_answered() -> None:
    metrics = Metrics()
    serve(metrics, "/checkout", "200", 0.004, 50, "v1")
    before = scrape(metrics)
    serve(metrics, "/checkout", "500", 0.004, 3, "v2")
    serve(metrics, "/checkout", "200", 0.004, 7, "v2")
    serve(metrics, "/checkout", "502", 0.004, 5, "")
    assert from_metrics(metrics_piece("errors"), before, scrape(metrics)) == (
        Evidence("errors_on_release", "v2", 0.3),
    )


def test_a_database_that_fails_is_not_laid_to_the_release() -> None:
    metrics = Metrics()
    before = scrape(metrics)
    serve(metrics, "/checkout", "503", 0.5, 9)
    assert from_metrics(metrics_piece("errors"), before, scrape(metrics)) == ()


def test_waiting_writes_and_old_transactions_are_found() -> None:
    metrics = Metrics()
    metrics.gauge("shop_db_oldest_idle_transaction_seconds", 0)
    before = scrape(metrics)
    for _ in range(10):
        metrics.observe("shop_db_write_wait_seconds", 0.5)
        metrics.count("shop_db_write_timeouts_total")
    metrics.gauge("shop_db_oldest_idle_transaction_seconds", 4.5)
    after = scrape(metrics)
    waits = from_metrics(metrics_piece("write-wait"), before, after)
    assert [(e.kind, e.subject) for e in waits] == [("write_wait", W2), ("write_timeouts", W2)]
    assert waits[1].value == 10
    assert from_metrics(metrics_piece("sessions"), before, after) == (Evidence("old_transaction", W2, 4.5),)
    assert from_metrics(metrics_piece("sessions"), after, before) == ()


def test_upstream_failures_count_only_inside_the_window() -> None:
    metrics = Metrics()
    metrics.count("shop_upstream_errors_total", 7, upstream="w1", kind="ConnectionRefusedError")
    before = scrape(metrics)
    metrics.count("shop_upstream_errors_total", 2, upstream="w2", kind="ConnectionRefusedError")
    metrics.count("shop_upstream_errors_total", 3, upstream="none", kind="no_live_upstream")
    found = from_metrics(metrics_piece("upstreams"), before, scrape(metrics))
    assert found == (Evidence("upstream_failed", "w2", 2), Evidence("no_live_upstream", W2, 3))


def test_slow_routes_and_work_a_request_are_found() -> None:
    metrics = Metrics()
    before = scrape(metrics)
    serve(metrics, "/orders", "200", 0.045, 10)
    metrics.count("shop_db_steps_total", 30_000_000)
    after = scrape(metrics)
    (slow,) = from_metrics(metrics_piece("latency"), before, after)
    assert (slow.kind, slow.subject) == ("slow_route", "/orders")
    assert from_metrics(metrics_piece("db-work"), before, after) == (Evidence("db_work", W2, 3_000_000),)


@pytest.mark.parametrize(
    "signal", ["errors", "latency", "upstreams", "write-wait", "sessions", "db-work", "release"]
)
def test_a_healthy_target_gives_no_facts(signal: str) -> None:
    metrics = Metrics()
    serve(metrics, "/orders", "200", 0.004, 5)
    before = scrape(metrics)
    serve(metrics, "/orders", "200", 0.004, 20)
    serve(metrics, "/checkout", "200", 0.004, 20)
    metrics.observe("shop_db_write_wait_seconds", 0.001)
    assert from_metrics(metrics_piece(signal), before, scrape(metrics)) == ()


def test_log_lines_count_only_inside_the_window() -> None:
    lines = [{"ts": ts, "event": "exception", "release": "v2"} for ts in (999, 1_000, 1_999, 2_000)]
    assert from_logs(logs_piece("errors"), lines) == (Evidence("exception", "v2", 2),)


def test_changes_sessions_and_scans_are_found() -> None:
    lines = [
        {"ts": 1_100, "event": "release", "release": "v2"},
        {"ts": 1_200, "event": "config", "version": 7},
        {"ts": 1_300, "event": "long_transaction", "id": "w2-9", "started": 55},
        {"ts": 1_400, "event": "long_transaction", "id": "w2-9", "started": 55},
        {
            "ts": 1_500,
            "event": "slow_query",
            "ms": 40,
            "plan": ["SCAN orders", "USE TEMP B-TREE FOR ORDER BY"],
        },
        {"ts": 1_600, "event": "slow_query", "ms": 40, "plan": ["SEARCH orders USING INDEX x"]},
    ]
    assert from_logs(logs_piece("changes"), lines) == (
        Evidence("release_changed", "v2", 1_100),
        Evidence("config_changed", "7", 1_200),
    )
    assert from_logs(logs_piece("database"), lines) == (
        Evidence("session", "w2-9", 55),
        Evidence("full_scan", "orders", 1),
    )


def test_torn_and_foreign_lines_are_skipped() -> None:
    text = '{"ts": 1, "event": "x"}\nnot json\n[1]\n{"ts": "1"}\n{"ts": 2}\n{"ts": 3, "ev'
    assert [line["ts"] for line in parse(text)] == [1, 2]


_scalar = st.none() | st.booleans() | st.integers() | st.text(max_size=100)
_json = _scalar | st.lists(_scalar, max_size=4) | st.dictionaries(st.text(max_size=4), _scalar, max_size=2)
_events = [
    "exception",
    "database_error",
    "release",
    "config",
    "upstream_failed",
    "slow_query",
    "long_transaction",
]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"ts": st.integers(1_000, 1_999), "event": st.sampled_from(_events)},
            optional={key: _json for key in ("release", "version", "upstream", "plan", "id", "started")},
        ),
        max_size=20,
    ),
    st.sampled_from(["errors", "changes", "upstreams", "database"]),
)
def test_no_line_makes_more_than_a_bounded_fact_of_a_known_kind(
    lines: list[dict[str, object]], signal: str
) -> None:
    found = from_logs(logs_piece(signal), parse("\n".join(map(json.dumps, lines))))
    assert len(found) <= MOST
    assert all(e.kind in KINDS and len(e.subject) <= SUBJECT for e in found)


def test_an_unknown_kind_of_evidence_is_refused() -> None:
    with pytest.raises(ValueError, match="not a kind"):
        fact("rumour", "x", 1)
