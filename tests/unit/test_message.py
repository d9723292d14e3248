"""Messages: what they may hold, that they never change, and how they travel."""

from __future__ import annotations

import copy

import pytest

from queenright.agent import AgentRef, Message
from queenright.agent.message import body_of, find_type, message_from, type_name
from queenright.core import canonical, decode
from queenright.errors import Malformed


class Point(Message):
    x: int
    y: int = 0


class Trace(Message):
    name: str
    points: tuple[Point, ...] = ()
    mark: Point | None = None
    weight: float = 1.0
    pair: tuple[str, int] = ("", 0)


class Beat(Message, volatile=True):
    pass


def test_fields_are_given_by_place_by_name_or_by_default() -> None:
    assert Point(1, 2) == Point(1, y=2) == Point(y=2, x=1)
    assert (Point(1).x, Point(1).y) == (1, 0)
    assert repr(Point(1)) == "Point(x=1, y=0)"
    assert hash(Point(1)) == hash(Point(1, 0))
    assert Point(1) != Point(2)
    assert Point(1) != (1, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Point(),
        lambda: Point(1, 2, 3),
        lambda: Point(1, z=2),
        lambda: Point(1, x=2),
        lambda: Point("1"),
        lambda: Point(True),
        lambda: Point(2**64),
        lambda: Trace("a", [Point(1)]),
        lambda: Trace("a", (1,)),
        lambda: Trace("a", weight=float("nan")),
        lambda: Trace("a", pair=("x", 1, 2)),
        lambda: Trace("a", mark=AgentRef(bytes(32))),
    ],
)
def test_a_value_of_another_type_is_refused_when_the_message_is_made(make: object) -> None:
    with pytest.raises(TypeError):
        make()  # type: ignore[operator]


def test_a_message_never_changes() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="never changes"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="never changes"):
        del point.x
    with pytest.raises(AttributeError, match="never changes"):
        point.extra = []  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        object.__setattr__(point, "x", 2)
    assert point == Point(1)
    assert copy.deepcopy(point) is point


def test_no_class_can_hold_what_could_change() -> None:
    for hint in (list, list[int], dict[str, int], tuple, object, Message, bytearray):
        with pytest.raises(TypeError, match="a message cannot hold"):
            type("Bad", (Message,), {"__annotations__": {"field": hint}, "__module__": __name__})


def test_a_bad_default_is_refused_with_the_class() -> None:
    with pytest.raises(TypeError, match=r"Odd\.n: its default wants int"):
        type("Odd", (Message,), {"__annotations__": {"n": int}, "n": "x", "__module__": __name__})
    with pytest.raises(TypeError, match="without a default follows"):
        type("Odd", (Message,), {"__annotations__": {"n": int, "m": int}, "n": 1, "__module__": __name__})


def test_an_unknown_annotation_is_named() -> None:
    with pytest.raises(TypeError, match="`Nowhere` is not known"):
        type("Odd", (Message,), {"__annotations__": {"n": "Nowhere"}, "__module__": __name__})


def test_an_int_given_for_a_float_becomes_one() -> None:
    assert type(Trace("a", weight=2).weight) is float


def test_messages_travel_as_canonical_maps_and_come_back_equal() -> None:
    trace = Trace("a", (Point(1), Point(2, 3)), Point(9), 0.5, ("b", 7))
    body = body_of(trace)
    assert message_from(Trace, body) == trace
    assert decode(body)["points"][0] == {"t": type_name(Point), "f": {"x": 1, "y": 0}}
    assert body_of(message_from(Trace, body)) == body


def test_a_field_newer_than_the_sender_takes_its_default() -> None:
    assert message_from(Point, canonical({"x": 1})) == Point(1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"x": 1, "z": 2},
        {"x": "1"},
        {"x": None},
        {"x": 1, "y": [1]},
        [1, 2],
        {"name": "a"},
    ],
)
def test_bytes_that_are_no_such_message_are_malformed(fields: object) -> None:
    with pytest.raises(Malformed):
        message_from(Point, canonical(fields))


@pytest.mark.parametrize(
    "inside",
    [
        {"t": f"{__name__}.Beat", "f": {}},
        {"t": f"{__name__}.Point"},
        {"t": f"{__name__}.Point", "f": {"x": 1}, "more": 1},
        {"t": 5, "f": {}},
        [1, 2],
        "x",
    ],
)
def test_a_message_inside_another_is_checked_as_strictly(inside: object) -> None:
    with pytest.raises(Malformed):
        message_from(Trace, canonical({"name": "a", "points": [inside]}))


def test_types_are_found_by_their_name_on_the_wire() -> None:
    assert find_type(type_name(Point)) is Point
    assert find_type(type_name(Point) + "s") is None
    assert type_name(AgentRef) == "queenright.AgentRef"
    assert Beat.__volatile__
    assert not Point.__volatile__


def test_a_subclass_has_its_parents_fields_first_and_is_another_type() -> None:
    class Space(Point):
        z: int = 5

    assert Space(1, 2) == Space(1, 2, 5)
    assert Space(1).y == 0
    with pytest.raises(TypeError):
        Trace("a", (Space(1),))


def test_size_counts_text_and_bytes() -> None:
    assert Trace("a" * 1000).__size__ - Trace("").__size__ == 1000


def test_messages_match_by_place() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_the_base_itself_is_no_message() -> None:
    with pytest.raises(TypeError):
        Message()
