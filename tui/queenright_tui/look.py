"""Colours, marks and their plain forms. No state is told by colour alone: every one has a mark and a word.

Colours are Okabe and Ito's set, which stays apart for all common kinds of colour blindness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from rich.style import Style

__all__ = ["ASCII_MARKS", "MARKS", "STATE_MARKS", "Look"]

BACKGROUND: Final = "#101317"
TEXT: Final = "#d0d4d8"

_COLOURED: Final = MappingProxyType(
    {
        "": f"{TEXT} on {BACKGROUND}",
        "dim": f"#8a9199 on {BACKGROUND}",
        "bold": f"bold #ffffff on {BACKGROUND}",
        "head": f"bold #9fb3c8 on {BACKGROUND}",
        "frame": f"#4a5560 on {BACKGROUND}",
        "line": f"{TEXT} on #1c2229",
        "line-bold": "bold #ffffff on #1c2229",
        "run": f"#009E73 on {BACKGROUND}",
        "wait": f"#8a9199 on {BACKGROUND}",
        "need": f"bold #E69F00 on {BACKGROUND}",
        "bad": f"bold #D55E00 on {BACKGROUND}",
        "paused": f"#56B4E9 on {BACKGROUND}",
        "suspect": f"#CC79A7 on {BACKGROUND}",
        "write": f"#F0E442 on {BACKGROUND}",
        "ttl": f"underline #E69F00 on {BACKGROUND}",
        "verified": f"bold #009E73 on {BACKGROUND}",
        "armed": "bold #000000 on #E69F00",
        "observe": "bold #000000 on #56B4E9",
        "fence": f"dim #b0b6bc on {BACKGROUND}",
        "key": f"bold #56B4E9 on {BACKGROUND}",
        "ghost": f"dim strike #8a9199 on {BACKGROUND}",
        "field": "#ffffff on #2a323b",
    }
)
# Without colour only weight, underline and reversal are left; each dangerous state still differs from every calm one.
_MONO: Final = MappingProxyType(
    {
        "": "",
        "dim": "dim",
        "bold": "bold",
        "head": "bold underline",
        "frame": "dim",
        "line": "",
        "line-bold": "bold",
        "run": "",
        "wait": "dim",
        "need": "bold reverse",
        "bad": "bold reverse underline",
        "paused": "underline",
        "suspect": "bold underline",
        "write": "bold",
        "ttl": "underline",
        "verified": "bold",
        "armed": "bold reverse",
        "observe": "bold",
        "fence": "dim",
        "key": "bold",
        "ghost": "dim strike",
        "field": "reverse",
    }
)

# The only non-ASCII structure that this program draws itself, with what `--ascii` draws in its place. The same
# characters inside anybody's text are escaped, so that a frame or a mark on the screen is always ours.
ASCII_MARKS: Final = MappingProxyType(
    {
        "●": "R", "◌": ".", "▲": "!", "✖": "X", "‖": "P", "▣": "Q", "□": "F", "■": "#",
        "▸": "+", "▾": "-", "─": "-", "│": "|", "┌": "+", "┐": "+", "└": "+", "┘": "+",
        "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+",
        "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "#", "█": "@",
    }
)  # fmt: skip
MARKS: Final = frozenset(ASCII_MARKS)

# state: (mark, word, style)
STATE_MARKS: Final = MappingProxyType(
    {
        "run": ("●", "run", "run"),
        "wait": ("◌", "wait", "wait"),
        "needs_human": ("▲", "NEEDS YOU", "need"),
        "paused": ("‖", "paused", "paused"),
        "frozen": ("□", "frozen", "paused"),
        "suspect": ("▣", "suspect", "suspect"),
        "ended": ("✖", "ended", "dim"),
        "live": ("●", "live", "run"),
        "revoked": ("✖", "revoked", "bad"),
        "expired": ("✖", "expired", "dim"),
    }
)


@dataclass(frozen=True)
class Look:
    """How everything is drawn: in colour or not, with our marks or in ASCII alone."""

    mono: bool = False
    ascii: bool = False
    _cache: dict[tuple[str, bool], Style] = field(default_factory=dict, repr=False, compare=False)

    def style(self, name: str, *, cursor: bool = False) -> Style:
        """The style called `name`; on the cursor's row it keeps its colour and gains the cursor's ground."""
        found = self._cache.get((name, cursor))
        if found is None:
            found = Style.parse((_MONO if self.mono else _COLOURED)[name])
            if cursor:
                # A ghost under the cursor stays a ghost: it must not look like a row that takes a key.
                over = "reverse" if self.mono else "on #2f3b47"
                found = found + Style.parse(over if name == "ghost" else f"bold {over}")
            self._cache[name, cursor] = found
        return found
