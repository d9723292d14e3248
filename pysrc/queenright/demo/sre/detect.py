"""Is something wrong? Rules over measured samples, with hysteresis, so that a blip wakes nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

from .measure import Sample

RAISE_RATIO, CLEAR_RATIO = 0.02, 0.01  # share of requests answered 5xx; the shop's normal is none at all
RAISE_P50_MS, CLEAR_P50_MS = 13.0, 10.0  # an answer takes 3 ms here, with a full scan in it five times that
RAISE_P95_MS, CLEAR_P95_MS = 400.0, 250.0  # a write waits at most 500 ms for its turn, then fails
SLOWER = 3.0  # and the median must be that many times the shop's own normal: a slow machine is no incident
BASELINE = 5  # quiet samples that say what is normal
CONFIRM, OUT_OF = 4, 5  # bad samples, of the last five: a blip makes two at the most
PASSED = 2  # quiet samples in a row after which a suspicion is dropped

Rule = Literal["down", "errors", "slow", "stalled"]
TELLING: tuple[Rule, ...] = ("down", "stalled", "slow", "errors")  # an error ratio alone says the least


class Symptom(NamedTuple):
    """One rule that a sample breaks: the number measured and the limit it crossed."""

    rule: Rule
    subject: str
    value: float
    limit: float

    def __str__(self) -> str:
        if self.rule == "down":
            return f"{self.subject} does not answer a scrape"
        if self.rule == "errors":
            return f"{self.value:.1%} of requests answered 5xx (limit {self.limit:.0%})"
        name = "p50" if self.rule == "slow" else "p95"
        return f"{name} of {self.subject} {self.value:.0f} ms (limit {self.limit:.0f} ms)"


def symptoms(sample: Sample, normal_p50_ms: float = 0.0, *, suspicious: bool = False) -> tuple[Symptom, ...]:
    """Every rule that `sample` breaks. Once suspicious the lower limits hold, so that nothing flutters."""
    ratio, p50, p95 = (
        (CLEAR_RATIO, CLEAR_P50_MS, CLEAR_P95_MS) if suspicious else (RAISE_RATIO, RAISE_P50_MS, RAISE_P95_MS)
    )
    p50 = max(p50, (SLOWER - suspicious) * normal_p50_ms)
    found = [Symptom("down", target, 1.0, 0.0) for target in sample.down]
    if sample.ratio >= ratio:
        found.append(Symptom("errors", "edge", sample.ratio, ratio))
    if sample.p50_ms >= p50:
        found.append(Symptom("slow", sample.route, sample.p50_ms, p50))
    if sample.p95_ms >= p95:
        found.append(Symptom("stalled", sample.route, sample.p95_ms, p95))
    return tuple(found)


def leading(evidence: tuple[Sample, ...], normal_p50_ms: float) -> Symptom:
    """The symptom to follow first: the latest of the rule that most samples break, the telling ones first."""
    broken = [s for one in evidence for s in symptoms(one, normal_p50_ms, suspicious=True)]
    if not broken:
        raise ValueError("no sample breaks a rule: nothing to follow")
    count = Counter(symptom.rule for symptom in broken)
    rule = max(TELLING, key=lambda rule: (count[rule], -TELLING.index(rule)))
    return [symptom for symptom in broken if symptom.rule == rule][-1]


State = Literal["learning", "quiet", "suspect", "passed", "confirmed"]


@dataclass
class Detector:
    """The watcher's memory. `feed` one sample a second: "confirmed" is an incident, "passed" was a blip."""

    baseline: list[float] = field(default_factory=list)  # p50 in ms of the first quiet samples
    recent: list[bool] = field(
        default_factory=list
    )  # bad or not, the last OUT_OF samples since suspicion began
    evidence: list[Sample] = field(default_factory=list)  # the bad ones among them

    @property
    def normal_p50_ms(self) -> float:
        return median(self.baseline) if self.baseline else 0.0

    def feed(self, sample: Sample) -> State:
        bad = bool(symptoms(sample, self.normal_p50_ms, suspicious=bool(self.recent)))
        if not self.recent and not bad:
            if len(self.baseline) < BASELINE:
                self.baseline.append(sample.p50_ms)
                return "learning"
            return "quiet"
        self.recent = [*self.recent, bad][-OUT_OF:]
        if bad:
            self.evidence = [*self.evidence, sample][-OUT_OF:]
        if sum(self.recent) >= CONFIRM:
            return "confirmed"
        if not any(self.recent[-PASSED:]):
            self.reset()
            return "passed"
        return "suspect"

    def reset(self) -> None:
        """Forget the suspicion; what is normal stays known."""
        self.recent, self.evidence = [], []


@dataclass
class Recovery:
    """Is it well again? Only several good samples in a row say so, by the stricter limits."""

    normal_p50_ms: float = 0.0
    good: int = 0
    seen: int = 0

    NEEDED = 3
    AT_MOST = 25  # samples, about as many seconds; then it is not healed

    def feed(self, sample: Sample) -> Literal["healthy", "wait", "not healed"]:
        """A sample without traffic proves nothing, so it does not count as good."""
        well = sample.sent >= 5 and not symptoms(sample, self.normal_p50_ms, suspicious=True)
        self.good, self.seen = (self.good + 1 if well else 0), self.seen + 1
        if self.good >= self.NEEDED:
            return "healthy"
        return "wait" if self.seen < self.AT_MOST else "not healed"
