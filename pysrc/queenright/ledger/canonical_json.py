"""Canonical JSON (RFC 8785) for the values a leaf holds: strings, whole numbers, booleans, null, lists, maps.

There are no floats: the one hard part of RFC 8785 is left out by having nothing that needs it.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from queenright.errors import Malformed

__all__ = ["MAX_INT", "dump", "load", "parse"]

MAX_INT = 2**53 - 1
"""RFC 8785 numbers are IEEE doubles: beyond this a reader elsewhere would see another number (RFC 7493,
section 2.2).
"""
_MAX_DEPTH = 8


def dump(value: Any) -> bytes:
    """The one form of `value` in UTF-8. Raises Malformed for what has none."""
    plain = _check(value, 0)
    # The standard library's escapes are those of RFC 8785, section 3.2.2.2, and for ASCII its order of keys
    # is too.
    text = (
        json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        if plain
        else _text(value)
    )
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("text with a lone surrogate has no canonical JSON") from None


def load(data: bytes) -> Any:
    """The value of which `data` is the canonical form. Raises Malformed for any other bytes."""
    value = parse(data)
    if dump(value) != data:
        raise Malformed("JSON that is not in canonical form (RFC 8785)")
    return value


def parse(data: bytes) -> Any:
    """The value of `data`, in whatever form it is written. Raises Malformed for floats, a key twice, or no
    JSON.
    """
    try:
        return json.loads(
            data.decode("utf-8"), parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_map
        )
    except (ValueError, RecursionError) as broken:
        raise Malformed(f"not JSON: {type(broken).__name__}") from None


def _check(value: Any, depth: int) -> bool:
    """Refuse what has no form; True if every key is ASCII."""
    if depth > _MAX_DEPTH:
        raise Malformed(f"more than {_MAX_DEPTH} lists and maps inside each other")
    if value is None or isinstance(value, (bool, str)):
        return True
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise Malformed("a number beyond 2^53 - 1 is another number elsewhere; write it as text")
        return True
    if isinstance(value, (list, tuple)):
        return all([_check(item, depth + 1) for item in value])
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Malformed("a map's key is not text")
        plain = all([_check(item, depth + 1) for item in value.values()])
        return plain and all(key.isascii() for key in value)
    raise Malformed(f"a {type(value).__name__} has no place in a ledger entry")


def _text(value: Any) -> str:
    """As `json.dumps`, with keys in the order of their UTF-16 code units (section 3.2.3)."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in items) + "}"
    return json.dumps(value, ensure_ascii=False)


def _no_float(text: str) -> NoReturn:
    raise Malformed("a number that is not whole")


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("a map's key twice")
    return value
