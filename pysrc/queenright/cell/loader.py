"""Importing behaviour packages in the cell: from a mounted directory, whatever that is called, or from a bundle.

Nothing is put on `sys.path`, so no package can stand in for a module of Python's or of another package.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any

from queenright.agent.agent import Agent
from queenright.agent.message import declare_package, type_name
from queenright.cell.bundle import Bundle, read_bundle
from queenright.errors import Malformed

__all__ = ["Directory", "Loaded", "import_package", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A behaviour class and the digest of the package it came from."""

    cls: type[Agent]
    package: bytes

    def describe(self, name: str) -> dict[str, Any]:
        """As `Ready.classes` says it; the supervisor trusts its own manifest and compares."""
        return {
            "name": name,
            "cell": self.cls.cell,
            "state_version": self.cls.STATE_VERSION,
            "on_start": self.cls.on_start is not Agent.on_start,
            "handles": sorted(type_name(message) for message in self.cls._handlers),
        }


class Directory:
    """A package that is mounted."""

    def __init__(self, root: str) -> None:
        self.root = root

    def names(self) -> list[str]:
        return os.listdir(self.root)

    def read(self, name: str) -> bytes:
        with open(os.path.join(self.root, name), "rb") as file:
            return file.read()

    def spec(self, module: str, name: str, *, is_package: bool) -> ModuleSpec:
        loader = SourceFileLoader(module, os.path.join(self.root, name))
        spec = spec_from_loader(module, loader, is_package=is_package)
        if spec is None:
            raise Malformed(f"package `{module}` cannot be imported from `{self.root}`")
        return spec

    def install(self) -> None:
        """Python finds the modules of a directory by itself."""


def load(packages: list[Any], descriptors: Sequence[int] = ()) -> dict[str, Loaded]:
    """Behaviours by "package.Class". `descriptors`: of the packages that come as bundles, in their order.

    Raises what the import raises, Malformed for a package that is not as it was told.
    """
    found: dict[str, Loaded] = {}
    coming = list(descriptors)
    for package in packages:
        name = package["name"]
        place: Directory | Bundle
        if package["bundle"]:
            if not coming:
                raise Malformed(f"package `{name}` comes as a bundle, and no descriptor came")
            place = read_bundle(coming.pop(0), package["path"])
        else:
            place = Directory(package["path"])
        module = import_package(name, place)
        for class_name in package["classes"]:
            found[f"{name}.{class_name}"] = Loaded(_find(module, place, class_name), package["digest"])
    if coming:
        raise Malformed(f"{len(coming)} descriptors came for no package")
    return found


def import_package(name: str, place: Directory | Bundle) -> ModuleType:
    """The module `name` of the package there: its `__init__.py`, or `name`.py in it."""
    if name in sys.modules:
        raise Malformed(f"package `{name}` has the name of a module that is in use")
    is_package = "__init__.py" in place.names()
    spec = place.spec(name, "__init__.py" if is_package else f"{name}.py", is_package=is_package)
    if is_package:
        place.install()
    module = module_from_spec(spec)
    declare_package(name)
    sys.modules[name] = module
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _find(module: ModuleType, place: Directory | Bundle, class_name: str) -> type[Agent]:
    """The behaviour class in the package's `__init__`, or in the one module of it that defines it. Raises Malformed."""
    found = [_behaviour(module, class_name)]
    if found == [None] and hasattr(module, "__path__"):
        names = sorted(
            name[:-3] for name in place.names() if name.endswith(".py") and not name.startswith("test_")
        )
        for name in names:
            if name not in ("__init__", "conftest") and _defines(place, name, class_name):
                found.append(_behaviour(importlib.import_module(f"{module.__name__}.{name}"), class_name))
    classes = [cls for cls in dict.fromkeys(found) if cls is not None]
    if len(classes) != 1:
        how = "no" if not classes else "more than one"
        raise Malformed(f"package `{module.__name__}` has {how} behaviour class `{class_name}`")
    return classes[0]


def _defines(place: Directory | Bundle, module: str, class_name: str) -> bool:
    wanted = f"class {class_name}".encode()
    return any(line.startswith(wanted) for line in place.read(f"{module}.py").splitlines())


def _behaviour(module: ModuleType, class_name: str) -> type[Agent] | None:
    cls = getattr(module, class_name, None)
    return cls if isinstance(cls, type) and issubclass(cls, Agent) else None
