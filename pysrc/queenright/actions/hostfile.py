"""One file of a resource, replaced whole when it is still what it was."""

from __future__ import annotations

import hashlib

from queenright.actions.verb import ActionFailed
from queenright.actions.world import open_parent
from queenright.errors import Conflict, Unknown
from queenright.workspace.beneath import FileVersion, read_file, write_file

__all__ = ["read", "replace", "sha256"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(path: str) -> FileVersion:
    """Raises `Unknown` when it is not there, `Malformed` for a link or what is no regular file."""
    with open_parent(path) as (folder, name):
        try:
            return read_file(folder, name)
        except Unknown:
            raise Unknown(f"{path} does not exist") from None


def replace(path: str, data: bytes, *, expect: str, mode: int) -> None:
    """Put `data` there if the content has the sha256 `expect` (hex). Raises `ActionFailed` "conflict"
    otherwise.
    """
    with open_parent(path) as (folder, name):
        try:
            write_file(folder, name, data, mode=mode, expect=bytes.fromhex(expect))
        except Conflict as changed:
            raise ActionFailed("conflict", f"{path}: {changed.message}") from None
