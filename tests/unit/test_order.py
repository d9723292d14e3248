"""Orders: for one call, here, now, by an enrolled person, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from authority_world import RUNTIME, World, bytes_source, operators, person, sign

from queenright.authority.order import MAX_LIFE_MS, Order
from queenright.core.host import Refused
from queenright.errors import Conflict, InvalidSignature, Malformed, NotEntitled

NOW = 1_800_000_000_000
TARGET, POLICY = b"t" * 32, b"p" * 32
CALL = {"runtime": RUNTIME, "order": "undo", "target": TARGET, "policy": POLICY, "now_ms": NOW}


def make(**facts: object) -> Order:
    given: dict[str, object] = {
        "runtime": RUNTIME, "order": "undo", "target": TARGET, "policy": POLICY, "not_after": NOW + 60_000,
        "rand": bytes_source(),
    }  # fmt: skip
    return Order.make(**given | facts)  # type: ignore[arg-type]


def verify(order: Order, **facts: object) -> str:
    document = order.encode()
    return Order.verify(document, sign("ben", "order", document), operators(), **CALL | facts)[1].person.name  # type: ignore[arg-type]


def test_order_for_this_call_verifies() -> None:
    assert verify(make()) == "ben"


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"runtime": bytes(32)}, NotEntitled),
        ({"order": "resume"}, NotEntitled),
        ({"target": bytes(32)}, NotEntitled),
        ({"policy": bytes(32)}, Conflict),
        ({"not_after": NOW}, NotEntitled),
        ({"not_after": NOW + MAX_LIFE_MS + 1}, NotEntitled),
    ],
)
def test_order_for_anything_else_is_refused(facts: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        verify(make(**facts))


def test_order_signed_by_nobody_or_in_another_namespace_is_refused() -> None:
    document = make().encode()
    with pytest.raises(InvalidSignature):
        Order.verify(document, sign("ben", "approve", document), operators(), **CALL)  # type: ignore[arg-type]
    with pytest.raises(InvalidSignature):
        Order.verify(document, sign("ben", "order", document), operators(person("ana")), **CALL)  # type: ignore[arg-type]


def test_order_is_spent_once_over_restarts(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.commit(make().spend())
    world.restart()
    with pytest.raises(Refused):
        world.store.commit(make().spend())


def test_bytes_that_are_no_order_are_refused() -> None:
    for data in (b"", b"\x80", make().encode() + b"\0", make().encode()[:-1]):
        with pytest.raises(Malformed):
            Order.decode(data)
    with pytest.raises(Malformed):
        make(order="x" * 65)
