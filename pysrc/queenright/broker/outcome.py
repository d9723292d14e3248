"""How a call can end without a reply. Apart from `http`, which is slow to import."""

from __future__ import annotations

from queenright.errors import QueenrightError

__all__ = ["NotSent"]


class NotSent(QueenrightError):
    """The call failed before a byte of it left: nothing happened."""

    code = "not_sent"
