"""Where things stand in a TOML text that `tomllib` has accepted: it gives values without their places."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

__all__ = ["Path", "Place", "places"]

Path = tuple[str | int, ...]
"""Keys and array indexes from the top: ("allow", 1, "do", 0)."""
Place = tuple[int, int]
"""Line and column, both from 1, column in characters."""

_SPACE: Final = " \t"
_ENDS_BARE: Final = " \t\r\n=.]#,{}["


def places(text: str) -> dict[Path, Place]:
    """The place of every table header, key and array element of `text`, which must be valid TOML."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, Place] = {}
        self.tables: dict[Path, int] = {}  # arrays of tables: how many so far
        self.line_starts = [0] + [index + 1 for index, char in enumerate(text) if char == "\n"]

    def read(self) -> dict[Path, Place]:
        prefix: Path = ()
        while self._skip_blank():
            if self.text[self.at] == "[":
                prefix = self._header()
            else:
                self._pair(prefix)
        return self.found

    def _note(self, path: Path, at: int) -> None:
        line = bisect_right(self.line_starts, at)
        self.found.setdefault(path, (line, at - self.line_starts[line - 1] + 1))

    def _skip_blank(self, chars: str = " \t\r\n") -> bool:
        """Over white space and comments; False at the end."""
        while self.at < len(self.text):
            if self.text[self.at] in chars:
                self.at += 1
            elif self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return True
        return False

    def _header(self) -> Path:
        start = self.at
        double = self.text.startswith("[[", start)
        self.at += 2 if double else 1
        keys = self._keys()
        self.at += 2 if double else 1
        path = self._resolve(keys[:-1])
        path = (*path, keys[-1])
        if double:
            index = self.tables.get(path, 0)
            self.tables[path] = index + 1
            path = (*path, index)
        self._note(path, start)
        return path

    def _resolve(self, keys: list[str]) -> Path:
        """`[a.b]` after `[[a]]` is a table of the last `a`."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _key(self) -> str:
        if self.text[self.at] in "\"'":
            start = self.at
            self._string()
            return self.text[start + 1 : self.at - 1]
        start = self.at
        while self.text[self.at] not in _ENDS_BARE:
            self.at += 1
        return self.text[start : self.at]

    def _pair(self, prefix: Path) -> None:
        start = self.at
        keys = self._keys()
        path = prefix + tuple(keys)
        self._note(path, start)
        self.at += 1  # =
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        char = self.text[self.at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self.at += 1
            index = 0
            while self._skip_blank(" \t\r\n,") and self.text[self.at] != "]":
                self._note((*path, index), self.at)
                self._value((*path, index))
                index += 1
            self.at += 1
        elif char == "{":
            self.at += 1
            while self._skip_blank(" \t\r\n,") and self.text[self.at] != "}":
                self._pair(path)
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in "\r\n#,]}":
                self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        triple = self.text.startswith(quote * 3, self.at)
        end = quote * 3 if triple else quote
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(end)
        while triple and self.text.startswith(quote, self.at):  # """a"""" ends in a quote of its own
            self.at += 1

    def _skip(self, chars: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in chars:
            self.at += 1
