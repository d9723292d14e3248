"""Importing a package that came as a sealed descriptor: no path leads to it, and nothing in the cell can change it.

Modules have the file names that a mounted package has, so that tracebacks and `inspect` show an author's lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import decode_source
from types import CodeType, ModuleType
from typing import Any

from queenright.errors import Malformed
from queenright.wire.bundle import unpack_bundle

__all__ = ["Bundle", "read_bundle"]

MAX_BUNDLE = 4 * 1024 * 1024  # over the store's bound for a package (3 MiB), with its paths


class Bundle:
    """The files of one package as they would lie under `root`."""

    def __init__(self, root: str, files: dict[str, bytes]) -> None:
        self.root = root
        self._files = files

    def names(self) -> list[str]:
        """The files that lie directly in the package."""
        return [path for path in self._files if "/" not in path]

    def read(self, name: str) -> bytes:
        """A file by its path in the package. Raises FileNotFoundError."""
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(f"{self.root}/{name}") from None

    def spec(self, module: str, name: str, *, is_package: bool) -> ModuleSpec:
        """How the module is loaded from the file `name`."""
        path = f"{self.root}/{name}"
        loader: Any = Loader(
            self, name, is_package
        )  # no heir of `importlib.abc`, which every cell would import
        spec = ModuleSpec(module, loader, origin=path, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(path)]
        return spec

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """For `sys.meta_path`: modules inside this package, told by the directories it is searched in."""
        for directory in path or ():
            if directory != self.root and not directory.startswith(f"{self.root}/"):
                continue
            place = f"{directory}/{fullname.rpartition('.')[2]}".removeprefix(f"{self.root}/")
            if f"{place}/__init__.py" in self._files:
                return self.spec(fullname, f"{place}/__init__.py", is_package=True)
            if f"{place}.py" in self._files:
                return self.spec(fullname, f"{place}.py", is_package=False)
            if any(name.startswith(f"{place}/") for name in self._files):  # a directory without an __init__
                spec = ModuleSpec(fullname, None, is_package=True)
                spec.submodule_search_locations = [f"{self.root}/{place}"]
                return spec
        return None

    def install(self) -> None:
        """From now on `import` finds this package's modules here, before it looks for files."""
        sys.meta_path.insert(0, self)


class Loader:
    """Of one module: compiles the bytes that came, and shows them to tracebacks."""

    def __init__(self, bundle: Bundle, name: str, is_package: bool) -> None:
        self._bundle = bundle
        self._name = name
        self._is_package = is_package

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - the author's module, in the author's cell

    def get_code(self, fullname: str) -> CodeType:
        data = self._bundle.read(self._name)
        return compile(data, self.get_filename(fullname), "exec", dont_inherit=True)

    def get_filename(self, fullname: str) -> str:
        return f"{self._bundle.root}/{self._name}"

    def get_source(self, fullname: str) -> str:
        return decode_source(self._bundle.read(self._name))

    def is_package(self, fullname: str) -> bool:
        return self._is_package


def read_bundle(descriptor: int, root: str) -> Bundle:
    """The package behind a descriptor, which is closed. Raises Malformed for one that holds no bundle."""
    try:
        size = os.fstat(descriptor).st_size
        if size > MAX_BUNDLE:
            raise Malformed(f"a bundle of {size} bytes is over the limit of {MAX_BUNDLE}")
        data = os.pread(descriptor, size, 0)
    except OSError as error:
        raise Malformed(f"the bundle cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return Bundle(root, unpack_bundle(data))
