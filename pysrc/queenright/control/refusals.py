"""A refusal as the map that crosses the socket, and back:

the client raises the same class with the same facts.
"""

from __future__ import annotations

from typing import Any

from queenright import errors
from queenright.errors import Denied, Dimension, QueenrightError

__all__ = ["from_wire", "to_wire"]

# The facts of each refusal that has any; they are the keyword arguments of its class.
_FACTS: dict[str, tuple[str, ...]] = {
    "denied": ("verb", "resource", "dimensions", "reason", "amendment"),
    "ledger_broken": ("index",),
    "sandbox_refused": ("step", "errno"),
    "parked": ("ask",),
}
_CLASSES: dict[str, type[QueenrightError]] = {
    found.code: found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, QueenrightError)
}


def to_wire(error: QueenrightError) -> dict[str, Any]:
    """`{"code", "message", "hint", "facts"}`."""
    facts: dict[str, Any] = {name: getattr(error, name) for name in _FACTS.get(error.code, ())}
    if isinstance(error, Denied):
        facts["dimensions"] = [[d.name, d.level, d.detail] for d in error.dimensions]
    return {"code": error.code, "message": error.message, "hint": error.hint, "facts": facts}


def from_wire(body: object) -> QueenrightError:
    """The refusal a supervisor sent.

    What does not fit becomes a plain QueenrightError, never another exception.
    """
    if not isinstance(body, dict):
        return QueenrightError("the supervisor sent an error without a body")
    code, message, hint = (str(body.get(name, "")) for name in ("code", "message", "hint"))
    facts = body.get("facts")
    kind = _CLASSES.get(code, QueenrightError)
    try:
        given = {name: facts[name] for name in _FACTS.get(code, ())} if isinstance(facts, dict) else {}
        if "dimensions" in given:
            given["dimensions"] = tuple(Dimension(*entry) for entry in given["dimensions"])
        return kind(message, hint=hint, **given)
    except (KeyError, TypeError):
        return QueenrightError(message, hint=hint)
