"""Signed orders: how a client makes one and what the server checks before it is spent.

An order is SSHSIG (`order@queenright.v1`) over the canonical map {"v", "runtime", "order", "target",
"policy", "nonce", "not_after"}: for this supervisor, this method with exactly these parameters, under this
policy revision, once, and only until `not_after`.
"""

from __future__ import annotations

from typing import Any

from queenright.control.protocol import ORDER_NAMESPACE, VERSION, order_target
from queenright.control.service import SignedOrder
from queenright.core import canonical, decode, verify_sshsig
from queenright.errors import Conflict, Malformed, NotEntitled

__all__ = ["ORDER_LIFE_MS", "check_order", "order_bytes"]

ORDER_LIFE_MS = (
    2 * 60 * 1000
)  # long enough for a passphrase or a touch, short enough that a lost order is worthless
MAX_ORDER = 1024
_FIELDS = {
    "v": int,
    "runtime": bytes,
    "order": str,
    "target": bytes,
    "policy": bytes,
    "nonce": bytes,
    "not_after": int,
}


def order_bytes(
    *,
    runtime: bytes,
    method: str,
    params: dict[str, Any],
    policy_revision: bytes,
    nonce: bytes,
    not_after: int,
) -> bytes:
    """The bytes an operator signs. `nonce` is 16 random bytes, `not_after` wall-clock milliseconds."""
    return canonical(
        {
            "v": VERSION,
            "runtime": runtime,
            "order": method,
            "target": order_target(method, params),
            "policy": policy_revision,
            "nonce": nonce,
            "not_after": not_after,
        }
    )


def check_order(
    order: bytes,
    signature: str,
    *,
    key_line: str,
    method: str,
    params: dict[str, Any],
    runtime: bytes,
    policy_revision: bytes,
    now_ms: int,
) -> SignedOrder:
    """The order, if it is signed by this key for exactly this call, here and now. It is not spent yet.

    Raises Malformed, InvalidSignature, NotEntitled (another call, another supervisor, too late) or Conflict
    (the policy changed since it was signed).
    """
    if len(order) > MAX_ORDER:
        raise Malformed(f"an order of {len(order)} bytes is over the limit of {MAX_ORDER}")
    body = decode(order)
    if type(body) is not dict or body.keys() != _FIELDS.keys():
        raise Malformed("not an order of version 1")
    if any(type(body[name]) is not kind for name, kind in _FIELDS.items()) or body["v"] != VERSION:
        raise Malformed("not an order of version 1")
    if len(body["nonce"]) != 16:
        raise Malformed(f"an order's nonce is 16 bytes, not {len(body['nonce'])}")
    verify_sshsig(key_line, ORDER_NAMESPACE, order, signature)
    if body["runtime"] != runtime:
        raise NotEntitled("the order is for another supervisor", hint="sign it again for this one")
    if body["order"] != method or body["target"] != order_target(method, params):
        raise NotEntitled(
            f"the order does not cover this call of `{method}`", hint="sign exactly what is called"
        )
    if body["not_after"] <= now_ms:
        late = (now_ms - body["not_after"]) // 1000
        raise NotEntitled(f"the order ended {late} s ago", hint="sign it again; check this machine's clock")
    if body["not_after"] > now_ms + 2 * ORDER_LIFE_MS:
        raise NotEntitled("the order would live too long", hint="check this machine's clock")
    if body["policy"] != policy_revision:
        raise Conflict(
            "operators or resources changed since the order was signed", hint="look again and sign again"
        )
    return SignedOrder(order, signature, body["nonce"], body["not_after"])
