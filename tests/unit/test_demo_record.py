"""The table's facts are read out of the ledger's entries, and out of nothing else."""

from typing import Any

from queenright.demo.record import entries, summarise


def born(t: int, agent: str, behaviour: str = "sre.LogAgent") -> dict[str, Any]:
    return {"kind": "agent.born", "t": t, "agent": agent, "facts": {"behaviour": behaviour}}


def ended(t: int, agent: str) -> dict[str, Any]:
    return {"kind": "agent.ended", "t": t, "agent": agent}


def act(t: int, kind: str, verb: str, id: str = "act-1", klass: str = "exact", **more: Any) -> dict[str, Any]:
    return {"kind": f"action.{kind}", "t": t, "action": {"id": id, "verb": verb, "class": klass}, **more}


def test_the_peak_counts_who_was_alive_at_once() -> None:
    ledger = [
        born(1, "w"),
        born(10, "a"),
        born(11, "b"),
        ended(12, "a"),
        born(13, "c"),
        ended(14, "b"),
        ended(15, "c"),
    ]
    record = summarise(ledger, 5)
    assert (record.peak, record.after) == (3, 1)
    assert record.investigators == ["a", "b", "c"]


def test_what_was_before_the_fault_is_not_counted_as_its_doing() -> None:
    ledger = [
        born(1, "w"), born(2, "x", "sre.Commander"), act(3, "started", "svc.restart"), act(4, "done", "svc.restart"),
        ended(5, "x"),
    ]  # fmt: skip
    record = summarise(ledger, 6)
    assert (record.detected_ms, record.alone, record.peak, record.done_ms) == (None, [], 1, None)


def test_an_act_within_the_intent_was_done_alone() -> None:
    ledger = [
        born(7, "c", "sre.Commander"),
        act(8, "started", "release.rollback"),
        act(9, "done", "release.rollback"),
    ]
    record = summarise(ledger, 6)
    assert (record.detected_ms, record.alone, record.asked, record.done_ms) == (
        7,
        ["release.rollback"],
        [],
        9,
    )


def test_an_act_that_a_verdict_allowed_was_not_done_alone() -> None:
    facts = {"verb": "db.session.kill", "answer": "once"}
    ledger = [
        {"kind": "ask.raised", "t": 7, "action": {"id": "act-1", "verb": "db.session.kill", "class": "none"}},
        {"kind": "ask.decided", "t": 8, "actor": {"name": "demo-script"}, "facts": facts},
        act(9, "started", "db.session.kill", klass="none", verdict="verdict-1"),
        act(10, "done", "db.session.kill", klass="none"),
    ]
    record = summarise(ledger, 6)
    assert (record.alone, record.asked, record.decided_by, record.verdict) == (
        [], ["db.session.kill"], "demo-script", "approved",
    )  # fmt: skip
    assert record.done_ms == 10


def test_a_no_and_a_silence_are_told_apart() -> None:
    denied = {
        "kind": "ask.decided",
        "t": 8,
        "actor": {"name": "you"},
        "facts": {"verb": "x", "answer": "deny"},
    }
    assert summarise([denied], 0).verdict == "denied"
    assert summarise([{"kind": "ask.expired", "t": 8, "facts": {"verb": "x"}}], 0).verdict == "expired"


def test_reads_are_no_acts_and_failures_are_kept() -> None:
    ledger = [act(1, "done", "metrics.read", klass="read"), act(2, "failed", "svc.restart")]
    record = summarise(ledger, 0)
    assert record.alone == []
    assert record.unwell == ["svc.restart: failed"]


def test_entries_come_in_the_ledgers_order() -> None:
    assert entries([{"index": 1, "entry": b'{"kind":"b"}'}, {"index": 0, "entry": b'{"kind":"a"}'}]) == [
        {"kind": "a"},
        {"kind": "b"},
    ]
