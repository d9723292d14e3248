"""Entries of the ledger in words: a row for the screen, and `why`, the chain from an act back to the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queenright.control.protocol import LeafRow, Why, WhyStep
from queenright.core import leaf_hash, sanitize_name, verify_inclusion
from queenright.ledger import Agent, Entry, Operator, why
from queenright.wire.ids import parse

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["explain", "leaf_row", "who"]

NAME_CHARACTERS = 96
# Facts that are worth a line, in this order; the whole entry is one command away.
_TELLING = (
    "name",
    "behaviour",
    "purpose",
    "operator",
    "verb",
    "resource",
    "answer",
    "decided_by",
    "reason",
    "why",
    "how",
    "what",
    "secret",
    "cell",
)


def who(entry: Entry) -> str:
    """The actor, for people; an agent's name is its own choice and sanitised."""
    match entry.actor:
        case Agent(name=name, shared=shared):
            return sanitize_name(name, NAME_CHARACTERS) + (" (shared cell)" if shared else "")
        case Operator(name=name):
            return name
    return "supervisor"


def leaf_row(rt: Runtime, index: int, entry: Entry) -> LeafRow:
    """One line of the ledger screen."""
    leaf = rt.ledger.leaf(index)
    action = entry.action
    undo = ""
    if action is not None:
        undo = "recorded" if isinstance(action.undo, bytes) else action.undo
    return {
        "index": index,
        "at_ms": entry.t_ms,
        "kind": entry.kind,
        "who": who(entry),
        "verb": action.verb if action is not None else str(entry.facts.get("verb") or ""),
        "resource": action.resource if action is not None else str(entry.facts.get("resource") or ""),
        "outcome": entry.result.state if entry.result is not None else entry.kind.rpartition(".")[2],
        "undo": undo,
        "hash": leaf_hash(leaf),
        "entry": leaf,
    }


def _detail(entry: Entry) -> str:
    words: list[str] = []
    if entry.action is not None:
        undo = "undo recorded" if isinstance(entry.action.undo, bytes) else f"undo {entry.action.undo}"
        words.append(f"{entry.action.verb} {entry.action.resource} ({entry.action.reversibility}, {undo})")
    if entry.result is not None:
        words.append(f"{entry.result.state} {entry.result.code}".strip())
    words += [f"{name} {entry.facts[name]}" for name in _TELLING if entry.facts.get(name)]
    if entry.signed is not None:
        words.append(f"signed by {entry.signed.fingerprint}")
    return "; ".join(words)


def _included(rt: Runtime, index: int, size: int) -> bool:
    """Whether the entry is proved to be in the tree that was signed last."""
    if index >= size:
        return False
    proof = rt.ledger.inclusion(index, size)
    verify_inclusion(index, size, leaf_hash(rt.ledger.leaf(index)), proof, rt.ledger.root(size))
    return True


def explain(rt: Runtime, id: str) -> Why:
    """Every entry that answers for this id, oldest first. `checked`: its inclusion in the signed tree was proved now."""
    published = rt.ledger.checkpoint()
    signed = published[0] if published is not None else 0
    steps: list[WhyStep] = [
        {
            "what": found.entry.kind,
            "who": who(found.entry),
            "at_ms": found.entry.t_ms,
            "leaf": found.index,
            "detail": _detail(found.entry),
            "checked": _included(rt, found.index, signed),
        }
        for found in why(rt.ledger, id)
    ]
    return {"id": id, "kind": parse(id)[0] or "", "steps": steps}
