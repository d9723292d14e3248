"""Signed orders over the control socket: what a client signs for one call, and the server's check of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queenright.authority.operators import Operators, Signer
from queenright.authority.order import Order
from queenright.control.protocol import order_target
from queenright.control.service import SignedOrder
from queenright.errors import NotEntitled

__all__ = ["ORDER_LIFE_MS", "check_order", "order_bytes"]

ORDER_LIFE_MS = (
    2 * 60_000
)  # half of what the authority room allows at most, so that two clocks may differ a little


def order_bytes(
    *,
    runtime: bytes,
    method: str,
    params: dict[str, Any],
    policy_revision: bytes,
    not_after: int,
    rand: Callable[[int], bytes],
) -> bytes:
    """The bytes an operator signs for one call. `not_after` is in wall-clock milliseconds of the supervisor."""
    return Order.make(
        runtime, method, order_target(method, params), policy_revision, not_after, rand
    ).encode()


def check_order(
    document: bytes,
    signature: str,
    *,
    operators: Operators,
    caller: Signer,
    method: str,
    params: dict[str, Any],
    runtime: bytes,
    policy_revision: bytes,
    now_ms: int,
) -> SignedOrder:
    """The order, if this session's own operator signed it for exactly this call, here and now. Not spent yet.

    Raises Malformed, InvalidSignature, NotEntitled (another call, person or supervisor, too late) or Conflict (the
    policy changed since it was signed).
    """
    order, signer = Order.verify(
        document,
        signature,
        operators,
        runtime=runtime,
        order=method,
        target=order_target(method, params),
        policy=policy_revision,
        now_ms=now_ms,
    )
    if signer.person.name != caller.person.name:
        raise NotEntitled(
            f"the order was signed by {signer.person.name}, and this session is {caller.person.name}'s",
            hint="whoever signs an order gives it",
        )
    return SignedOrder(order, document, signature, signer)
