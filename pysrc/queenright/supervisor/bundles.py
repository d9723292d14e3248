"""Packages as sealed descriptors, for cells that started before anybody knew which package they would run.

The bytes in one are the bytes that were hashed; from then on nobody can change them, this process included.
"""

from __future__ import annotations

import fcntl
import os
from collections import OrderedDict

from queenright.behaviours import Package, Packages
from queenright.errors import SandboxRefused
from queenright.wire.bundle import pack_bundle

__all__ = ["Bundles"]

KEPT = 32  # packages; at most 3 MiB each, shared by every cell that has them
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Bundles:
    """One descriptor a package, those used last are kept."""

    def __init__(self, packages: Packages) -> None:
        self._packages = packages
        self._kept: OrderedDict[bytes, int] = OrderedDict()

    def get(self, package: Package) -> int:
        """The package's descriptor, valid until the next call. Raises Unknown, Conflict if its files in the store were
        altered before it was made, SandboxRefused for a package that has to be mounted."""
        if package.mount:
            raise SandboxRefused(
                f"package `{package.name}` has to be mounted: {package.mount}",
                step="bundle", hint="its cells are started cold",
            )  # fmt: skip
        descriptor = self._kept.get(package.digest)
        if descriptor is None:
            descriptor = self._make(package.digest)
            self._kept[package.digest] = descriptor
            if len(self._kept) > KEPT:
                os.close(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(package.digest)
        return descriptor

    def _make(self, digest: bytes) -> int:
        _, files = self._packages.verified_files(digest)
        try:
            return _sealed(pack_bundle(files))
        except OSError as error:
            raise SandboxRefused(
                f"a package's bundle cannot be made: {error.strerror}",
                step="descriptors", errno=error.errno or 0, hint="raise the supervisor's limit of open files",
            ) from None  # fmt: skip

    def close(self) -> None:
        while self._kept:
            os.close(self._kept.popitem()[1])


def _sealed(data: bytes) -> int:
    made = os.memfd_create("queenright-bundle", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(made, "wb", closefd=False) as out:
            out.write(data)
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, SEALS)
        # What cells get cannot even be asked to write: a new file description, for reading.
        return os.open(f"/proc/self/fd/{made}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(made)
