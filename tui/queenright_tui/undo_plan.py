"""What undoing would do, as lines, and what it takes to sign it. Pure."""

from __future__ import annotations

from typing import Final

from queenright.control.protocol import UndoPreview, UndoStep
from queenright_tui.ask_card import exact
from queenright_tui.widgets.cell_text import Bit, Line, bit, mark, wrap
from queenright_tui.words import last_word

__all__ = ["plan_lines", "undo_bit", "undo_phrase"]

DIFF_ROWS: Final = 40
_UNDO: Final = {
    "read": ("nothing to undo", "dim"),
    "exact": ("REVERSIBLE exact", ""),
    "compensate": ("COMPENSATE", "write"),
    "none": ("NOT REVERSIBLE", "bad"),
}


def undo_bit(reversibility: str) -> Bit:
    """The undo class in words. Red words only where nothing can put it back."""
    words, style = _UNDO.get(reversibility, (reversibility, "bad"))
    return bit(words, style)


def undo_phrase(preview: UndoPreview) -> str:
    """What must be typed: a compensating act may not be the exact inverse, so it takes the resource's last word."""
    rough = [step for step in preview["steps"] if step["reversibility"] != "exact"]
    return last_word(rough[0]["resource"]) if rough else ""


def plan_lines(preview: UndoPreview, width: int) -> tuple[Line, ...]:
    """Every step, what conflicts with it, what cannot be undone, and the keys."""
    lines: list[Line] = []
    for step in preview["steps"]:
        lines += _step(step, width)
    for step in preview["skipped"]:
        words = f"stays  {step['verb']} {exact(step['resource'])}: {step['conflict'] or step['what']}"
        lines += [(bit(row, "bad"),) for row in wrap(words, width, limit=600, rows=3)]
    lines.append(())
    phrase = undo_phrase(preview)
    if not preview["steps"]:
        lines.append((bit("there is nothing that can be undone: esc", "need"),))
        return tuple(lines)
    takes = f", then type {exact(phrase)}: it" if phrase else ""
    words = f"{takes} signs an order for exactly this. esc leaves everything as it is"
    first, *rest = wrap(words, width - 6)
    lines.append((bit("enter", "key"), bit(first)))
    lines += [(bit(row),) for row in rest]
    return tuple(lines)


def _step(step: UndoStep, width: int) -> list[Line]:
    head = wrap(f"{step['verb']} {exact(step['resource'])}", width - 24, limit=600)
    lines: list[Line] = [(bit("undo  ", "bold"), bit(head[0]), mark("  "), undo_bit(step["reversibility"]))]
    lines += [(mark("      "), bit(row)) for row in head[1:]]
    lines += [(mark("      "), bit(row)) for row in wrap(step["what"], width - 6, rows=4)]
    if step["conflict"]:
        words = f"WILL NOT BE DONE: {step['conflict']}"
        lines += [(mark("      "), bit(row, "bad")) for row in wrap(words, width - 6, rows=3)]
    if step["diff"]:
        rows = wrap(step["diff"], width - 8, limit=16_384, rows=DIFF_ROWS)
        lines += [(mark("      "), bit("| ", "fence"), bit(row, "fence")) for row in rows]
    return lines
