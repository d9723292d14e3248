"""How a step ends, in the shape the cell link carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.core import canonical
from queenright.wire.refusal import encode_refusal

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`value` is canonical bytes when ok; otherwise `error` is {"code", "message", "facts"}."""

    ok: bool
    value: bytes = b""
    error: dict[str, Any] | None = None

    @classmethod
    def done(cls, value: Any) -> Outcome:
        return cls(True, canonical(value))

    @classmethod
    def failed(cls, error: Exception) -> Outcome:
        """A refusal as the author will get it. Anything that is not a refusal of ours says only its kind."""
        return cls(False, error=encode_refusal(error))
