"""The numbers the swarm decides by are what the scrapes say."""

import re
from typing import Any

import pytest

from queenright.demo.shop.telemetry import Metrics
from queenright.demo.sre.measure import (
    ENDLESS,
    LEAST,
    Reading,
    Series,
    bucket_rise,
    buckets,
    quantile,
    read_edge,
    sample,
    since,
    total,
)


def scrape(metrics: Metrics) -> list[Series]:
    found = []
    for line in metrics.render().splitlines():
        series, value = line.rsplit(" ", 1)
        name, _, labels = series.partition("{")
        found.append(Series(name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return found


def serve(
    metrics: Metrics, route: str, status: str, seconds: float, times: int = 1, release: str = "v1"
) -> None:
    for _ in range(times):
        metrics.count("shop_requests_total", route=route, status=status, release=release)
        metrics.observe("shop_request_seconds", seconds, route=route)


def test_total_sums_what_matches() -> None:
    metrics = Metrics()
    serve(metrics, "/orders", "200", 0.001, 3)
    serve(metrics, "/orders", "500", 0.001, 2)
    assert total(scrape(metrics), "shop_requests_total") == 5
    assert total(scrape(metrics), "shop_requests_total", status="500") == 2
    assert total(scrape(metrics), "shop_requests_total", status="404") == 0


def test_a_counter_that_fell_was_started_anew() -> None:
    assert since(10, 12) == 2
    assert since(10, 3) == 3


def test_quantile_interpolates_inside_a_bucket() -> None:
    assert quantile(((0.1, 0.0), (0.2, 10.0), (ENDLESS, 10.0)), 0.5) == pytest.approx(0.15)
    assert quantile(((0.1, 10.0), (0.2, 10.0), (ENDLESS, 10.0)), 0.5) == pytest.approx(0.05)


def test_quantile_past_the_last_bound_is_that_bound() -> None:
    assert quantile(((0.1, 0.0), (ENDLESS, 10.0)), 0.95) == 0.1


def test_quantile_of_too_few_says_nothing() -> None:
    assert quantile(((0.1, LEAST - 1.0), (ENDLESS, LEAST - 1.0)), 0.5) is None
    assert quantile(((0.1, float(LEAST)), (ENDLESS, float(LEAST))), 0.5) is not None
    assert quantile((), 0.5) is None


def test_a_restarted_process_does_not_make_negative_buckets() -> None:
    metrics = Metrics()
    serve(metrics, "/orders", "200", 0.02, 50)
    before = buckets(scrape(metrics), "shop_request_seconds")
    metrics = Metrics()
    serve(metrics, "/orders", "200", 0.02, 7)
    after = buckets(scrape(metrics), "shop_request_seconds")
    rise = bucket_rise(before, after)
    assert rise == after
    assert rise[-1][1] == 7


def test_a_sample_is_what_happened_between_two_scrapes() -> None:
    metrics = Metrics()
    serve(metrics, "/orders", "200", 0.004, 100)
    serve(metrics, "/checkout", "200", 0.004, 100)
    before = read_edge(scrape(metrics), 1_000)
    serve(metrics, "/orders", "200", 0.004, 10)
    serve(metrics, "/checkout", "503", 0.45, 10)
    serve(metrics, "/checkout", "400", 0.004, 2)
    after = read_edge(scrape(metrics), 2_000)
    one = sample(before, after, ("svc:shop/w2",))
    assert (one.at_ms, one.sent, one.bad, one.down) == (2_000, 22, 10, ("svc:shop/w2",))
    assert one.route == "/checkout"
    assert 250 < one.p50_ms <= 500
    assert one.p50_ms <= one.p95_ms <= 500
    assert one.ratio == pytest.approx(10 / 22)


def test_the_admin_api_is_nobodys_pain() -> None:
    metrics = Metrics()
    before = read_edge(scrape(metrics), 0)
    serve(metrics, "/admin/sessions", "502", 2.0, 50)
    assert sample(before, read_edge(scrape(metrics), 1)).sent == 0


def test_no_traffic_is_no_error() -> None:
    empty: Any = Reading(0, 0, 0, ())
    one = sample(empty, empty)
    assert (one.sent, one.ratio, one.p50_ms) == (0, 0.0, 0.0)
