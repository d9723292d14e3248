"""An agent's state: what survives, what is refused, how it moves to a new version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from queenright.agent import Agent, AgentRef, Message
from queenright.cell.state import MAX_STATE, dump_state, load_state
from queenright.core import canonical, decode
from queenright.errors import Malformed


class Note(Message):
    text: str


@dataclass
class Inner:
    n: int = 0


@dataclass
class Whole:
    count: int = 0
    ratio: float = 0.5
    name: str | None = None
    raw: bytes = b""
    names: list[str] = field(default_factory=list)
    pair: tuple[int, str] = (0, "")
    row: tuple[float, ...] = ()
    by_name: dict[str, Inner] = field(default_factory=dict)
    by_id: dict[bytes, AgentRef] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    inner: Inner = field(default_factory=Inner)
    notes: list[Note] = field(default_factory=list)
    either: Note | Inner | None = None
    anything: list[Any] = field(default_factory=list)


@dataclass
class Now:
    total: int = 0


class Holder(Agent):
    state: Whole


def full() -> Whole:
    return Whole(
        count=3,
        ratio=2.0,
        name="n",
        raw=b"\x00\xff",
        names=["a", "b"],
        pair=(1, "x"),
        row=(1.0, 2.5),
        by_name={"k": Inner(4)},
        by_id={b"i" * 32: AgentRef(b"i" * 32, "kid")},
        seen={3, 1, 2},
        inner=Inner(9),
        notes=[Note("hello")],
        either=Note("which"),
        anything=[1, "two", [None, {"x": 1.5}]],
    )


def test_a_state_comes_back_as_it_was() -> None:
    packed = dump_state(full())
    assert load_state(Holder, packed, 1) == full()
    assert dump_state(load_state(Holder, packed, 1)) == packed


def test_a_new_agent_starts_with_the_defaults() -> None:
    assert load_state(Holder, None, 1) == Whole()


def test_equal_states_are_equal_bytes_whatever_the_order_of_their_sets() -> None:
    first, second = Whole(seen={1, 2, 3}), Whole(seen={3, 2, 1})
    second.seen.discard(2)
    second.seen.add(2)
    assert dump_state(first) == dump_state(second)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anything", [object()]),
        ("ratio", float("inf")),
        ("count", 2**70),
        ("anything", [{1: 2}]),
        ("names", [{4}, object()]),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, value: Any) -> None:
    state = Whole()
    setattr(state, name, value)
    with pytest.raises(Malformed):
        dump_state(state)


def test_a_state_over_its_limit_is_refused_with_the_way_out() -> None:
    with pytest.raises(Malformed, match="over the limit") as refused:
        dump_state(Whole(raw=bytes(MAX_STATE)))
    assert "workspace" in refused.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"count": "three"},
        {"count": True},
        {"name": 5},
        {"names": "ab"},
        {"by_name": []},
        {"by_id": {"x": 1}},
        {"inner": 5},
        {"inner": {"n": 1, "more": 2}},
        {"notes": [{"t": "nobody.Nothing", "f": {}}]},
        {"notes": [{"t": "queenright.AgentRef", "f": {"id": b"x"}}]},
        {"either": {"zzz": 1}},
        {"unknown": 1},
    ],
)
def test_bytes_of_another_shape_are_malformed(change: dict[str, Any]) -> None:
    fields = decode(dump_state(full())) | change
    with pytest.raises(Malformed):
        load_state(Holder, canonical(fields), 1)


def test_a_field_newer_than_the_state_takes_its_default() -> None:
    fields = decode(dump_state(full()))
    del fields["names"]
    loaded = load_state(Holder, canonical(fields), 1)
    assert isinstance(loaded, Whole)
    assert loaded.names == []


def test_an_older_version_is_migrated_and_a_newer_one_refused() -> None:
    class Moved(Agent):
        state: Now
        STATE_VERSION = 3

        @classmethod
        def migrate(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
            return {"total": state["sum"] + version}

    assert load_state(Moved, canonical({"sum": 4}), 2) == Now(6)
    with pytest.raises(Malformed, match="has version 4"):
        load_state(Moved, canonical({"total": 1}), 4)


def test_without_migrate_an_older_state_is_refused_by_name() -> None:
    class Stuck(Agent):
        state: Whole
        STATE_VERSION = 2

    with pytest.raises(NotImplementedError, match="no `migrate` from version 1"):
        load_state(Stuck, dump_state(Whole()), 1)
