"""The content store: STATE/behaviours/<digest>, written once, read-only, hashed again before a cell mounts it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from queenright.behaviours.files import MODE, check_files, mount_reason, package_digest, read_files
from queenright.behaviours.limits import CellLimits
from queenright.behaviours.manifest import BehaviourClass, Manifest
from queenright.clock import Clock
from queenright.errors import Conflict, Malformed, Unknown

__all__ = ["Package", "Packages"]

_INCOMING = ".incoming-"
_DIRECTORY = 0o555


@dataclass(frozen=True, slots=True)
class Package:
    """A package in the store. `path` is its directory, `classes` what its manifest says of each behaviour class."""

    name: str
    version: str
    digest: bytes
    path: Path
    classes: Mapping[str, BehaviourClass]
    messages: tuple[str, ...]
    actions: tuple[str, ...]
    limits: CellLimits
    mount: str
    """Why a cell can have it only as a mounted directory; empty for one that may also come as a bundle."""
    added_ms: int


class Packages:
    """All packages of a state directory. Only the supervisor writes here."""

    def __init__(self, root: Path, clock: Clock) -> None:
        """`root` is made if it is missing; what an interrupted `add` left behind is removed."""
        self._root = root
        self._clock = clock
        self._known: dict[bytes, Package] = {}
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in root.glob(f"{_INCOMING}*"):
            _remove(left)

    # --- in ----------------------------------------------------------------------------------------------------------

    def add(self, path: Path | str) -> Package:
        """Copy a package directory in. Raises Malformed; the source is read once and never trusted again."""
        return self.add_files(read_files(path))

    def add_files(self, files: Mapping[str, bytes]) -> Package:
        """The same from bytes, as a client sends them. A package that is here already is checked and returned."""
        check_files(files)
        Manifest.of_files(files)
        name = package_digest(files)
        target = self._root / name.hex()
        if target.exists():
            return self.verified(name)
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self._root))
        try:
            _write(incoming, files)
            os.chmod(incoming, _DIRECTORY)
            now = self._clock.wall_ms() * 1_000_000
            os.utime(incoming, ns=(now, now))
            os.rename(incoming, target)
        except BaseException:
            _remove(incoming)
            raise
        _sync(self._root)
        return self.get(name)

    # --- out ---------------------------------------------------------------------------------------------------------

    def get(self, digest: bytes) -> Package:
        """By digest. Raises Unknown. The files are not hashed again: `verified` does that."""
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = self._read(digest)[0]
        return found

    def verified(self, digest: bytes) -> Package:
        """The package whose files hash to its digest now. Raises Unknown, Conflict if they were altered."""
        return self.verified_files(digest)[0]

    def verified_files(self, digest: bytes) -> tuple[Package, dict[str, bytes]]:
        """The same, and the very bytes that were hashed."""
        package, files = self._read(digest)
        if package_digest(files) != digest:
            raise Conflict(
                f"package `{package.name}` sha256:{digest.hex()[:16]} was altered in the store",
                hint="add it again from its source, after you know who did that",
            )
        return package, files

    def _read(self, digest: bytes) -> tuple[Package, dict[str, bytes]]:
        path = self._root / digest.hex()
        try:
            files = read_files(path)
            added_ms = path.stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            raise Unknown(
                f"no package sha256:{digest.hex()[:16]} is installed here",
                hint="queenright behaviour add PATH",
            ) from None
        except Malformed as error:
            raise Conflict(
                f"package sha256:{digest.hex()[:16]} was altered in the store: {error.message}"
            ) from None
        manifest = Manifest.of_files(files)
        package = Package(
            manifest.name,
            manifest.version,
            digest,
            path,
            manifest.classes,
            manifest.messages,
            manifest.actions,
            manifest.limits,
            mount_reason(files),
            added_ms,
        )
        return package, files

    def digests(self) -> dict[str, bytes]:
        """The package each name stands for: the one added last."""
        return {package.name: package.digest for package in self}

    def __iter__(self) -> Iterator[Package]:
        """All packages, the oldest first."""
        names = (entry.name for entry in os.scandir(self._root) if not entry.name.startswith("."))
        found = [self.get(bytes.fromhex(name)) for name in names if len(name) == 64]
        return iter(sorted(found, key=lambda package: (package.added_ms, package.digest)))


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    directories = {root}
    for path, data in files.items():
        target = root / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for parent in target.parents:
            if parent == root:
                break
            directories.add(parent)
        with open(
            os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb"
        ) as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), MODE)
            os.fsync(out.fileno())
    for directory in sorted(directories, key=lambda path: len(path.parts), reverse=True):
        _sync(directory)
        if directory != root:
            os.chmod(directory, _DIRECTORY)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o700)
    shutil.rmtree(directory, ignore_errors=True)
