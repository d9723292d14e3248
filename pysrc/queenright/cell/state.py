"""An agent's state: a dataclass to canonical bytes and back, directed by its annotations.

Fields are None, bool, int, float, str, bytes, lists, tuples, sets, dicts, messages, dataclasses of these, and unions.
Canonical maps have str keys, so a dict with other keys travels as a list of pairs, and a set as a sorted list.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from queenright.agent.agent import Agent
from queenright.agent.message import Message, find_type
from queenright.core import canonical, decode
from queenright.core.cell import build_message
from queenright.errors import Malformed

__all__ = ["MAX_STATE", "dump_state", "load_state"]

MAX_STATE = 1024 * 1024  # design section 6: a snapshot of every durable turn


def dump_state(state: object) -> bytes:
    """Canonical bytes. Raises Malformed for a value no state can hold, and above MAX_STATE."""
    packed = canonical(_dump(state, type(state)))
    if len(packed) > MAX_STATE:
        raise Malformed(
            f"a state of {len(packed)} bytes is over the limit of {MAX_STATE}",
            hint="keep large things in the workspace",
        )
    return packed


def load_state(cls: type[Agent], data: bytes | None, version: int) -> object:
    """The state object: fresh for None, migrated if an older version wrote it. Raises Malformed on anything else."""
    kind = cls._state_type
    if kind is None:
        return None
    if data is None:
        return kind()
    fields = decode(data)
    if not isinstance(fields, dict):
        raise Malformed(f"the state of {cls.__qualname__} is not a map")
    if version > cls.STATE_VERSION:
        raise Malformed(
            f"the state of {cls.__qualname__} has version {version}; this code knows {cls.STATE_VERSION}"
        )
    if version < cls.STATE_VERSION:
        fields = cls.migrate(fields, version)
    return _load(fields, kind)


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def _str_keys(hint: Any) -> bool:
    args = typing.get_args(hint)
    return not args or args[0] is str


def _dump(value: Any, hint: Any) -> Any:
    if isinstance(value, Message):
        return {"t": type(value).__schema__.name, "f": value.__plain__()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        return {
            field.name: _dump(getattr(value, field.name), hints[field.name])
            for field in dataclasses.fields(value)
        }
    hint = _arm(value, hint)
    args = typing.get_args(hint)
    if isinstance(value, dict):
        inner = args[1] if len(args) == 2 else Any
        if _str_keys(hint):
            return {key: _dump(item, inner) for key, item in value.items()}
        return [[_dump(key, args[0]), _dump(item, inner)] for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_dump(item, _item(args, index)) for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((_dump(item, args[0] if args else Any) for item in value), key=canonical)
    return value


def _item(args: tuple[Any, ...], index: int) -> Any:
    if not args:
        return Any
    if len(args) == 1 or args[1] is Ellipsis:
        return args[0]
    return args[index] if index < len(args) else Any


def _arm(value: Any, hint: Any) -> Any:
    """The arm of a union that a value belongs to, by its outer type."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    for arm in typing.get_args(hint):
        outer = typing.get_origin(arm) or arm
        if isinstance(outer, type) and isinstance(value, outer):
            return arm
    return hint


def _load(value: Any, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _load_union(value, args)
    if hint is Any:
        return value
    outer = origin or hint
    if not isinstance(outer, type):
        raise Malformed(f"a state cannot hold {hint!r}")
    if issubclass(outer, Message):
        return _load_message(value, outer)
    if dataclasses.is_dataclass(outer):
        return _load_dataclass(value, outer)
    if outer is dict:
        inner = args[1] if args else Any
        if _str_keys(hint):
            return {key: _load(item, inner) for key, item in _as(value, dict, hint).items()}
        return {_load(key, args[0]): _load(item, inner) for key, item in _as(value, list, hint)}
    if outer in (list, tuple, set, frozenset):
        return outer(_load(item, _item(args, index)) for index, item in enumerate(_as(value, list, hint)))
    if outer is float and type(value) is int:
        return float(value)
    if outer is types.NoneType:
        return _as(value, types.NoneType, hint)
    return _as(value, outer, hint)


def _as(value: Any, wanted: type, hint: Any) -> Any:
    if type(value) is not wanted:
        raise Malformed(f"a state's field of type {hint!r} holds a {type(value).__name__}")
    return value


def _load_union(value: Any, arms: tuple[Any, ...]) -> Any:
    for arm in arms:
        try:
            return _load(value, arm)
        except Malformed:
            continue
    raise Malformed(f"a state's field holds a {type(value).__name__}, which none of its types takes")


def _load_message(value: Any, wanted: type[Message]) -> Message:
    if not isinstance(value, dict) or value.keys() != {"t", "f"} or not isinstance(value["t"], str):
        raise Malformed(f"a state's field of type {wanted.__qualname__} holds no message")
    cls = find_type(value["t"])
    if cls is None or not issubclass(cls, wanted):
        raise Malformed(f"a state's message `{value['t'][:64]}` is not a {wanted.__qualname__}")
    return build_message(cls, value["f"])


def _load_dataclass(value: Any, wanted: type) -> Any:
    fields = _as(value, dict, wanted)
    hints = _hints(wanted)
    known = {field.name for field in dataclasses.fields(wanted)}
    odd = sorted(fields.keys() - known)
    if odd:
        raise Malformed(
            f"the state has a field `{odd[0][:64]}` that {wanted.__qualname__} has not",
            hint="raise STATE_VERSION and write `migrate`",
        )
    # A field that is missing is newer than the state: its default stands.
    return wanted(**{name: _load(item, hints[name]) for name, item in fields.items()})
