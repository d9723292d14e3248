"""Whole trees: walking, listing, removing whatever an agent built, however deep.

Nothing here recurses and at most two descriptors are open at once: a 3,000-deep directory is an ordinary
input. The way up goes through `..` and is checked against the directory that was left, so a moved directory
ends the walk instead of leading it elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from queenright.errors import Conflict
from queenright.workspace.beneath import open_directory, split_path

__all__ = ["Entry", "list_directory", "remove_tree", "walk"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Kind = Literal["file", "directory", "link", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a directory. `name` is whatever the agent chose: sanitise before showing."""

    name: str
    kind: Kind
    size: int
    modified_ms: int


@dataclass(slots=True)
class _Level:
    """A directory on the way down: its name in its parent, its identity, the names not yet looked at,
    last first.
    """

    name: str
    identity: tuple[int, int]
    left: list[str]


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def walk(root: int) -> Iterator[tuple[int, tuple[str, ...], os.stat_result]]:
    """Every entry below `root` as (descriptor of its directory, names from root, lstat), parents before
    children.

    Does not leave the file system and follows nothing. The descriptor is valid until the next step.
    """
    here = os.dup(root)
    device = os.fstat(root).st_dev
    levels = [_Level("", _identity(here), sorted(os.listdir(here), reverse=True))]
    try:
        while levels:
            if not levels[-1].left:
                levels.pop()
                if levels:
                    here = _up(here, levels[-1])
                continue
            name = levels[-1].left.pop()
            try:
                found = os.stat(name, dir_fd=here, follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield here, (*(level.name for level in levels[1:]), name), found
            if stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                below = _down(here, name, found)
                if below is not None:
                    os.close(here)
                    here = below
                    levels.append(_Level(name, _identity(here), sorted(os.listdir(here), reverse=True)))
    finally:
        os.close(here)


def _down(here: int, name: str, found: os.stat_result) -> int | None:
    try:
        return os.open(name, _DIRECTORY, dir_fd=here)
    except PermissionError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _up(here: int, expected: _Level) -> int:
    above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    if _identity(above) != expected.identity:
        os.close(above)
        raise Conflict("a directory was moved while its tree was walked")
    os.close(here)
    return above


def list_directory(root: int, path: str = "", limit: int = 1000) -> list[Entry]:
    """The names in one directory below `root` ("" is root itself), sorted, at most `limit`."""
    parts = split_path(path) if path else ()
    with open_directory(root, parts) as folder:
        entries = []
        for name in sorted(os.listdir(folder))[:limit]:
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                entries.append(
                    Entry(name, _kind(found.st_mode), found.st_size, found.st_mtime_ns // 1_000_000)
                )
        return entries


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def remove_tree(parent: int, name: str) -> None:
    """Remove `name` in the directory `parent` and all below it. Absent is no error.

    Raises `Conflict` when another file system is mounted in it or somebody moves it meanwhile.
    """
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    device = found.st_dev
    here = os.dup(parent)
    levels = [_Level("", _identity(here), [name])]
    try:
        while True:
            if levels[-1].left:
                below = _remove_one(here, levels[-1].left[-1], device)
                if below is None:
                    levels[-1].left.pop()
                    continue
                os.close(here)
                here = below
                levels.append(_Level(levels[-1].left[-1], _identity(here), os.listdir(here)))
                continue
            if len(levels) == 1:
                return
            emptied = levels.pop()
            here = _up(here, levels[-1])
            os.rmdir(emptied.name, dir_fd=here)
            levels[-1].left.pop()
    finally:
        os.close(here)


def _remove_one(here: int, name: str, device: int) -> int | None:
    """Remove a name that is no full directory; for a full one, a descriptor of it to go down into."""
    try:
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=here)
            return None
        if found.st_dev != device:
            raise Conflict(f"another file system is mounted at {name!r}", hint="unmount it first")
        try:
            os.rmdir(name, dir_fd=here)
            return None
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        return _open_closed(here, name)
    except FileNotFoundError:
        return None


def _open_closed(here: int, name: str) -> int:
    """A directory's descriptor, though its owner took all rights from it. Follows no link on the way."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        # chmod knows no "do not follow"; through /proc the descriptor itself is meant.
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)
