"""From what a person typed to the one thing it means: a prefix of an id, with or without its kind, or a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from queenright.errors import Malformed, Unknown
from queenright.wire.ids import parse, short

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["find"]


ID_DIGITS = 64
FEW = 4  # of what a text may mean: the first are named, more are only counted as many


def _candidates(rt: Runtime, kind: str, digits: str) -> Iterable[bytes]:
    match kind:
        case "agent" | "grant":
            return rt.agents.table.by_prefix(digits, FEW)
        case "intent":
            return (standing.intent.id for standing in rt.intents)
        case "ask":
            return (head.id for head in rt.asks)
        case "lease":
            return (lease.id for lease in rt.leases)
        case "act":
            return rt.acting.acts()
        case _:
            return ()


def _whole(rt: Runtime, text: str) -> bytes | None:
    """The agent whose full id this is: an id means what it says, whatever some agent is called."""
    prefix, _, digits = text.rpartition("-")
    if prefix not in ("", "agent") or len(digits) != ID_DIGITS or not digits.isalnum():
        return None
    found: list[bytes] = rt.agents.table.by_prefix(digits, 1)
    return found[0] if found else None


def find(rt: Runtime, text: str, kinds: tuple[str, ...]) -> tuple[str, bytes]:
    """(kind, id). Raises Unknown for nothing, Malformed for more than one."""
    if "agent" in kinds and (whole := _whole(rt, text)) is not None:
        return "agent", whole
    if "agent" in kinds:
        named = rt.agents.table.by_name(text, FEW)
        alive = [found for found in named if not rt.agents.get(found).ended]
        if len(alive or named) == 1:
            return "agent", (alive or named)[0]
    if "intent" in kinds:
        swarms = [standing.intent.id for standing in rt.intents if standing.intent.swarm == text]
        live = [found for found in swarms if rt.agents.table.intent_counts(found)[0]]
        if len(live or swarms) == 1:
            return "intent", (live or swarms)[0]
    kind, digits = parse(text)
    if kind is not None and kind not in kinds:
        raise Malformed(f"`{text[:80]}` is a {kind}; wanted: {', '.join(kinds)}")
    found = [
        (one, candidate)
        for one in ((kind,) if kind is not None else kinds)
        for candidate in _candidates(rt, one, digits)
        if candidate.hex().startswith(digits)
    ]
    if not found:
        raise Unknown(f"nothing here is called `{text[:80]}`", hint=f"looked among: {', '.join(kinds)}")
    if len(found) > 1:
        first = ", ".join(short(one, candidate) for one, candidate in found[:3])
        raise Malformed(
            f"`{text[:80]}` means {len(found)} things or more ({first}, …)", hint="give more digits"
        )
    return found[0]
