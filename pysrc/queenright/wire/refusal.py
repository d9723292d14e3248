"""Refusals on the wire: {"code", "message", "facts"} and back to the exception an author can catch."""

from __future__ import annotations

from typing import Any

from queenright import errors
from queenright.errors import Denied, Dimension, MailboxFull, Parked, QueenrightError

__all__ = ["decode_refusal", "encode_refusal"]

_BY_CODE: dict[str, type[QueenrightError]] = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type)
    and issubclass(cls, QueenrightError)
    and cls not in (errors.LedgerBroken, errors.SandboxRefused)
}


def encode_refusal(error: Exception) -> dict[str, Any]:
    """The map of a refusal. Anything that is not a refusal of ours says only its kind: its text may hold anything."""
    if not isinstance(error, QueenrightError):
        return {"code": "error", "message": f"internal error ({type(error).__name__})", "facts": {}}
    facts: dict[str, Any] = {"hint": error.hint}
    if isinstance(error, Denied):
        facts |= {
            "verb": error.verb, "resource": error.resource, "reason": error.reason, "amendment": error.amendment,
            "dimensions": [[d.name, d.level, d.detail] for d in error.dimensions],
        }  # fmt: skip
    if isinstance(error, Parked):
        facts["ask"] = error.ask
    return {"code": error.code, "message": error.message, "facts": facts}


def _text(facts: dict[str, Any], name: str) -> str:
    value = facts.get(name, "")
    return value if isinstance(value, str) else ""


def _dimensions(facts: dict[str, Any]) -> tuple[Dimension, ...]:
    out = []
    for item in facts.get("dimensions") or []:
        if isinstance(item, list) and len(item) == 3 and all(isinstance(part, str) for part in item):
            out.append(Dimension(*item))
    return tuple(out)


def decode_refusal(error: dict[str, Any] | None) -> QueenrightError:
    """The exception. A code that is not known here becomes a QueenrightError that carries it."""
    error = error or {}
    facts = error.get("facts")
    facts = facts if isinstance(facts, dict) else {}
    code, message, hint = _text(error, "code") or "error", _text(error, "message"), _text(facts, "hint")
    cls = _BY_CODE.get(code, QueenrightError)
    if cls is Denied:
        return Denied(
            message,
            verb=_text(facts, "verb"),
            resource=_text(facts, "resource"),
            dimensions=_dimensions(facts),
            reason=_text(facts, "reason"),
            amendment=_text(facts, "amendment"),
            hint=hint,
        )
    if cls is Parked:
        return Parked(message, ask=_text(facts, "ask"), hint=hint)
    if cls is MailboxFull:
        return MailboxFull(message, hint=hint)
    found = cls(message, hint=hint)
    if code != cls.code:
        found.code = code
    return found
