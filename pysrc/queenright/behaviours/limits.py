"""What a package may ask of its cells' sandbox: `[limits]` of `behaviour.toml`, within what any cell may have."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOUNDS", "DEFAULT", "CellLimits"]


@dataclass(frozen=True, slots=True)
class CellLimits:
    """Of one cell. The defaults are those of a package that says nothing, and of the cells in the pool."""

    memory_mib: int = 1024
    processes: int = 64
    """Threads count, too."""
    open_files: int = 1024
    file_mib: int = 256
    """The largest file it may write, in its own /tmp of 16 MiB or in memory."""
    turn_s: int = 1
    """How long a handler may hold the interpreter before it is interrupted; three times that ends the cell."""


# The least with which a cell still starts, and the most that any package gets on any machine. A package that needs more
# than this of the machine is a service, and is reached by actions.
BOUNDS = {
    "memory_mib": (64, 4096),
    "processes": (4, 512),
    "open_files": (32, 4096),
    "file_mib": (1, 1024),
    "turn_s": (1, 60),
}


DEFAULT = CellLimits()
