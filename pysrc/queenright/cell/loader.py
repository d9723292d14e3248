"""Importing behaviour packages in the cell: the module is the mounted directory itself, whatever that is called.

Nothing is put on `sys.path`, so no package can stand in for a module of Python's or of another package.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any

from queenright.agent.agent import Agent
from queenright.agent.message import declare_package, type_name
from queenright.errors import Malformed

__all__ = ["Loaded", "import_package", "load"]


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


def load(packages: list[Any]) -> dict[str, Loaded]:
    """Behaviours by "package.Class". Raises what the import raises, Malformed for a package that is not as it was told."""
    found: dict[str, Loaded] = {}
    for package in packages:
        name = package["name"]
        module = import_package(name, package["path"])
        for class_name in package["classes"]:
            found[f"{name}.{class_name}"] = Loaded(
                _find(module, package["path"], class_name), package["digest"]
            )
    return found


def import_package(name: str, path: str) -> ModuleType:
    """The module `name` from the package directory `path`: its `__init__.py`, or `name`.py in it."""
    if name in sys.modules:
        raise Malformed(f"package `{name}` has the name of a module that is in use")
    init = os.path.join(path, "__init__.py")
    is_package = os.path.isfile(init)
    source = init if is_package else os.path.join(path, f"{name}.py")
    loader = SourceFileLoader(name, source)
    spec = spec_from_loader(name, loader, is_package=is_package)
    if spec is None:
        raise Malformed(f"package `{name}` cannot be imported from `{path}`")
    module = module_from_spec(spec)
    declare_package(name)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _find(module: ModuleType, path: str, class_name: str) -> type[Agent]:
    """The behaviour class in the package's `__init__`, or in the one module of it that defines it. Raises Malformed."""
    found = [_behaviour(module, class_name)]
    if found == [None] and hasattr(module, "__path__"):
        names = sorted(
            name[:-3] for name in os.listdir(path) if name.endswith(".py") and not name.startswith("test_")
        )
        for name in names:
            if name not in ("__init__", "conftest") and _defines(path, name, class_name):
                found.append(_behaviour(importlib.import_module(f"{module.__name__}.{name}"), class_name))
    classes = [cls for cls in dict.fromkeys(found) if cls is not None]
    if len(classes) != 1:
        how = "no" if not classes else "more than one"
        raise Malformed(f"package `{module.__name__}` has {how} behaviour class `{class_name}`")
    return classes[0]


def _defines(path: str, module: str, class_name: str) -> bool:
    with open(os.path.join(path, f"{module}.py"), encoding="utf-8") as source:
        return any(line.startswith(f"class {class_name}") for line in source)


def _behaviour(module: ModuleType, class_name: str) -> type[Agent] | None:
    cls = getattr(module, class_name, None)
    return cls if isinstance(cls, type) and issubclass(cls, Agent) else None
