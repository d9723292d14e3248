"""The class an author writes: typed handlers and one `state` dataclass."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from queenright.agent.message import Message, hints_of

if TYPE_CHECKING:
    from queenright.agent.context import Context

__all__ = ["Agent", "handles"]

F = TypeVar("F", bound=Callable[..., Any])
_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, without importing inspect


def handles(method: F) -> F:
    """Mark an `async def method(self, ctx, message: SomeMessage)` as the handler of that type (or of a union of types)."""
    code = getattr(method, "__code__", None)
    if code is None or not code.co_flags & _CO_COROUTINE or code.co_argcount != 3:
        raise TypeError("a handler is `async def name(self, ctx, message: SomeMessage)`")
    method.__handles__ = True  # type: ignore[attr-defined]
    return method


class Agent:
    """Base of all behaviours. Nothing of an object but `state` outlives a turn, so nothing else can be set on it."""

    STATE_VERSION: ClassVar[int] = 1
    cell: ClassVar[str] = "shared"

    _handlers: ClassVar[dict[type[Message], str]] = {}
    _state_type: ClassVar[type | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.cell not in ("shared", "own"):
            raise TypeError(f'{cls.__qualname__}.cell is "shared" or "own", not {cls.cell!r}')
        if "__init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} defines __init__; give `state` defaults and do the rest in on_start"
            )
        cls._state_type = _state_type(cls)
        cls._handlers = dict(cls._handlers)
        for name, method in vars(cls).items():
            if getattr(method, "__handles__", False):
                for message in _message_types(cls, method):
                    other = cls._handlers.get(message)
                    if other is not None and other != name and other in vars(cls):
                        raise TypeError(
                            f"{cls.__qualname__}: `{other}` and `{name}` both handle {message.__name__}"
                        )
                    cls._handlers[message] = name

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "state":
            raise AttributeError(
                f"only `state` outlives a turn: put `{name}` into the state dataclass of {type(self).__qualname__}"
            )
        object.__setattr__(self, name, value)

    async def on_start(self, ctx: Context) -> None:
        """The agent's first turn, once in its life."""

    async def on_stop(self, ctx: Context) -> None:
        """Its last turn, at most 5 seconds."""

    @classmethod
    def migrate(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
        """The state's fields as an older STATE_VERSION wrote them, made into today's. Refuses by default."""
        raise NotImplementedError(
            f"{cls.__qualname__} has STATE_VERSION {cls.STATE_VERSION} and no `migrate` from version {version}"
        )


def _state_type(cls: type[Agent]) -> type | None:
    if "state" not in getattr(cls, "__annotations__", {}):
        return cls._state_type
    found = hints_of(cls, "agent")["state"]
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise TypeError(f"{cls.__qualname__}.state is annotated with a dataclass, not {found!r}")
    for field in dataclasses.fields(found):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise TypeError(f"{found.__qualname__}.{field.name} needs a default: a new agent starts with it")
    return found


def _message_types(cls: type[Agent], method: Any) -> list[type[Message]]:
    name = method.__code__.co_varnames[2]
    hint = method.__annotations__.get(name)
    if isinstance(hint, str):
        try:
            hint = eval(hint, dict(vars(sys.modules[method.__module__])), dict(vars(cls)))  # noqa: S307 - the author's own annotation
        except NameError as error:
            raise TypeError(
                f"{method.__qualname__}: `{error.name}` is not known when the class is made"
            ) from None
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    found = list(typing.get_args(hint)) if union else [hint]
    for each in found:
        if not (isinstance(each, type) and issubclass(each, Message) and each is not Message):
            raise TypeError(
                f"{method.__qualname__}: annotate `{name}` with the message class it handles, not {each!r}"
            )
    return found
