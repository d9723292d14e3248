"""Writing files so that a crash at any moment leaves the old bytes or the new ones, never something
between.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["frame", "frames", "make_directory", "read_mapped", "sync_directory", "write_all", "write_whole"]

_MODE = 0o600
_LENGTH = 4


def make_directory(path: Path) -> None:
    """Make a directory (0700) and its parents, each durable in the one above."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        sync_directory(directory.parent)


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`: temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(f".{path.name}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temporary, path)
    sync_directory(path.parent)


def write_all(handle: int, data: bytes) -> None:
    """Write every byte: `os.write` may take fewer."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def frame(data: bytes) -> bytes:
    """A length (u32, big-endian) and the bytes."""
    return len(data).to_bytes(_LENGTH, "big") + data


def frames(data: bytes | mmap.mmap, largest: int) -> Iterator[tuple[int, bytes]]:
    """(offset of its end, bytes) of each whole frame from the start; stops before the first that is cut or
    too large.
    """
    at = 0
    while len(data) - at >= _LENGTH:
        length = int.from_bytes(data[at : at + _LENGTH], "big")
        end = at + _LENGTH + length
        if length > largest or end > len(data):
            return
        yield end, data[at + _LENGTH : end]
        at = end


def read_mapped(path: Path) -> bytes | mmap.mmap:
    """The file's bytes without a copy of it in memory."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        length = os.fstat(handle).st_size
        return mmap.mmap(handle, length, prot=mmap.PROT_READ) if length else b""
    finally:
        os.close(handle)
