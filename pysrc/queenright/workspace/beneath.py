"""Opening files below a directory as openat2's BENEATH, NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV would.

The path is walked one name at a time from a directory descriptor; no name is `..`, every step refuses a link
and another file system, and the last one refuses what is no regular file or has a second name elsewhere.
There is no moment between check and use: what was checked is the descriptor that is used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from queenright.errors import Conflict, Malformed, Unknown

__all__ = [
    "MAX_FILE",
    "FileVersion",
    "open_directory",
    "open_root",
    "read_file",
    "split_path",
    "write_file",
]

MAX_FILE = 16 << 20
"""Bytes of one file that is read or written whole: it is held in memory and, as a pre-image, in a blob."""

_MAX_PATH = 4096
_MAX_NAME = 255
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A regular file's content and permission bits."""

    data: bytes
    mode: int

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()


def split_path(path: str) -> tuple[str, ...]:
    """The names of a relative path. Raises `Malformed` for one that is absolute, empty, too long or says
    `..`.
    """
    parts = tuple(path.split("/"))
    if len(os.fsencode(path)) > _MAX_PATH or "\0" in path:
        raise Malformed(f"a path is at most {_MAX_PATH} bytes and holds no NUL")
    for part in parts:
        if part in ("", ".", "..") or len(os.fsencode(part)) > _MAX_NAME:
            raise Malformed(
                f"path {path[:200]!r} is not a plain relative path",
                hint="names joined by single slashes, no leading slash, no . or ..",
            )
    return parts


def open_root(path: Path) -> int:
    """A descriptor of a workspace's or resource's directory, through no link at the end. The caller
    closes it.
    """
    return os.open(path, _DIRECTORY)


@contextlib.contextmanager
def open_directory(root: int, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """The directory `parts` below `root`; with `make`, made (0755) where missing. Raises `Malformed`,
    `Unknown`.
    """
    device = os.fstat(root).st_dev
    here = os.dup(root)
    try:
        for part in parts:
            here = _step(here, part, device, make)
        yield here
    finally:
        os.close(here)


def _step(here: int, part: str, device: int, make: bool) -> int:
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=here)
                _own(here, part)
        below = os.open(part, _DIRECTORY, dir_fd=here)
    except OSError as error:
        raise _refusal(part, error) from None
    if os.fstat(below).st_dev != device:
        os.close(below)
        raise Malformed(f"{part!r} is on another file system")
    os.close(here)
    return below


def _own(here: int, part: str) -> None:
    """What root makes in an agent's workspace belongs to whoever the workspace belongs to."""
    if os.geteuid() == 0:
        owner = os.fstat(here)
        os.chown(part, owner.st_uid, owner.st_gid, dir_fd=here, follow_symlinks=False)


def _refusal(part: str, error: OSError) -> Malformed | Unknown | Conflict:
    if error.errno == errno.ENOENT:
        return Unknown(f"{part!r} does not exist")
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return Malformed(f"{part!r} is a symbolic link, which is not followed")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
        return Malformed(f"{part!r} is not the kind of file this needs")
    return Conflict(f"{part!r}: {(error.strerror or 'failed').lower()}")


def read_file(root: int, path: str, limit: int = MAX_FILE) -> FileVersion:
    """A regular file below `root`, whole. Raises `Unknown` when absent, `Malformed` for anything else or
    too big.
    """
    *folders, name = split_path(path)
    with open_directory(root, tuple(folders)) as folder:
        return _read(folder, name, os.fstat(root).st_dev, limit)


def _read(folder: int, name: str, device: int, limit: int) -> FileVersion:
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        raise _refusal(name, error) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_dev != device:
            raise Malformed(f"{name!r} is not a regular file of this workspace")
        if found.st_nlink != 1:
            raise Malformed(
                f"{name!r} has {found.st_nlink} names: it may be another's file", hint="copy it first"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise Malformed(f"{name!r} is larger than {limit} bytes", hint="read a part of it")
    return FileVersion(data, stat.S_IMODE(found.st_mode))


def write_file(
    root: int,
    path: str,
    data: bytes,
    *,
    mode: int = 0o644,
    expect: bytes | None,
    rand: Callable[[int], bytes] = os.urandom,
) -> None:
    """Put `data` in place of what is there, whole or not at all, making directories as needed.

    `expect`: sha256 of the content it replaces, or None when nothing may be there. Raises `Conflict` when
    something else is; `Malformed` when it is no regular file or over MAX_FILE; `Unknown` when its directory
    is removed meanwhile.
    """
    if len(data) > MAX_FILE:
        raise Malformed(f"{len(data)} bytes are more than a file's {MAX_FILE}")
    *folders, name = split_path(path)
    with open_directory(root, tuple(folders), make=True) as folder:
        _expect(folder, name, os.fstat(root).st_dev, expect)
        beside = f".queenright-{rand(8).hex()}"
        try:
            out = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        except OSError as error:  # the directory may have been removed since it was opened
            raise _refusal(path[:200], error) from None
        try:
            with os.fdopen(out, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode & 0o777)
                _own(folder, beside)
                os.fsync(file.fileno())
            if expect is None:
                # link, not rename: it refuses to replace a file that came meanwhile.
                os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                os.unlink(beside, dir_fd=folder)
            else:
                _expect(folder, name, os.fstat(root).st_dev, expect)
                os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)
            if error.errno == errno.EEXIST:
                raise Conflict(f"{name!r} was made by somebody else meanwhile") from None
            raise _refusal(name, error) from None
        except Conflict:
            os.unlink(beside, dir_fd=folder)
            raise
        os.fsync(folder)


def _expect(folder: int, name: str, device: int, expect: bytes | None) -> None:
    try:
        found: bytes | None = _read(folder, name, device, MAX_FILE).sha256
    except Unknown:
        found = None
    if found != expect:
        raise Conflict(f"{name!r} is not what it was: {'gone' if found is None else 'changed'} since")
