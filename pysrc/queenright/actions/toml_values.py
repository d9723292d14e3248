"""Readers of single values in `resources.toml`: each takes where the value stands, and says what is wrong with it there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from queenright.authority.toml_place import Path as Keys

__all__ = ["Wrong", "read_file", "read_list", "read_part", "read_secret", "read_text"]

_SECRET = re.compile(r"[a-z]+:[a-z0-9][a-z0-9._/-]{0,62}")


class Wrong(Exception):
    """A value that does not fit, by where it stands; becomes `Malformed` with its line."""

    def __init__(self, path: Keys, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why


def read_text(path: Keys, value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 4096:
        raise Wrong(path, "not a text of 1 to 4096 characters")
    return value


def read_file(path: Keys, value: Any) -> str:
    text = read_text(path, value)
    if not text.startswith("/") or os.path.normpath(text) != text or text == "/" or text.startswith("//"):
        raise Wrong(path, f"{text!r} is not an absolute, plain path (no . or .., no double or last slash)")
    return text


def read_list(read: Callable[[Keys, Any], str], most: int) -> Callable[[Keys, Any], tuple[str, ...]]:
    def reader(path: Keys, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise Wrong(path, f"not a list of 1 to {most}")
        made = tuple(read((*path, index), item) for index, item in enumerate(value))
        return made

    return reader


def read_secret(path: Keys, value: Any) -> str:
    if not _SECRET.fullmatch(read_text(path, value)):
        raise Wrong(path, "not a reference to a secret such as vault:shop-admin; never write a value here")
    return str(value)


def read_part(
    make: Callable[..., Any], shape: Mapping[str, Callable[[Keys, Any], Any]], required: tuple[str, ...]
) -> Callable[[Keys, Any], Any]:
    def reader(path: Keys, value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong(path, f"not a table of {', '.join(shape)}")
        for name in value:
            if name not in shape:
                raise Wrong((*path, name), f"unknown; known are: {', '.join(shape)}")
        for name in required:
            if name not in value:
                raise Wrong(path, f"{name} is missing")
        return make(**{name: shape[name]((*path, name), item) for name, item in value.items()})

    return reader
