"""A workspace as it was before a command, so that the command can be undone: a copy of its files, bounded.

A snapshot lies in a directory of its own: `tree` (canonical: what every path was) and `files/` (contents by
number). After the command only what it changed is kept.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from queenright.core import canonical, decode
from queenright.errors import Conflict, Malformed
from queenright.workspace.beneath import open_directory, open_root
from queenright.workspace.tree import remove_tree, walk

__all__ = [
    "MAX_KEPT_BYTES",
    "MAX_KEPT_FILES",
    "Mark",
    "changes",
    "forget_unchanged",
    "marks",
    "restore",
    "take",
]

MAX_KEPT_FILES = 10_000
MAX_KEPT_BYTES = 64 << 20
"""Past these a command's pre-image is not kept, and the command counts as one that cannot be undone."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """What a path is: "file" (sha256 of its content), "link" (its target), "dir" or "other"; and
    permission bits.
    """

    kind: str
    mode: int
    content: bytes = b""


Tree = dict[bytes, Mark]


class _TooLarge(Exception):
    pass


def marks(root: Path, keep: Path | None = None) -> Tree | None:
    """Every path below `root`; with `keep`, contents are copied there. None when it is over the bounds."""
    found: Tree = {}
    budget = MAX_KEPT_BYTES
    descriptor = open_root(root)
    try:
        for folder, parts, info in walk(descriptor):
            if len(found) >= MAX_KEPT_FILES:
                return None
            path = os.fsencode("/".join(parts))
            copy = keep / "files" / str(len(found)) if keep is not None else None
            found[path], size = _mark(folder, parts[-1], info, copy, budget)
            budget -= size
    except _TooLarge:
        return None
    finally:
        os.close(descriptor)
    return found


def _mark(folder: int, name: str, info: os.stat_result, copy: Path | None, budget: int) -> tuple[Mark, int]:
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return Mark("dir", mode), 0
    if stat.S_ISLNK(info.st_mode):
        return Mark("link", 0, os.fsencode(os.readlink(name, dir_fd=folder))), 0
    if not stat.S_ISREG(info.st_mode):
        return Mark("other", mode), 0
    if info.st_size > budget:
        raise _TooLarge
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        return _copied(source, copy, mode, budget)
    finally:
        os.close(source)


def _copied(source: int, copy: Path | None, mode: int, budget: int) -> tuple[Mark, int]:
    digest, size = hashlib.sha256(), 0
    target = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600) if copy else -1
    try:
        while part := os.read(source, _PIECE):
            size += len(part)
            if size > budget:
                raise _TooLarge
            digest.update(part)
            if target >= 0:
                os.write(target, part)
        if target >= 0:
            os.fsync(target)
    finally:
        if target >= 0:
            os.close(target)
    return Mark("file", mode, digest.digest()), size


def take(root: Path, keep: Path) -> Tree | None:
    """Copy the workspace to `keep` (made anew), durable before this returns. None, with nothing kept,
    past the bounds.
    """
    _clear(keep)
    (keep / "files").mkdir(mode=0o700)
    found = marks(root, keep)
    if found is None:
        _clear(keep)
        return None
    _write_tree(keep, found, {path: number for number, path in enumerate(found)})
    return found


def _clear(keep: Path) -> None:
    for name in ("files", "tree"):
        parent = open_root(keep)
        try:
            remove_tree(parent, name)
        finally:
            os.close(parent)


def _write_tree(keep: Path, found: Mapping[bytes, Mark], numbers: Mapping[bytes, int]) -> None:
    rows = [[path, numbers[path], mark.kind, mark.mode, mark.content] for path, mark in found.items()]
    beside = keep / "tree.new"
    with beside.open("wb") as file:
        file.write(canonical(rows))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(keep / "tree")
    for folder in (keep / "files", keep):
        descriptor = open_root(folder)
        os.fsync(descriptor)
        os.close(descriptor)


def _read_tree(keep: Path) -> tuple[Tree, dict[bytes, int]]:
    rows = decode((keep / "tree").read_bytes())
    found = {path: Mark(kind, mode, content) for path, _, kind, mode, content in rows}
    return found, {path: number for path, number, *_ in rows}


def changes(before: Tree, after: Tree) -> dict[bytes, Mark | None]:
    """What each changed path is now; None for one that is gone."""
    paths = before.keys() | after.keys()
    return {path: after.get(path) for path in sorted(paths) if before.get(path) != after.get(path)}


def forget_unchanged(keep: Path, changed: Mapping[bytes, Mark | None]) -> None:
    """Drop from the copy what the command left as it was."""
    found, numbers = _read_tree(keep)
    _write_tree(keep, {path: mark for path, mark in found.items() if path in changed}, numbers)
    for path, number in numbers.items():
        if path not in changed:
            (keep / "files" / str(number)).unlink(missing_ok=True)


def restore(root: Path, keep: Path, changed: Mapping[bytes, Mark | None]) -> int:
    """Put every changed path back as the copy has it; one that is not in the copy is removed. How many were.

    Raises `Conflict`, before anything is touched, when a path is no longer what the command left.
    """
    now = marks(root)
    if now is None:
        raise Conflict("the workspace has grown past what can be compared")
    for path, left in changed.items():
        if now.get(path) != left:
            raise Conflict(f"{os.fsdecode(path)!r} was changed since")
    before, numbers = _read_tree(keep)
    descriptor = open_root(root)
    try:
        # Deepest first out, shallowest first in: a directory goes after and comes before what it holds.
        for path in sorted(changed, key=lambda path: -path.count(b"/")):
            if changed[path] is not None and (path not in before or before[path].kind != "dir"):
                _remove(descriptor, path)
        for path in sorted(changed, key=lambda path: path.count(b"/")):
            if path in before:
                _put(descriptor, path, before[path], keep / "files" / str(numbers[path]))
    finally:
        os.close(descriptor)
    return len(changed)


def _place(path: bytes) -> tuple[tuple[str, ...], str]:
    *folders, name = os.fsdecode(path).split("/")
    if any(part in ("", ".", "..") for part in (*folders, name)):
        raise Malformed("a kept path is not a plain relative path")
    return tuple(folders), name


def _remove(root: int, path: bytes) -> None:
    folders, name = _place(path)
    with open_directory(root, folders) as folder:
        remove_tree(folder, name)


def _put(root: int, path: bytes, mark: Mark, copy: Path) -> None:
    folders, name = _place(path)
    with open_directory(root, folders) as folder:
        if mark.kind == "dir":
            if not _is_directory(folder, name):
                remove_tree(folder, name)
                os.mkdir(name, 0o700, dir_fd=folder)
        elif mark.kind == "link":
            os.symlink(os.fsdecode(mark.content), name, dir_fd=folder)
        elif mark.kind == "file":
            out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
            with os.fdopen(out, "wb") as file:
                file.write(copy.read_bytes())
        else:
            return  # a pipe or a socket is an open end of a process that is gone
        owner = os.fstat(root)
        if os.geteuid() == 0:
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=folder, follow_symlinks=False)
        if mark.kind != "link":
            os.chmod(name, mark.mode & 0o777, dir_fd=folder)


def _is_directory(folder: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
