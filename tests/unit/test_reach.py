"""Who may write to whom, and for how long an answer is owed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from queenright.supervisor.reach import ANSWER_MS, Reach

INTENT, OTHER = b"i" * 32, b"o" * 32


def agent(id: bytes, *, intent: bytes = INTENT, parent: bytes = bytes(32), behaviour: str = "p.A") -> Any:
    return SimpleNamespace(id=id, intent=intent, parent=parent, behaviour=behaviour)


def test_kin_and_talk_clauses_let_write_and_nothing_else_does() -> None:
    reach = Reach()
    root, kid, peer = agent(b"r"), agent(b"k", parent=b"r"), agent(b"p", behaviour="p.B")
    assert reach.allows(root, root, 0)
    assert reach.allows(root, kid, 0)
    assert reach.allows(kid, root, 0)
    assert not reach.allows(kid, peer, 0), "an intent that was never set allows nothing"
    reach.set_intent(INTENT, lambda sender, target: (sender, target) == ("p.A", "p.B"))
    assert reach.allows(kid, peer, 0)
    assert not reach.allows(peer, kid, 0)
    assert not reach.allows(kid, agent(b"f", intent=OTHER, behaviour="p.B"), 0)


def test_who_wrote_may_be_answered_for_an_hour() -> None:
    reach = Reach()
    one, two = agent(b"1"), agent(b"2", intent=OTHER)
    reach.heard(one, two, 1000)
    assert reach.allows(one, two, 1000 + ANSWER_MS)
    assert not reach.allows(one, two, 1001 + ANSWER_MS)
    assert not reach.allows(two, one, 1000)


def test_nobody_is_remembered_for_longer_than_two_hours_or_for_what_needs_no_memory() -> None:
    reach = Reach()
    reach.set_intent(INTENT, lambda sender, target: True)
    one, two, far = agent(b"1"), agent(b"2"), agent(b"3", intent=OTHER)
    reach.heard(one, two, 10)
    assert reach._heard == {}
    reach.heard(one, far, 10)
    assert reach.heard_by(b"1") == [b"3"]
    reach.heard(two, far, 10 + 2 * ANSWER_MS)
    assert reach.heard_by(b"1") == []
    assert reach.heard_by(b"2") == [b"3"]
