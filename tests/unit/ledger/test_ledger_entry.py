"""What an entry may hold, and that its bytes mean it exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from queenright.errors import Malformed
from queenright.ledger import Agent, BlobRef, Entry, Result, Supervisor, leaf


def test_a_leaf_reads_back_as_the_entry(desk: Any) -> None:
    for entry in desk.story():
        data = leaf.encode(entry)
        assert leaf.decode(data) == entry
        assert json.loads(data)["kind"] == entry.kind


def test_a_leaf_answers_who_under_what_on_what_with_what_outcome(desk: Any) -> None:
    value = json.loads(leaf.encode(desk.story()[-1]))
    assert value["actor"]["agent"].startswith("agent-")
    assert value["actor"]["cell"] == "cell-1"
    assert value["actor"]["shared"] is False
    assert {"intent", "grant", "ask", "verdict"} <= value.keys()
    assert value["action"]["verb"] == "db.session.kill"
    assert value["action"]["undo"] == "none: a session cannot be brought back"
    assert value["result"] == {
        "code": "ok",
        "digest": value["result"]["digest"],
        "length": 12,
        "state": "done",
    }


def test_what_is_absent_is_left_out() -> None:
    data = leaf.encode(Entry("supervisor.stopped", 5, Supervisor()))
    assert data == b'{"actor":{"supervisor":true},"kind":"supervisor.stopped","t":5,"v":1}'


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "agent.invented"},
        {"t_ms": -1},
        {"t_ms": 1.5},
        {"t_ms": True},
        {"t_ms": 2**53},
        {"actor": None},
        {"intent": b"short"},
        {"intent": "intent-" + "0" * 64},
        {"actor": Agent(bytes(32), "x" * 300, 1, "cell-1", False)},
        {"actor": Agent(bytes(32), "x", 1, "cell 1\n", False)},
        {"result": Result("maybe")},  # type: ignore[arg-type]
        {"facts": {"Bad Name": 1}},
        {"facts": {"x": 1.5}},
        {"facts": {"x": ["list"]}},
        {"facts": {"x": "y" * 5000}},
        {"facts": {"x": "\ud800"}},
        {"facts": {f"f{n}": "y" * 4000 for n in range(3)}},
        {"blobs": (BlobRef("out put", bytes(32), 1, bytes(32)),)},
    ],
)
def test_what_a_leaf_may_not_hold_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        leaf.encode(replace(Entry("agent.ended", 5, Supervisor()), **changes))


def test_an_undo_is_a_digest_or_a_stated_reason(desk: Any) -> None:
    for undo in ("", "later", b"short"):
        entry = Entry(
            "action.started", 5, Supervisor(), action=desk.action("a", "svc.restart", "svc:x", undo=undo)
        )
        with pytest.raises(Malformed):
            leaf.encode(entry)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"actor":{"supervisor":true},"kind":"supervisor.stopped","t":5,"v":2}',
        b'{"actor":{"supervisor":true},"kind":"supervisor.stopped","t":5,"v":1,"x":1}',
        b'{"actor":{"supervisor":true},"extra":null,"kind":"supervisor.stopped","t":5,"v":1}',
        b'{"actor":{"supervisor":false},"kind":"supervisor.stopped","t":5,"v":1}',
        b'{"actor":{"nobody":true},"kind":"supervisor.stopped","t":5,"v":1}',
        b'{"actor":{"supervisor":true},"kind":"supervisor.stopped","t":"5","v":1}',
        b'{"actor":{"supervisor":true},"kind":["x"],"t":5,"v":1}',
        b'{"actor":{"supervisor":true},"intent":"intent-zz","kind":"supervisor.stopped","t":5,"v":1}',
        b'{"actor":{"supervisor":true},"facts":[],"kind":"supervisor.stopped","t":5,"v":1}',
        b'{"action":"x","actor":{"supervisor":true},"kind":"supervisor.stopped","t":5,"v":1}',
        b'{"actor":7,"kind":"supervisor.stopped","t":5,"v":1}',
        b'{"actor":{"supervisor":true},"kind":"supervisor.stopped","t":5,"v":1} ',
        b"[" * 8000,
        b"9" * 8000,
        b"\xff\xfe",
        b"x" * 9000,
    ],
)
def test_bytes_that_are_no_leaf_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        leaf.decode(data)
