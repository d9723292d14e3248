"""Signed documents: canonical maps that people sign as SSHSIG, each kind in a namespace of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from queenright.core import decode
from queenright.errors import Malformed

__all__ = ["APPROVE", "INTENT", "NONCE", "OPERATORS", "ORDER", "Fields", "exact", "fields", "texts"]

INTENT: Final = "intent@queenright.v1"
APPROVE: Final = "approve@queenright.v1"
ORDER: Final = "order@queenright.v1"
OPERATORS: Final = "operators@queenright.v1"
NONCE: Final = 16
"""Bytes: 128 bits, so that two documents of one kind never meet by chance."""

Fields = dict[str, Any]
_NAMES = {
    int: "a whole number",
    str: "text",
    bytes: "bytes",
    list: "a list",
    dict: "a map",
    bool: "yes or no",
    type(None): "nothing",
}


def fields(data: bytes, kind: str, shape: Mapping[str, type | tuple[type, ...]]) -> Fields:
    """The fields of a canonical map {"v": 1, "kind": kind} with exactly `shape`. Raises Malformed naming the first wrong."""
    body = decode(data)
    if not isinstance(body, dict) or body.get("kind") != kind:
        raise Malformed(f"these bytes are no document of the kind `{kind}`")
    if body.get("v") != 1:
        raise Malformed(f"`{kind}` of version {body.get('v')!r}: this queenright reads version 1")
    del body["v"], body["kind"]
    if body.keys() != shape.keys():
        wrong = sorted(body.keys() ^ shape.keys())
        raise Malformed(
            f"a {kind} has other fields than its version says: {', '.join(map(str, wrong))[:120]}"
        )
    for name, wanted in shape.items():
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        if type(body[name]) not in allowed:
            raise Malformed(
                f"field `{name}` of `{kind}` is not {' or '.join(_NAMES[one] for one in allowed)}"
            )
    return body


def exact(value: bytes, size: int, name: str) -> bytes:
    """`value` if it is `size` bytes long."""
    if type(value) is not bytes or len(value) != size:
        raise Malformed(f"`{name}` is {size} bytes")
    return value


def texts(value: object, name: str) -> tuple[str, ...]:
    """A list of different texts, as a tuple."""
    if (
        not isinstance(value, list)
        or any(type(item) is not str for item in value)
        or len(set(value)) != len(value)
    ):
        raise Malformed(f"`{name}` is a list of different texts")
    return tuple(value)
