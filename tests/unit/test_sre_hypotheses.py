"""Each fault's evidence speaks for it, one voice is not enough, and remedies come from the runbook."""

import pytest

from queenright.demo.sre.evidence import Evidence
from queenright.demo.sre.hypotheses import Hypothesis, Runbook, Witness, hypotheses
from queenright.demo.sre.pieces import Service

BOOK = Runbook(
    Service("svc:shop/edge", ("svc:shop/w1", "svc:shop/w2")),
    "svc:shop/web",
    "db:shop/main",
    ("orders_by_customer", "orders", ("customer", "placed")),
    60,
)

FAULTS = {
    "bad-release": [
        ("errors_on_release", "v2", 0.3),
        ("exception", "v2", 12),
        ("release_changed", "v2", 1_000),
    ],
    "dead-worker": [("target_down", "svc:shop/w2", 1), ("upstream_failed", "w2", 2)],
    "stuck-sessions": [
        ("write_wait", "svc:shop/w1", 0.5),
        ("write_timeouts", "svc:shop/w2", 9),
        ("session", "w2-107", 5_000),
        ("old_transaction", "svc:shop/w2", 4.5),
    ],
    "missing-index": [
        ("slow_route", "/orders", 45),
        ("full_scan", "orders", 30),
        ("db_work", "svc:shop/w1", 2e6),
    ],
    "bad-config": [
        ("upstream_failed", "w1", 5),
        ("upstream_failed", "w2", 5),
        ("no_live_upstream", "svc:shop/edge", 60),
        ("config_changed", "2", 1_000),
    ],
}
REMEDIES = {
    "bad-release": ("release.rollback", "svc:shop/web", {}),
    "dead-worker": ("svc.restart", "svc:shop/w2", {}),
    "stuck-sessions": ("db.session.kill", "db:shop/main", {"id": "w2-107", "started": 5_000}),
    "missing-index": (
        "db.index.create",
        "db:shop/main",
        {"name": "orders_by_customer", "table": "orders", "columns": ["customer", "placed"]},
    ),
    "bad-config": ("config.restore", "svc:shop/edge", {}),
}


def judge(facts: list[tuple[str, str, float]]) -> tuple[Hypothesis, ...]:
    """Each fact from an agent of its own."""
    return hypotheses((Witness(f"agent-{n}", Evidence(*one)) for n, one in enumerate(facts)), BOOK)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_evidence_of_a_fault_speaks_for_it_and_names_its_remedy(fault: str) -> None:
    best = judge(FAULTS[fault])[0]
    assert best.cause == fault
    assert best.remedy == REMEDIES[fault]
    assert best.voices >= 2


@pytest.mark.parametrize("fault", FAULTS)
def test_one_agent_alone_convinces_nobody(fault: str) -> None:
    witnesses = [Witness("one", Evidence(*facts)) for facts in FAULTS[fault]]
    assert hypotheses(witnesses, BOOK) == ()


def test_without_evidence_there_is_no_hypothesis() -> None:
    assert judge([]) == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cause_names_only_witnesses_that_speak_for_it(fault: str) -> None:
    noise = [("slow_route", "/orders", 30.0), ("upstream_failed", "w1", 1.0), ("exception", "v9", 1.0)]
    best = judge(FAULTS[fault] + noise)[0]
    assert best.cause == fault
    kinds = {witness.evidence.kind for witness in best.witnesses}
    assert kinds <= {kind for kind, _, _ in FAULTS[fault]} | {"slow_route"} & kinds


def test_a_dead_worker_is_not_taken_for_a_bad_config() -> None:
    assert [h.cause for h in judge(FAULTS["dead-worker"] + FAULTS["bad-config"])] == ["dead-worker"]


def test_the_oldest_session_is_the_one_that_blocks() -> None:
    facts = [*FAULTS["stuck-sessions"], ("session", "w1-3", 9_000), ("session", "w1-4", 7_000)]
    assert judge(facts)[0].remedy.args["id"] == "w2-107"


def test_a_table_the_runbook_has_no_index_for_is_left_alone() -> None:
    assert judge([("slow_route", "/orders", 45), ("full_scan", "secrets", 30)]) == ()


def test_a_target_outside_the_service_is_never_restarted() -> None:
    assert judge([("target_down", "svc:bank/core", 1), ("upstream_failed", "core", 9)]) == ()
