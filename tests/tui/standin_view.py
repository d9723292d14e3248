"""A slow, plain `View` for a checkout whose core has none yet. Tests only: the product imports the core's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


class StandinView:
    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        self._columns = [name for name, _ in columns]
        self._rows: dict[bytes, tuple[list[Any], bytes | None]] = {}
        self._sort, self._descending = self._columns[0], False
        self._query = ""
        self._tree = False
        self._closed: set[bytes] = set()
        self._held: list[bytes] | None = None

    def upsert(self, row: bytes, values: Sequence[Any], parent: bytes | None = None) -> None:
        if len(values) != len(self._columns):
            raise ValueError("wrong number of values")
        self._rows[row] = (list(values), parent)

    def remove(self, row: bytes) -> None:
        self._rows.pop(row, None)

    def set_sort(self, column: str, descending: bool) -> None:
        self._sort, self._descending = column, descending

    def set_filter(self, query: str) -> None:
        if query.startswith("/"):
            re.compile(query.strip("/"))
        self._query = query

    def set_tree(self, tree: bool) -> None:
        self._tree = tree

    def toggle(self, row: bytes) -> None:
        self._closed ^= {row}

    def hold(self, held: bool) -> None:
        self._held = [row for row, _ in self._order()] if held else None

    def _matches(self, values: list[Any]) -> bool:
        text = " ".join(str(v) for v in values if isinstance(v, str))
        return self._query.lower() in text.lower()

    def _sorted(self, rows: list[bytes]) -> list[bytes]:
        at = self._columns.index(self._sort)
        return sorted(rows, key=lambda row: (self._rows[row][0][at], row), reverse=self._descending)

    def _order(self) -> list[tuple[bytes, int]]:
        shown = {row for row, (values, _) in self._rows.items() if self._matches(values)}
        if not self._tree:
            return [(row, 0) for row in self._sorted(list(shown))]
        for row in list(shown):
            parent = self._rows[row][1]
            while parent in self._rows:
                shown.add(parent)
                parent = self._rows[parent][1]
        out: list[tuple[bytes, int]] = []

        def walk(rows: list[bytes], depth: int) -> None:
            for row in self._sorted(rows):
                out.append((row, depth))
                if row not in self._closed:
                    walk([r for r in shown if self._rows[r][1] == row], depth + 1)

        walk([r for r in shown if self._rows[r][1] not in self._rows], 0)
        return out

    def _current(self) -> list[tuple[bytes, int]]:
        now = self._order()
        if self._held is None:
            return now
        place = {row: at for at, row in enumerate(self._held)}
        return sorted(now, key=lambda item: place.get(item[0], len(place)))

    def __len__(self) -> int:
        return len(self._current())

    def index_of(self, row: bytes) -> int | None:
        return next((at for at, (found, _) in enumerate(self._current()) if found == row), None)

    def window(self, offset: int, count: int) -> list[tuple[bytes, int, bool, bool, list[Any]]]:
        found = []
        for row, depth in self._current()[offset : offset + count]:
            children = self._tree and any(parent == row for _, parent in self._rows.values())
            found.append((row, depth, children, row not in self._closed, self._rows[row][0]))
        return found


def install() -> None:
    """Give `queenright.core` this View if it has none."""
    import queenright.core as core

    if not hasattr(core, "View"):
        core.View = StandinView  # type: ignore[attr-defined]
