"""A fault is seen within five samples, a blip never becomes an incident, and only good samples end one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.demo.sre.detect import (
    CONFIRM,
    OUT_OF,
    RAISE_P50_MS,
    RAISE_P95_MS,
    RAISE_RATIO,
    Detector,
    Recovery,
    leading,
    symptoms,
)
from queenright.demo.sre.measure import Sample
from queenright.demo.sre.severity import severity

GOOD = Sample(0, 30, 0, 4.0, 9.0, "/orders")
FAILING = Sample(0, 30, 5, 4.0, 9.0, "/orders")
SLOW = Sample(0, 30, 0, 20.0, 40.0, "/orders")
STALLED = Sample(0, 30, 14, 90.0, 506.0, "/checkout")
DOWN = Sample(0, 30, 0, 4.0, 9.0, "/orders", ("svc:shop/w2",))


def settled() -> Detector:
    detector = Detector()
    for _ in range(6):
        detector.feed(GOOD)
    return detector


@pytest.mark.parametrize(
    ("sample", "rules"),
    [
        (GOOD, []),
        (FAILING, ["errors"]),
        (SLOW, ["slow"]),
        (STALLED, ["errors", "slow", "stalled"]),
        (DOWN, ["down"]),
        (GOOD._replace(sent=100, bad=2), ["errors"]),
        (GOOD._replace(sent=100, bad=1), []),
        (GOOD._replace(p50_ms=RAISE_P50_MS), ["slow"]),
        (GOOD._replace(p50_ms=RAISE_P50_MS - 0.1), []),
        (GOOD._replace(p95_ms=RAISE_P95_MS), ["stalled"]),
        (GOOD._replace(p95_ms=RAISE_P95_MS - 0.1), []),
    ],
)
def test_each_rule_fires_at_its_limit(sample: Sample, rules: list[str]) -> None:
    assert [symptom.rule for symptom in symptoms(sample, 4.0)] == rules


def test_limits_are_lower_once_suspicious() -> None:
    between = GOOD._replace(sent=1000, bad=int(1000 * RAISE_RATIO) - 1)
    assert symptoms(between) == ()
    assert [s.rule for s in symptoms(between, suspicious=True)] == ["errors"]


def test_a_slow_machine_is_no_incident() -> None:
    assert symptoms(SLOW, 10.0) == ()
    assert symptoms(SLOW, 5.0) != ()


@pytest.mark.parametrize("bad", [FAILING, SLOW, STALLED, DOWN])
def test_a_lasting_fault_is_confirmed_after_four_samples(bad: Sample) -> None:
    detector = settled()
    assert [detector.feed(bad) for _ in range(CONFIRM)] == ["suspect"] * (CONFIRM - 1) + ["confirmed"]
    assert detector.evidence == [bad] * CONFIRM


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_blip_is_noticed_and_let_go(length: int) -> None:
    detector = settled()
    assert [detector.feed(STALLED) for _ in range(length)] == ["suspect"] * length
    states = [detector.feed(GOOD) for _ in range(3)]
    assert states == ["suspect", "passed", "quiet"]
    assert detector.evidence == []


def test_one_good_sample_does_not_hide_a_fault() -> None:
    detector = settled()
    states = [detector.feed(sample) for sample in (FAILING, FAILING, GOOD, FAILING, FAILING)]
    assert states[-1] == "confirmed"


def test_what_is_normal_is_learnt_from_quiet_samples_only() -> None:
    detector = Detector()
    for p50 in (4.0, 5.0, 6.0, 5.0, 5.0, 20.0):
        detector.feed(GOOD._replace(p50_ms=p50))
    assert detector.normal_p50_ms == 5.0


@given(st.lists(st.booleans(), max_size=60))
def test_nothing_is_confirmed_without_four_bad_of_the_last_five(history: list[bool]) -> None:
    detector = settled()
    for n, bad in enumerate(history):
        if detector.feed(STALLED if bad else GOOD) == "confirmed":
            assert sum(history[: n + 1][-OUT_OF:]) >= CONFIRM
            assert len(detector.evidence) >= CONFIRM
            return
    runs = "".join("x" if bad else "." for bad in history)
    assert "xxxx" not in runs


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_recovery_needs_three_good_samples_in_a_row_and_gives_up_in_the_end(history: list[bool]) -> None:
    recovery = Recovery()
    for n, good in enumerate(history):
        state = recovery.feed(GOOD if good else STALLED)
        if state == "healthy":
            assert history[n - 2 : n + 1] == [True] * 3
            return
        if state == "not healed":
            assert n + 1 == Recovery.AT_MOST
            return
    assert "111" not in "".join("1" if good else "0" for good in history)


def test_a_shop_without_customers_is_not_called_healthy() -> None:
    recovery = Recovery()
    assert {recovery.feed(Sample(0)) for _ in range(Recovery.AT_MOST - 1)} == {"wait"}
    assert recovery.feed(Sample(0)) == "not healed"


def test_the_leading_symptom_is_the_one_most_samples_show() -> None:
    assert leading((FAILING,) * 4, 4.0).rule == "errors"
    assert leading((STALLED,) * 4, 4.0).rule == "stalled"
    assert leading((DOWN, DOWN, DOWN._replace(bad=2), DOWN), 4.0).rule == "down"
    assert leading((FAILING, FAILING, FAILING, STALLED), 4.0).rule == "errors"
    with pytest.raises(ValueError, match="nothing to follow"):
        leading((GOOD,), 4.0)


def test_severity_comes_from_measured_numbers() -> None:
    small = severity((FAILING,) * 4)
    assert (small.level, small.sent, small.bad) == ("small", 90, 15)
    assert "15 of 90 requests failed (16.7%)" in small.why
    assert severity((STALLED,) * 4).level == "severe"
    assert severity((DOWN,) * 4).level == "small"
    assert severity((SLOW._replace(p95_ms=2500.0),) * 4).level == "severe"
    assert severity((Sample(0, 30, 30, 2.0, 4.0),) * 4).level == "severe"


def test_the_first_half_bad_sample_does_not_soften_severity() -> None:
    assert severity((FAILING._replace(bad=1), *(STALLED,) * 3)).level == "severe"


def test_without_evidence_there_is_no_severity() -> None:
    with pytest.raises(ValueError, match="no measured sample"):
        severity(())
