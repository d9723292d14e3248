"""Importing behaviour packages in the cell: only the module a package is named after, only from where it is mounted."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any

from queenright.agent.agent import Agent
from queenright.agent.message import type_name
from queenright.errors import Malformed

__all__ = ["Loaded", "load"]


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
            "handles": sorted(type_name(message) for message in self.cls._handlers),
        }


def load(packages: list[Any]) -> dict[str, Loaded]:
    """Behaviours by "package.Class". Raises whatever a package's import raises, and Malformed for one that is not as told."""
    found: dict[str, Loaded] = {}
    for package in packages:
        name, path = package["name"], package["path"]
        if name in sys.modules:
            raise Malformed(f"package `{name}` has the name of a module that is in use")
        sys.path.append(path)  # last: nothing of a package stands before the standard library
        module = importlib.import_module(name)
        origin = getattr(module, "__file__", None) or ""
        if not origin.startswith(path.rstrip("/") + "/"):
            raise Malformed(f"package `{name}` was imported from `{origin}`, not from where it is mounted")
        for class_name in package["classes"]:
            cls = getattr(module, class_name, None)
            if not (isinstance(cls, type) and issubclass(cls, Agent)):
                raise Malformed(f"package `{name}` has no behaviour class `{class_name}`")
            found[f"{name}.{class_name}"] = Loaded(cls, package["digest"])
    return found
