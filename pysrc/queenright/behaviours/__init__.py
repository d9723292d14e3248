"""Behaviour packages: the code agents run, named by digest. This room reads, copies and hashes it and never imports it.

Promises: what an intent names is exactly the bytes a cell mounts or is sent; what the supervisor believes of a package (its
classes, which of them need a cell of their own) is what `behaviour.toml` says, never what the code says. May know `core`,
`wire`, `clock` and `errors`.
"""

from queenright.behaviours.files import read_files
from queenright.behaviours.manifest import BehaviourClass, Manifest
from queenright.behaviours.packages import Package, Packages
from queenright.behaviours.template import new

__all__ = ["BehaviourClass", "Manifest", "Package", "Packages", "new", "read_files"]
