"""The one place where text becomes a terminal cell. Nothing else here makes a `Segment`; a test reads the source.

Text is handed over as `Bit`s: a string, a style's name, and whether the string is made of our own marks. A string that
is not is treated as hostile whoever wrote it: sanitised by the core, then every character whose width terminals
disagree about, or that could be taken for our frames and marks, is shown as its `\\u{…}` escape. So what a line
measures here is what it measures on the terminal, and no text can draw a frame, move the cursor or fake a state.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from queenright.core import sanitize
from queenright_tui.look import ASCII_MARKS, MARKS, Look

__all__ = ["Bit", "Line", "bit", "clean", "fit", "line_cells", "line_text", "mark", "strip", "wrap"]

# One screen holds at most a few thousand cells; a longer string is cut before any work is spent on it.
MAX_TEXT: Final = 4096
_PLAIN: Final = re.compile(r"[ -~]*").fullmatch
_KEPT: Final = frozenset(("Lu", "Ll", "Lo", "Nd", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Pc", "Sm", "Sc"))
_ASCII: Final = str.maketrans(dict(ASCII_MARKS))


class Bit(NamedTuple):
    """A run of cells of one style. `marks`: the text is made of our own marks, spaces and ASCII only."""

    text: str
    style: str = ""
    marks: bool = False


Line = tuple[Bit, ...]


def bit(text: object, style: str = "") -> Bit:
    """Any text at all, to be sanitised when it is drawn."""
    return Bit(str(text), style)


def mark(text: str, style: str = "") -> Bit:
    """Our own marks. Raises ValueError on any other non-ASCII character: that is a mistake in this program."""
    for character in text:
        if character not in MARKS and not " " <= character <= "~":
            raise ValueError(f"U+{ord(character):04X} is not one of our marks")
    return Bit(text, style, True)


def _steady(character: str) -> str:
    """The character, or its escape where terminals disagree about its width or it could pass for our drawing."""
    if " " <= character <= "~":
        return character
    point = ord(character)
    if (
        character not in MARKS
        and point < 0x1F000
        and unicodedata.category(character) in _KEPT
        and cell_len(character) in (1, 2)
    ):
        return character
    return f"\\u{{{point:x}}}"


@lru_cache(maxsize=8192)
def clean(text: str, limit: int = MAX_TEXT, *, newlines: bool = False) -> str:
    """`text` (at most `limit` characters of it) with nothing in it that a terminal would obey or draw out of place."""
    if len(text) <= limit and _PLAIN(text):
        return text
    # NFC folds a letter and its accent into one cell where it can; what is left over is escaped.
    composed = unicodedata.normalize("NFC", sanitize(text, limit, newlines=newlines))
    if newlines:
        return "\n".join("".join(map(_steady, row)) for row in composed.split("\n"))
    return "".join(map(_steady, composed))


def fit(text: str, width: int, align: str = "<") -> str:
    """`text` in exactly `width` cells: padded, or cut with a `~` that shows it was cut. `text` must be clean."""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        if width <= 0:
            return ""
        return set_cell_size(text, width - 1) + "~"
    pad = " " * (width - length)
    return pad + text if align == ">" else text + pad


def wrap(text: str, width: int, *, limit: int = MAX_TEXT, rows: int | None = None) -> list[str]:
    """Clean text folded into rows of at most `width` cells. What `rows` cuts off is counted in the last row."""
    return list(_wrapped(text[: limit + 1], max(width, 8), limit, rows))


@lru_cache(maxsize=512)
def _wrapped(text: str, width: int, limit: int, rows: int | None) -> tuple[str, ...]:
    folded = [part for row in clean(text, limit, newlines=True).split("\n") for part in _fold(row, width)]
    if rows is not None and len(folded) > rows:
        hidden = len(folded) - rows + 1
        folded = [*folded[: rows - 1], f"… {hidden} more rows folded"]
    return tuple(folded)


def _fold(row: str, width: int) -> list[str]:
    """One row in pieces of at most `width` cells, at a space where one is near. One pass over the text."""
    pieces: list[str] = []
    start, cells, space = 0, 0, -1
    at = 0
    while at < len(row):
        character = row[at]
        size = 1 if character.isascii() else cell_len(character)
        if cells + size > width:
            cut = space if space > start + width // 2 else at
            pieces.append(row[start:cut])
            start = cut
            while start < len(row) and row[start] == " ":
                start += 1
            at, cells, space = start, 0, -1
            continue
        if character == " ":
            space = at
        cells += size
        at += 1
    pieces.append(row[start:])
    return pieces


def line_cells(line: Iterable[Bit]) -> int:
    """How many cells the line needs."""
    return sum(cell_len(part.text if part.marks else clean(part.text)) for part in line)


def line_text(line: Iterable[Bit], look: Look | None = None) -> str:
    """What the line reads as, without styles."""
    return "".join(_shown(part, look) for part in line)


def _shown(part: Bit, look: Look | None) -> str:
    if part.marks:
        mark(part.text)  # a Bit made by hand gets no other treatment than one made by `mark`
        return part.text.translate(_ASCII) if look is not None and look.ascii else part.text
    text = clean(part.text)
    if look is not None and look.ascii and not text.isascii():
        text = "".join(
            c if c.isascii() else {"…": "...", "·": "-", "—": "-"}.get(c, f"\\u{{{ord(c):x}}}") for c in text
        )
    return text


def strip(line: Iterable[Bit], width: int, look: Look, *, cursor: bool = False, ground: str = "") -> Strip:
    """The line in exactly `width` cells, each run in its style, the rest filled with `ground`."""
    segments: list[Segment] = []
    left = width
    for part in line:
        if left <= 0:
            break
        text = _shown(part, look)
        length = len(text) if text.isascii() else cell_len(text)
        if length > left:
            text, length = fit(text, left), left
        style = part.style or ground
        if segments and segments[-1].style is look.style(style, cursor=cursor):
            segments[-1] = Segment(segments[-1].text + text, segments[-1].style)
        else:
            segments.append(Segment(text, look.style(style, cursor=cursor)))
        left -= length
    if left > 0:
        segments.append(Segment(" " * left, look.style(ground, cursor=cursor)))
    return Strip(segments, width)
