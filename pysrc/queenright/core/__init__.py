"""What the Rust core gives to every process: canonical bytes, digests, signatures, trees, sanitising, the view.

Promises: nothing here does I/O or reads a clock; a refusal is an exception of `queenright.errors`. This package is the
only importer of `_core`; `core.cell`, `core.host` and `core.operator` are its other faces, for a cell, the supervisor
and whoever holds an operator's key.
"""

from queenright._core.shared import digest

__all__ = ["digest"]
