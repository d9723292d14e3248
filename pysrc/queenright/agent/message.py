"""Messages: classes whose instances never change, checked field by field.

A field is None, bool, int (64 bits), float (finite), str, bytes, a tuple of these, another message, or a union. The types
are checked when the class is made and the values when an instance is made, by the core.
"""

from __future__ import annotations

import types
import typing
from typing import Any, ClassVar, TypeVar, dataclass_transform

from queenright.core.cell import Field, MessageBase, Schema, decode_message, encode_message

__all__ = ["Message", "body_of", "declare_package", "find_type", "message_from", "package_of", "type_name"]

_SCALARS = frozenset({bool, int, float, str, bytes})
# Wire name -> class. A reply or an undelivered message is decoded by it; mail is decoded by the receiver's own handlers.
_TYPES: dict[str, type[Message]] = {}

_PACKAGES: set[str] = set()

M = TypeVar("M", bound="Message")


def _kind(hint: Any) -> Any:
    """The core's form of a field type. Raises TypeError for what a message cannot hold."""
    if hint is None or hint is types.NoneType:
        return None
    if isinstance(hint, type) and (hint in _SCALARS or (issubclass(hint, Message) and hint is not Message)):
        return hint
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return ("tuple", _kind(args[0]))
    if origin is tuple:
        return ("fixed", *(_kind(arg) for arg in args))
    if origin in (typing.Union, types.UnionType):
        # A float takes an int and changes it, so it comes last.
        return ("union", *(_kind(arg) for arg in sorted(args, key=lambda arg: arg is float)))
    raise TypeError(
        f"a message cannot hold {hint!r}: fields are None, bool, int, float, str, bytes, tuple[X, ...] and messages"
    )


def hints_of(cls: type, what: str) -> dict[str, Any]:
    """The resolved annotations of a class. Raises TypeError naming one that cannot be resolved."""
    try:
        return typing.get_type_hints(cls)
    except NameError as error:
        raise TypeError(
            f"{what} `{cls.__qualname__}`: `{error.name}` is not known when the class is made; define it above, outside "
            "functions"
        ) from None


def declare_package(name: str) -> None:
    """From now on, message types of the module `name` and of those in it are called "name.Class" on the wire."""
    _PACKAGES.add(name)


def package_of(module: str) -> str:
    """The behaviour package a module belongs to; for code outside of any, its own last name."""
    top = module.partition(".")[0]
    return top if top in _PACKAGES else module.rpartition(".")[2]


def _wire_name(cls: type) -> str:
    """ "package.Class", whichever module of the package it is in; outside of packages the whole module's name stands."""
    if cls.__module__.startswith("queenright.agent."):
        package = "queenright"
    else:
        top = cls.__module__.partition(".")[0]
        package = top if top in _PACKAGES else cls.__module__
    return f"{package}.{cls.__qualname__.rpartition('<locals>.')[2]}"


@dataclass_transform(frozen_default=True)
class Message(MessageBase):
    """Base of all messages. Subclass it with annotated fields; `volatile=True`: never journaled, lost with its cell."""

    __schema__: ClassVar[Schema]
    __volatile__: ClassVar[bool] = False

    def __init_subclass__(cls, *, volatile: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hints = hints_of(cls, "message")
        fields: list[tuple[str, Any, bool, Any]] = []
        for name, hint in hints.items():
            if typing.get_origin(hint) is ClassVar:
                continue
            if name.startswith("_"):
                raise TypeError(f"message `{cls.__qualname__}`: field `{name}` starts with an underscore")
            default = getattr(cls, name, None)
            if isinstance(default, Field):  # inherited: its default is in the parent's schema
                default = cls.__schema__.default(name)
                has_default = cls.__schema__.has_default(name)
            else:
                has_default = hasattr(cls, name)
            if not has_default and fields and fields[-1][2]:
                raise TypeError(
                    f"message `{cls.__qualname__}`: `{name}` without a default follows one with a default"
                )
            try:
                fields.append((name, _kind(hint), has_default, default))
            except TypeError as error:
                raise TypeError(f"message `{cls.__qualname__}`, field `{name}`: {error}") from None
        cls.__schema__ = Schema(_wire_name(cls), fields, volatile)
        cls.__volatile__ = volatile
        type.__setattr__(cls, "__match_args__", tuple(name for name, *_ in fields))
        for at, (name, *_) in enumerate(fields):
            setattr(cls, name, Field(at, name))
        _register(cls)


def _register(cls: type[Message]) -> None:
    name = cls.__schema__.name
    old = _TYPES.get(name)
    if old is not None and old.__module__ != cls.__module__ and "<locals>" not in cls.__qualname__:
        raise TypeError(f"two message types named `{name}`: in {old.__module__} and {cls.__module__}")
    _TYPES[name] = cls


def type_name(cls: type[Message]) -> str:
    """The name a message type has on the wire: "package.Class"."""
    return cls.__schema__.name


def find_type(name: str) -> type[Message] | None:
    """The class of a wire name, if a package of this cell defines it."""
    return _TYPES.get(name)


def body_of(message: Message) -> bytes:
    """The canonical bytes of a message's fields."""
    return encode_message(message)


def message_from(cls: type[M], body: bytes) -> M:
    """The message in canonical bytes. Raises Malformed for unknown, missing or wrong fields."""
    return decode_message(cls, body)
