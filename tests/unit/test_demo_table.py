"""The demo's table claims nothing that did not happen: each broken promise is found."""

from dataclasses import replace

import pytest

from queenright.demo.table import PROMISED, SIZE, Closing, Row, as_data, problems, render

CLOSING = Closing(leases_left=0, entries=9, verified=True, verifier="9 entries, tail checked", seconds=60.0)
GOOD = {
    fault: Row(
        fault,
        hurt="14 of 30 failed",
        severity="".join(promise.severity[:1]),
        detected_s=5.0 if promise.severity else None,
        agents=SIZE["".join(promise.severity[:1])][0],
        pieces=[f"piece {n}" for n in range(max(0, SIZE["".join(promise.severity[:1])][0] - 3))],
        alone=list(promise.alone),
        asked=list(promise.asked),
        decided_by="demo script" if promise.asked else "",
        verdict="approved" if promise.asked else "",
        healthy_s=12.0,
        agents_after=1,
    )
    for fault, promise in PROMISED.items()
}


@pytest.mark.parametrize("fault", PROMISED)
def test_a_run_that_kept_every_promise_has_no_problem(fault: str) -> None:
    assert problems([GOOD[fault]], CLOSING) == []


@pytest.mark.parametrize("fault", PROMISED)
@pytest.mark.parametrize(
    "broken",
    [
        {"hurt": ""},
        {"severity": "tiny"},
        {"agents": 0},
        {"agents": 61},
        {"alone": ["shell.run"]},
        {"asked": ["secret.reveal"]},
        {"healthy_s": None},
        {"agents_after": 2},
        {"agents_after": 0},
        {"blind": ["errors of svc:shop/edge"]},
        {"pieces": ["one", "one"]},
    ],
)
def test_each_broken_promise_is_found(fault: str, broken: dict[str, object]) -> None:
    assert problems([replace(GOOD[fault], **broken)], CLOSING)  # type: ignore[arg-type]


def test_a_small_fault_with_too_many_and_a_severe_one_with_too_few_agents_is_a_problem() -> None:
    assert problems([replace(GOOD["bad-release"], agents=7)], CLOSING)
    assert problems([replace(GOOD["stuck-sessions"], agents=39)], CLOSING)


def test_the_size_must_fit_the_severity_that_was_measured() -> None:
    row = replace(GOOD["missing-index"], severity="severe")
    assert problems([row], CLOSING)
    assert problems([replace(row, agents=47)], CLOSING)
    assert problems([replace(row, agents=47, pieces=[str(n) for n in range(44)])], CLOSING) == []
    assert problems([replace(row, agents=47, pieces=[str(n % 43) for n in range(44)])], CLOSING)


def test_an_ask_without_a_decision_and_a_decision_without_an_ask_are_problems() -> None:
    assert problems([replace(GOOD["stuck-sessions"], decided_by="", verdict="")], CLOSING)
    assert problems([replace(GOOD["stuck-sessions"], verdict="denied")], CLOSING)
    assert problems([replace(GOOD["bad-release"], decided_by="demo script")], CLOSING)


def test_an_undetected_fault_and_a_detected_false_alarm_are_problems() -> None:
    assert problems([replace(GOOD["bad-release"], detected_s=None)], CLOSING)
    assert problems([replace(GOOD["false-alarm"], detected_s=4.0)], CLOSING)


@pytest.mark.parametrize("broken", [{"leases_left": 1}, {"verified": False}, {"left_running": 1}])
def test_the_whole_run_is_judged_too(broken: dict[str, object]) -> None:
    assert problems([GOOD["bad-release"]], replace(CLOSING, **broken))  # type: ignore[arg-type]


def test_the_table_shows_every_row_and_the_whole() -> None:
    text = render([GOOD["bad-release"], GOOD["stuck-sessions"]], CLOSING)
    lines = text.splitlines()
    assert len(lines) == 9
    assert lines[2].startswith("bad-release")
    assert "release.rollback" in lines[2]
    assert "demo script" in lines[3]
    assert lines[4] == "bad-release: customers' worst second: 14 of 30 failed"
    assert lines[6].split() == ["leases", "left", "0"]
    assert "yes: 9 entries" in lines[7]
    assert "NO:" in render([], replace(CLOSING, verified=False))


def test_the_data_says_the_same() -> None:
    data = as_data([GOOD["bad-release"]], CLOSING)
    assert data["faults"][0]["alone"] == ["release.rollback"]
    assert (data["leases_left"], data["verified"], data["problems"]) == (0, True, [])
