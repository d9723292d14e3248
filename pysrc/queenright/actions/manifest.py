"""What a verb declares about itself: resource kinds, arguments, class. Pinned by digest, code included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from queenright.actions.act import Class, Risk
from queenright.core import canonical, digest
from queenright.errors import Malformed

__all__ = ["Arg", "Manifest"]

Kind = Literal["str", "int", "bool", "bytes", "strs", "value", "map"]
_TYPES: dict[str, Any] = {"str": str, "int": int, "bool": bool, "bytes": bytes, "strs": list, "map": dict}
_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument. `value` takes a bool, int or str; `strs` a list of str; `map` a dict of str to str.

    `most`: the largest int, or most bytes or items of anything else. `pattern` holds for a str whole, for
    each item of `strs`. Without `default` the argument is required; the default None means "left out".
    """

    kind: Kind
    default: Any = _REQUIRED
    least: int = 0
    most: int = 4096
    pattern: str = ""

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED

    def check(self, name: str, value: Any) -> Any:
        """The value as it will be used. Raises `Malformed` naming the argument."""
        if self.kind == "value":
            if not isinstance(value, bool | int | str):
                raise Malformed(f"argument {name} is a bool, a whole number or text")
            return _within(name, value, -(2**53), 2**53) if type(value) is int else _sized(name, value, self)
        if not isinstance(value, _TYPES[self.kind]) or (self.kind == "int" and isinstance(value, bool)):
            raise Malformed(f"argument {name} is not of kind {self.kind}")
        if self.kind == "int":
            return _within(name, value, self.least, self.most)
        if self.kind == "strs":
            for item in value:
                self._text(name, item)
        if self.kind == "map" and not all(isinstance(part, str) for pair in value.items() for part in pair):
            raise Malformed(f"argument {name} maps text to text")
        if self.kind == "str":
            self._text(name, value)
        return _sized(name, value, self)

    def _text(self, name: str, value: Any) -> None:
        if not isinstance(value, str) or (self.pattern and not re.fullmatch(self.pattern, value)):
            raise Malformed(f"argument {name} does not match {self.pattern or 'text'}")

    def to_map(self) -> dict[str, Any]:
        default = {} if self.required else {"default": self.default}
        return default | {"kind": self.kind, "least": self.least, "most": self.most, "pattern": self.pattern}


def _within(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Malformed(f"argument {name} is {value}; it lies in {least} to {most}")
    return value


def _sized(name: str, value: Any, arg: Arg) -> Any:
    size = len(value.encode()) if isinstance(value, str) else 0 if isinstance(value, bool) else len(value)
    if not (isinstance(value, bool) or arg.least <= size <= arg.most):
        raise Malformed(f"argument {name} has size {size}; {arg.least} to {arg.most}")
    return value


@dataclass(frozen=True, slots=True)
class Manifest:
    """One verb. `kinds`: resource kinds it works on. `secret`: it calls the admin API with the resource's
    secret.

    `rehearsed`: its verb can do it to a copy first, and has `rehearse`; above the grant that is what a person is shown.
    `deadline_ms` bounds one executor request; `code` is the sha256 of the module that runs.
    """

    verb: str
    kinds: tuple[str, ...]
    klass: Class
    args: Mapping[str, Arg] = field(default_factory=dict)
    secret: bool = False
    rehearsed: bool = False
    risk: Risk = "LOW"
    deadline_ms: int = 30_000
    code: bytes = b""

    def to_map(self) -> dict[str, Any]:
        """Canonical: what the digest covers."""
        return {
            "v": 1,
            "verb": self.verb,
            "kinds": list(self.kinds),
            "class": self.klass,
            "args": {name: arg.to_map() for name, arg in self.args.items()},
            "secret": self.secret,
            "rehearsed": self.rehearsed,
            "risk": self.risk,
            "deadline_ms": self.deadline_ms,
            "code": self.code,
        }

    @property
    def digest(self) -> bytes:
        return digest("manifest", canonical(self.to_map()))

    def materialise(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument checked, every default filled in. Raises `Malformed` for one unknown, missing or
        wrong.
        """
        unknown = sorted(set(args) - set(self.args))
        if unknown:
            raise Malformed(
                f"{self.verb} takes no argument {unknown[0][:80]!r}", hint=f"it takes: {', '.join(self.args)}"
            )
        made: dict[str, Any] = {}
        for name, arg in self.args.items():
            if args.get(name) is not None:
                made[name] = arg.check(name, args[name])
            elif arg.required:
                raise Malformed(f"{self.verb} needs the argument {name}")
            else:
                made[name] = arg.default
        return made
