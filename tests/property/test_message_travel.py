"""Whatever a message or a state may hold comes back equal, and sealed bytes open only as they were sealed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from queenright.agent import Agent, Message
from queenright.agent.message import body_of, message_from
from queenright.cell.state import dump_state, load_state
from queenright.core import decode
from queenright.errors import Malformed


class Leaf(Message):
    n: int
    text: str = ""


class Tree(Message):
    flag: bool | None
    size: float | int
    raw: bytes
    leaves: tuple[Leaf, ...]
    pair: tuple[str, Leaf | None]
    deep: tuple[tuple[int, ...], ...]


@dataclass
class Nest:
    value: Any = None
    names: dict[str, list[int]] = field(default_factory=dict)
    by_id: dict[bytes, Leaf] = field(default_factory=dict)


class Keeper(Agent):
    state: Nest


INTS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.builds(Leaf, INTS, st.text())
TREES = st.builds(
    Tree,
    st.none() | st.booleans(),
    FLOATS | st.integers(-(2**40), 2**40),
    st.binary(max_size=50),
    st.lists(LEAVES, max_size=4).map(tuple),
    st.tuples(st.text(), st.none() | LEAVES),
    st.lists(st.lists(INTS, max_size=3).map(tuple), max_size=3).map(tuple),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(TREES)
def test_a_message_comes_back_equal_and_as_the_same_bytes(tree: Tree) -> None:
    body = body_of(tree)
    again = message_from(Tree, body)
    assert again == tree
    assert hash(again) == hash(tree)
    assert body_of(again) == body


@given(TREES, st.integers(0, 2**16), st.integers(0, 7))
def test_bytes_with_a_flipped_bit_are_another_message_or_malformed(tree: Tree, at: int, bit: int) -> None:
    body = bytearray(body_of(tree))
    body[at % len(body)] ^= 1 << bit
    try:
        found = message_from(Tree, bytes(body))
    except Malformed:
        return
    assert body_of(found) == bytes(body)
    assert found != tree


@given(PLAIN)
def test_any_canonical_value_is_a_message_or_malformed_and_nothing_else(value: Any) -> None:
    from queenright.core import canonical

    for cls in (Leaf, Tree):
        try:
            found = message_from(cls, canonical(value))
        except Malformed:
            continue
        assert isinstance(found, cls)


@given(PLAIN, st.dictionaries(st.text(), st.lists(INTS)), st.dictionaries(st.binary(max_size=8), LEAVES))
def test_a_state_comes_back_equal(value: Any, names: dict[str, list[int]], by_id: dict[bytes, Leaf]) -> None:
    packed = dump_state(Nest(value, names, by_id))
    loaded = load_state(Keeper, packed, 1)
    assert isinstance(loaded, Nest)
    assert (loaded.names, loaded.by_id) == (names, by_id)
    assert dump_state(loaded) == packed
    assert decode(packed)["value"] == loaded.value
