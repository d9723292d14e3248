"""What a cell does not wait for at its start. Imported before everything else: `dataclasses` imports `inspect`, and what that
imports in turn is half of a start, while only a dataclass without a docstring ever asks it for anything.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

__all__ = ["load"]


def _later(name: str) -> None:
    """The module is there, and runs its code when something of it is asked for.

    By a module's own `__getattr__`: `importlib.util.LazyLoader` loads at the first `import`, which looks at `__spec__`.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"python has no module `{name}`")
    loader, module = spec.loader, module_from_spec(spec)

    def asked(attribute: str) -> Any:
        if module.__dict__.pop("__getattr__", None) is not None:
            loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = asked
    sys.modules[name] = module


def load() -> None:
    """Load it after all, and what most packages import, in a cell that has nothing else to do: then no agent has to."""
    _ = sys.modules["inspect"].signature
    for name in ("json", "traceback"):
        import_module(name)


_later("inspect")
