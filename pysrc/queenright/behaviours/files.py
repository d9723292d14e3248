"""The files of a package as bytes: regular files only, bounded, read without following a link anywhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from queenright.core import canonical, digest
from queenright.errors import Malformed

__all__ = [
    "IGNORED",
    "MAX_BYTES",
    "MAX_FILES",
    "MODE",
    "check_files",
    "mount_reason",
    "package_digest",
    "read_files",
]

MAX_FILES = 2000
MAX_BYTES = (
    3 * 1024 * 1024
)  # of all files together: a package travels to the supervisor in one control frame of 4 MiB
MAX_PATH = 240
MAX_DEPTH = 8
MODE = 0o444  # what every file has in the store; nothing in a package is executed by path

# What tools leave beside source and nobody means to run.
IGNORED = frozenset(
    {"__pycache__", ".git", ".hg", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
)
_LOCKED = ("behaviour.lock", "wheels")
# What a package may hold and never open by its path; anything else, such as a native module or a table, it may.
_NEVER_OPENED = (".py", ".toml", ".md", ".rst")
# Words of code that looks for files beside itself.
_LOOKS = (b"__file__", b"__path__", b"__spec__", b"__loader__", b"importlib", b"pkgutil")


def read_files(root: Path | str) -> dict[str, bytes]:
    """Every file under `root` by its relative path. Raises Malformed for a link, a device, or a package over the bounds."""
    found: dict[str, bytes] = {}
    left = MAX_BYTES
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for path, size, data in _walk(descriptor, "", 0):
            left -= size
            if left < 0 or len(found) >= MAX_FILES:
                raise Malformed(
                    f"a package has at most {MAX_FILES} files and {MAX_BYTES} bytes: `{path}` is too much"
                )
            found[path] = data
    finally:
        os.close(descriptor)
    check_files(found)
    return found


def _walk(directory: int, prefix: str, depth: int) -> Iterator[tuple[str, int, bytes]]:
    if depth > MAX_DEPTH:
        raise Malformed(f"`{prefix}` is more than {MAX_DEPTH} directories deep")
    for name in sorted(os.listdir(directory)):
        if name in IGNORED or name.endswith((".pyc", "~")):
            continue
        path = f"{prefix}{name}"
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            entry = os.open(name, flags, dir_fd=directory)
        except OSError as error:
            raise Malformed(f"`{path}` is a link or cannot be read: {error.strerror}") from None
        try:
            status = os.fstat(entry)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(entry, f"{path}/", depth + 1)
            elif stat.S_ISREG(status.st_mode):
                if status.st_size > MAX_BYTES:
                    raise Malformed(f"`{path}` of {status.st_size} bytes is over the limit of {MAX_BYTES}")
                data = _read(entry, path)
                yield path, len(data), data
            else:
                raise Malformed(f"`{path}` is neither a file nor a directory")
        finally:
            os.close(entry)


def _read(descriptor: int, path: str) -> bytes:
    parts, size = [], 0
    while chunk := os.read(descriptor, 1 << 20):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise Malformed(f"`{path}` is over the limit of {MAX_BYTES} bytes")
    return b"".join(parts)


def check_files(files: Mapping[str, bytes]) -> None:
    """Refuse paths that could leave the package, and what is not supported. Raises Malformed."""
    if not files or len(files) > MAX_FILES:
        raise Malformed(f"a package has 1 to {MAX_FILES} files, not {len(files)}")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise Malformed(f"a package has at most {MAX_BYTES} bytes")
    for path in files:
        parts = path.split("/")
        if (
            len(path) > MAX_PATH
            or len(parts) > MAX_DEPTH + 1
            or any(part in ("", ".", "..") for part in parts)
        ):
            raise Malformed(f"`{path[:MAX_PATH]}` is no path inside a package")
        if not path.isprintable() or "\\" in path:
            raise Malformed(f"{path[:MAX_PATH]!r} has characters that no file of a package may have")
        if parts[0] in _LOCKED:
            raise Malformed(
                f"`{parts[0]}`: packages with locked dependencies are not supported yet",
                hint="put the source of what it needs into the package, as a module of its own",
            )
    for path in files:
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if "/".join(parents[:depth]) in files:
                raise Malformed(f"`{path}` lies under a file")


def mount_reason(files: Mapping[str, bytes]) -> str:
    """Why the package's code may need it as a directory, or "". Text is searched, not understood: in doubt it does."""
    for path, data in sorted(files.items()):
        if not path.endswith(_NEVER_OPENED):
            return f"`{path}` may be opened by its path"
        if path.endswith(".py") and not path.rpartition("/")[2].startswith("test_"):
            found = next((word for word in _LOOKS if word in data), None)
            if found is not None:
                return f"`{path}` says {found.decode()}"
    return ""


def package_digest(files: Mapping[str, bytes]) -> bytes:
    """The package's name for machines: over the sorted list of [path, mode, SHA-256 of the content]."""
    listed = [[path, MODE, digest("file", files[path])] for path in sorted(files)]
    return digest("package", canonical(listed))
