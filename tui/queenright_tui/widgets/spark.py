"""A row of eighth blocks: one cell a value, one colour a row (a colour a cell costs a megabyte a second at 10 Hz)."""

from __future__ import annotations

from collections.abc import Sequence

from queenright_tui.widgets.cell_text import Bit, mark

__all__ = ["eighths", "spark"]

_BLOCKS = "▁▂▃▄▅▆▇█"


def eighths(values: Sequence[float], width: int, top: float | None = None) -> str:
    """The last `width` values as blocks, scaled to `top` (or the largest). Nothing measured is a space, not a block."""
    shown = list(values)[-width:]
    ceiling = top if top is not None else max(shown, default=0)
    if ceiling <= 0:
        ceiling = 1
    blocks = "".join(_BLOCKS[min(7, max(0, int(value / ceiling * 7.999)))] for value in shown)
    return blocks.rjust(width)


def spark(values: Sequence[float], width: int, style: str = "", top: float | None = None) -> Bit:
    """`eighths` as a Bit of our own marks."""
    return mark(eighths(values, width, top), style)
