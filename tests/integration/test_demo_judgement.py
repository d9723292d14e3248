"""The swarm's judgement on the real shop: from scrapes and log lines alone it finds what was injected.

No queenright here: the test scrapes and reads as the agents will, and applies the remedy that is named.
"""

import re
import time
from collections.abc import Iterator

import pytest

from queenright.demo.shop.database import INDEX
from queenright.demo.sre.detect import Detector, Recovery, leading
from queenright.demo.sre.evidence import Evidence, from_logs, from_metrics, parse
from queenright.demo.sre.hypotheses import Hypothesis, Runbook, Witness, hypotheses
from queenright.demo.sre.measure import Reading, Sample, Series, read_edge, sample
from queenright.demo.sre.pieces import SMALL_TOTAL, STAFF, Piece, pieces
from queenright.demo.sre.severity import Severity, severity

from .test_demo_shop import Running

BOOK = Runbook.of(
    {
        "edge": "svc:shop/edge",
        "workers": ["svc:shop/w1", "svc:shop/w2"],
        "release": "svc:shop/web",
        "database": "db:shop/main",
        "index": {"name": INDEX[0], "table": INDEX[1], "columns": list(INDEX[2])},
        "agents": 60,
    }
)
PERIOD = 1.0


class Eyes:
    """Sees the shop as the swarm does: by scrapes and logs."""

    def __init__(self, shop: Running) -> None:
        self.shop = shop
        self.before: Reading | None = None

    def scrape(self, target: str) -> list[Series] | None:
        try:
            values = self.shop.metrics(target.rpartition("/")[2])
        except OSError:
            return None
        return [
            Series(key.partition("{")[0], dict(re.findall(r'(\w+)="([^"]*)"', key)), value)
            for key, value in values.items()
        ]

    def look(self) -> Sample | None:
        """One round, as `sre.scrape.look` makes it."""
        time.sleep(PERIOD)
        at_ms = time.time_ns() // 1_000_000
        scraped = {target: self.scrape(target) for target in BOOK.targets}
        down = tuple(target for target, found in scraped.items() if found is None)
        edge = scraped[BOOK.service.edge]
        assert edge is not None
        before, self.before = self.before, read_edge(edge, at_ms)
        return None if before is None else sample(before, self.before, down)

    def investigate(self, chosen: tuple[Piece, ...]) -> list[Witness]:
        """All pieces at once, as their agents do."""
        first = {target: self.scrape(target) for target in BOOK.targets}
        time.sleep(1.5)
        last = {target: self.scrape(target) for target in BOOK.targets}
        found: list[Witness] = []
        for n, piece in enumerate(chosen):
            facts: tuple[Evidence, ...]
            if piece.source == "metrics":
                before, after = first[piece.target], last[piece.target]
                assert before, piece
                assert after, piece
                facts = from_metrics(piece, before, after)
            else:
                lines = parse(self.shop.shop.log(piece.target.rpartition("/")[2]).read_text())
                assert lines, piece
                facts = from_logs(piece, lines)
            found += [Witness(f"agent-{n}", one) for one in facts]
        return found


def settled(eyes: Eyes) -> Detector:
    """A detector that knows what is normal here."""
    detector = Detector()
    for _ in range(40):
        found = eyes.look()
        if found is not None and detector.feed(found) == "quiet":
            return detector
    raise AssertionError("the shop is never quiet")


def judge(eyes: Eyes, detector: Detector) -> tuple[Severity, int, Hypothesis]:
    """Detect, size, investigate, explain."""
    for _ in range(15):
        found = eyes.look()
        if found is not None and detector.feed(found) == "confirmed":
            break
    else:
        raise AssertionError("not detected")
    evidence = tuple(detector.evidence)
    judged = severity(evidence)
    chosen = pieces(
        judged.level,
        leading(evidence, detector.normal_p50_ms).rule,
        BOOK.service,
        down=judged.down,
        onset_ms=evidence[0].at_ms - int(PERIOD * 1000),
        now_ms=time.time_ns() // 1_000_000,
        cap=BOOK.agents,
    )
    witnesses = [Witness("watcher", Evidence("target_down", target, 1)) for target in judged.down]
    found_causes = hypotheses(witnesses + eyes.investigate(chosen), BOOK)
    assert found_causes, (evidence, witnesses)
    return judged, len(chosen) + STAFF, found_causes[0]


def recovers(eyes: Eyes, detector: Detector) -> bool:
    recovery, state = Recovery(detector.normal_p50_ms), "wait"
    eyes.before = None
    while state == "wait":
        found = eyes.look()
        if found is not None:
            state = recovery.feed(found)
    detector.reset()
    return state == "healthy"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("judgement") / "shop")
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def eyes(shop: Running) -> Eyes:
    return Eyes(shop)


@pytest.fixture(scope="module")
def detector(eyes: Eyes) -> Detector:
    return settled(eyes)


def test_bad_release_is_found_small(shop: Running, eyes: Eyes, detector: Detector) -> None:
    shop.inject("bad-release")
    judged, agents, best = judge(eyes, detector)
    assert (judged.level, best.cause, best.remedy.verb) == ("small", "bad-release", "release.rollback")
    assert agents <= SMALL_TOTAL
    link = shop.shop.root / "current.new"
    link.symlink_to("releases/v1")
    link.replace(shop.shop.root / "current")
    assert recovers(eyes, detector)


def test_dead_worker_is_found_small(shop: Running, eyes: Eyes, detector: Detector) -> None:
    shop.inject("dead-worker")
    shop.processes["w2"].wait()
    judged, agents, best = judge(eyes, detector)
    assert (judged.level, best.cause, best.remedy.resource) == ("small", "dead-worker", "svc:shop/w2")
    assert agents <= SMALL_TOTAL
    shop.restart("w2")
    assert recovers(eyes, detector)


def test_stuck_session_is_found_severe(shop: Running, eyes: Eyes, detector: Detector) -> None:
    injector = shop.inject("stuck-sessions")
    judged, agents, best = judge(eyes, detector)
    assert (judged.level, best.cause, best.remedy.verb) == ("severe", "stuck-sessions", "db.session.kill")
    assert 40 <= agents <= BOOK.agents
    shop.admin("edge", "POST", "sessions/kill", best.remedy.args)
    injector.wait()
    assert recovers(eyes, detector)


def test_missing_index_is_found_small(shop: Running, eyes: Eyes, detector: Detector) -> None:
    shop.inject("missing-index")
    judged, agents, best = judge(eyes, detector)
    assert (judged.level, best.cause, best.remedy.verb) == ("small", "missing-index", "db.index.create")
    assert agents <= SMALL_TOTAL
    shop.admin("edge", "POST", "index", best.remedy.args)
    assert recovers(eyes, detector)


def test_bad_config_is_found_severe(shop: Running, eyes: Eyes, detector: Detector) -> None:
    path = shop.shop.root / "config" / "edge.json"
    good = path.read_bytes()
    shop.inject("bad-config")
    judged, agents, best = judge(eyes, detector)
    assert (judged.level, best.cause, best.remedy.resource) == ("severe", "bad-config", "svc:shop/edge")
    assert 40 <= agents <= BOOK.agents
    new = path.with_suffix(".new")
    new.write_bytes(good)
    new.replace(path)
    assert recovers(eyes, detector)


def test_false_alarm_is_noticed_and_passes(shop: Running, eyes: Eyes, detector: Detector) -> None:
    injector = shop.inject("false-alarm")
    states = [detector.feed(found) for found in (eyes.look() for _ in range(6)) if found is not None]
    assert injector.wait() == 0
    assert "suspect" in states
    assert "passed" in states
    assert "confirmed" not in states
