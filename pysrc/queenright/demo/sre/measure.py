"""From scraped metrics to the few numbers that say how customers fare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

ROUTES = ("/checkout", "/orders")  # what customers call; the admin API is nobody's pain
LEAST = 5  # requests of a route below which its quantiles mean nothing

ENDLESS = 1e9  # seconds, for the bound `+Inf`: finite, because what agents keep and send must be
Buckets = tuple[tuple[float, float], ...]  # (upper bound in seconds, cumulative count), by bound


class Series(NamedTuple):
    """One line of a scrape."""

    name: str
    labels: Mapping[str, str]
    value: float


def pick(scrape: Iterable[Series], name: str, **labels: str) -> list[Series]:
    """The series of that name with at least these labels."""
    return [
        series
        for series in scrape
        if series.name == name and all(series.labels.get(key) == text for key, text in labels.items())
    ]


def total(scrape: Iterable[Series], name: str, **labels: str) -> float:
    return sum(series.value for series in pick(scrape, name, **labels))


def buckets(scrape: Iterable[Series], name: str, **labels: str) -> Buckets:
    """A histogram's cumulative counts, summed over the labels that are not given."""
    counts: dict[float, float] = {}
    for series in pick(scrape, f"{name}_bucket", **labels):
        le = series.labels["le"]
        bound = ENDLESS if le == "+Inf" else float(le)
        counts[bound] = counts.get(bound, 0.0) + series.value
    return tuple(sorted(counts.items()))


def since(before: float, after: float) -> float:
    """How far a counter rose; one that fell was started anew, so all of it is new."""
    return after - before if after >= before else after


def bucket_rise(before: Buckets, after: Buckets) -> Buckets:
    """The histogram of what happened between two scrapes."""
    old = dict(before)
    if after and after[-1][1] < old.get(after[-1][0], 0.0):
        old = {}  # the process was started anew
    return tuple((bound, count - old.get(bound, 0.0)) for bound, count in after)


def quantile(histogram: Buckets, share: float) -> float | None:
    """The value below which `share` of the observations lie, in seconds: linear in a bucket, as in PromQL.

    None if there were fewer than LEAST. Past the last finite bound the answer is that bound.
    """
    count = histogram[-1][1] if histogram else 0.0
    if count < LEAST:
        return None
    wanted, low, below = share * count, 0.0, 0.0
    for bound, cumulative in histogram:
        if cumulative >= wanted:
            if bound == ENDLESS:
                return low
            return low + (bound - low) * (wanted - below) / (cumulative - below)
        low, below = bound, cumulative
    return low


class Reading(NamedTuple):
    """What the watcher keeps of one scrape of the edge."""

    at_ms: int
    sent: float
    bad: float
    latency: tuple[tuple[str, Buckets], ...]  # by route


class Sample(NamedTuple):
    """How customers fared between two readings. `down`: targets that could not be scraped."""

    at_ms: int
    sent: int = 0
    bad: int = 0
    p50_ms: float = 0.0  # of the slower route
    p95_ms: float = 0.0
    route: str = ""  # which route that is
    down: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.bad / self.sent if self.sent else 0.0


def thaw_reading(row: list[Any] | None) -> Reading | None:
    """A reading as it comes back from an agent's state: tuples have become lists."""
    if row is None:
        return None
    latency = tuple((route, tuple((bound, count) for bound, count in cells)) for route, cells in row[3])
    return Reading(row[0], row[1], row[2], latency)


def thaw_sample(row: Iterable[Any]) -> Sample:
    at_ms, sent, bad, p50_ms, p95_ms, route, down = row
    return Sample(at_ms, sent, bad, p50_ms, p95_ms, route, tuple(down))


def read_edge(scrape: list[Series], at_ms: int) -> Reading:
    requests = [series for route in ROUTES for series in pick(scrape, "shop_requests_total", route=route)]
    bad = sum(series.value for series in requests if series.labels.get("status", "").startswith("5"))
    sent = sum(series.value for series in requests)
    latency = tuple((route, buckets(scrape, "shop_request_seconds", route=route)) for route in ROUTES)
    return Reading(at_ms, sent, bad, latency)


def sample(before: Reading, after: Reading, down: tuple[str, ...] = ()) -> Sample:
    """The numbers between two readings of the edge."""
    sent, bad = since(before.sent, after.sent), since(before.bad, after.bad)
    slowest = (0.0, 0.0, "")
    old = dict(before.latency)
    for route, histogram in after.latency:
        rise = bucket_rise(old.get(route, ()), histogram)
        p50, p95 = quantile(rise, 0.5), quantile(rise, 0.95)
        if p50 is not None and p95 is not None:
            slowest = max(slowest, (p50 * 1000, p95 * 1000, route))
    return Sample(after.at_ms, int(sent), int(bad), *slowest, down)
