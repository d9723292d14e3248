"""Finding entries, and the chain from an act back to the person."""

from __future__ import annotations

from typing import Any

import pytest

from queenright.errors import Malformed, Unknown
from queenright.ledger import Query, why
from queenright.wire import ids


def found(desk: Any, text: str, **how: Any) -> list[int]:
    return [hit.index for hit in Query.parse(text).search(desk.ledger, 10_000, **how)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("who:ana", [7, 1]),
        ("who:sre/*", [9, 8, 6, 5, 4, 3]),
        ("who:sre", [2]),
        ("who:supervisor", [0]),
        ("what:svc.*", [5, 4]),
        ("what:action.started", [8, 4]),
        ("what:ACTION.DONE", [9, 5]),
        ("since:3s", [9, 8, 7]),
        ("result:done", [9, 5]),
        ("result:failed", []),
        ("svc:shop/web", [5, 4]),
        ("who:sre/* what:db.* result:done", [9]),
        ("nothing-like-it", []),
    ],
)
def test_a_query_finds_exactly_what_it_says(told: Any, text: str, expected: list[int]) -> None:
    assert found(told, text) == expected


def test_a_query_by_id_takes_any_prefix(told: Any) -> None:
    story = told.story()
    intent = story[1].intent
    for text in (f"intent:{ids.short('intent', intent)}", f"intent:{intent.hex()[:8]}", f"id:{intent.hex()}"):
        assert found(told, text) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert found(told, f"id:{ids.short('act', story[4].action.id)}") == [5, 4]
    assert found(told, "intent:ffffffffffff") == []


def test_a_query_is_given_out_a_page_at_a_time(told: Any) -> None:
    assert found(told, "", limit=3) == [9, 8, 7]
    assert found(told, "", limit=3, after=7) == [6, 5, 4]
    assert found(told, "", newest=False, limit=2) == [0, 1]
    assert found(told, "", newest=False, limit=2, after=1) == [2, 3]


@pytest.mark.parametrize(
    "text", ["since:", "since:soon", "since:1w", "who:a who:b", "intent:xyz", "intent:agent-12", "x" * 600]
)
def test_a_query_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        Query.parse(text)


def test_why_leads_from_the_act_back_to_the_person(told: Any) -> None:
    story = told.story()
    chain = why(told.ledger, ids.short("act", story[8].action.id))
    assert [hit.entry.kind for hit in chain] == [
        "intent.applied",
        "agent.born",
        "ask.raised",
        "ask.decided",
        "action.started",
        "action.done",
    ]
    assert chain[0].entry.actor.name == "ana"
    assert chain[3].entry.signed is not None


def test_why_of_an_act_within_the_grant_names_no_verdict(told: Any) -> None:
    chain = why(told.ledger, ids.full("act", told.story()[4].action.id))
    kinds = [hit.entry.kind for hit in chain]
    assert kinds == ["intent.applied", "agent.born", "lease.issued", "action.started", "action.done"]


def test_why_of_what_nobody_recorded_is_unknown(told: Any) -> None:
    with pytest.raises(Unknown):
        why(told.ledger, "act-000000000000")
    with pytest.raises(Malformed):
        why(told.ledger, "no id")


def test_why_of_an_ambiguous_prefix_names_what_it_fits(told: Any) -> None:
    every = {text.partition("-")[2] for entry in told.story() for text in entry.ids().values()}
    firsts = [digits[0] for digits in every]
    shared = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(Unknown, match="fits") as refused:
        why(told.ledger, shared)
    assert refused.value.hint == "give more digits"
