"""Who looks at what: every investigating agent gets a piece of its own, and no two pieces are alike."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .detect import Rule
from .severity import Level

STAFF = 3  # watcher, commander, remedy: always there, whatever the size
SMALL_TOTAL = 6  # agents in all on a small fault
LIVE_MS = 1_500  # how long a metric agent watches: between two scrapes
BEFORE_MS, AROUND_MS = 8_000, 3_000  # log windows before and around the onset

Source = Literal["metrics", "logs"]

EDGE_METRICS = ("errors", "latency", "upstreams", "config", "traffic")
WORKER_METRICS = ("errors", "latency", "write-wait", "sessions", "db-work", "release")
EDGE_LOGS = ("errors", "changes", "upstreams")
WORKER_LOGS = ("errors", "changes", "database")


class Piece(NamedTuple):
    """One signal of one target in one window of time (wall ms)."""

    source: Source
    signal: str
    target: str
    from_ms: int
    to_ms: int


class Service(NamedTuple):
    """The resources an incident is about, as the intent names them."""

    edge: str
    workers: tuple[str, ...]


# What a small fault's few agents look at, by the leading symptom. `worker` is the first one that is up.
_SMALL: dict[Rule, tuple[tuple[Source, str, str], ...]] = {
    "down": (("metrics", "upstreams", "edge"), ("logs", "upstreams", "edge"), ("logs", "changes", "edge")),
    "errors": (("metrics", "errors", "edge"), ("logs", "errors", "worker"), ("logs", "changes", "worker")),
    "slow": (
        ("metrics", "latency", "edge"),
        ("metrics", "db-work", "worker"),
        ("logs", "database", "worker"),
    ),
    "stalled": (
        ("metrics", "write-wait", "worker"),
        ("logs", "database", "worker"),
        ("logs", "database", "other"),
    ),
}


def pieces(
    level: Level,
    rule: Rule,
    service: Service,
    *,
    down: tuple[str, ...],
    onset_ms: int,
    now_ms: int,
    cap: int,
) -> tuple[Piece, ...]:
    """The pieces for an incident of that level. `cap` is the intent's limit of agents in all.

    A target that is down is not scraped: that it is down was measured already. Its log can still be read.
    """
    room = max(0, min(cap, SMALL_TOTAL if level == "small" else cap) - STAFF)
    live = (now_ms, now_ms + LIVE_MS)
    if level == "small":
        workers = sorted(service.workers, key=lambda name: name in down)
        place = {"edge": service.edge, "worker": workers[0], "other": workers[-1]}
        past = (onset_ms - BEFORE_MS, now_ms)
        found = [
            Piece(source, signal, place[where], *(live if source == "metrics" else past))
            for source, signal, where in _SMALL[rule]
            if source == "logs" or place[where] not in down
        ]
        return tuple(dict.fromkeys(found))[:room]  # with one worker, `other` is `worker`
    windows = (
        (onset_ms - BEFORE_MS, onset_ms - AROUND_MS),
        (onset_ms - AROUND_MS, onset_ms),
        (onset_ms, now_ms),
    )
    targets: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [(service.edge, EDGE_METRICS, EDGE_LOGS)]
    targets += [(worker, WORKER_METRICS, WORKER_LOGS) for worker in service.workers]
    metrics = [
        Piece("metrics", signal, target, *live)
        for target, signals, _ in targets
        if target not in down
        for signal in signals
    ]
    # The latest windows first: if the cap leaves no room for all, the oldest logs are what is not looked at.
    logs = [
        Piece("logs", signal, target, *window)
        for window in reversed(windows)
        for target, _, signals in targets
        for signal in signals
    ]
    return tuple((metrics + logs)[:room])
