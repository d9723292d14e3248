"""Kernel uids of cells: one a process, never two alike, whatever number the cell gets later.

A cell's number is its agents' incarnation and must only rise, so it is given when an agent is; a cell of the pool is a process
long before that. So the uid belongs to the process.
"""

from __future__ import annotations

from collections.abc import Callable

from queenright.store import Change, Store

__all__ = ["Slots"]

COUNTER = b"cell_slot"
BLOCK = 1024  # slots a durable write takes: a supervisor that was killed leaves the rest of its block unused


class Slots:
    """Cells' slots are odd, those of agents' workspaces even: they never meet. They repeat after 2**27 processes."""

    def __init__(self, store: Store, commit: Callable[[Change], object]) -> None:
        self._store = store
        self._commit = commit
        self._next = self._end = 0

    def take(self) -> int:
        """The next process's slot. Raises what the store raises if a new block cannot be written."""
        if self._next == self._end:
            end = self._store.counter("meta", COUNTER) + BLOCK
            self._commit(Change((("count", "meta", COUNTER, BLOCK, 2**62),)))
            self._next, self._end = end - BLOCK, end
        slot = 2 * self._next + 1
        self._next += 1
        return slot
