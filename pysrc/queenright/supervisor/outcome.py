"""How a step ends, in the shape the cell link carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.core import canonical
from queenright.errors import Denied, Parked, QueenrightError

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
        if not isinstance(error, QueenrightError):
            return cls(
                False,
                error={"code": "error", "message": f"internal error ({type(error).__name__})", "facts": {}},
            )
        facts: dict[str, Any] = {"hint": error.hint}
        if isinstance(error, Denied):
            facts |= {
                "verb": error.verb,
                "resource": error.resource,
                "reason": error.reason,
                "amendment": error.amendment,
                "dimensions": [[d.name, d.level, d.detail] for d in error.dimensions],
            }
        if isinstance(error, Parked):
            facts["ask"] = error.ask
        return cls(False, error={"code": error.code, "message": error.message, "facts": facts})
