"""Entries of the ledger in words: a row for the screen, and `why`, the chain from an act back to the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queenright.control.protocol import LeafRow, Why, WhyStep
from queenright.core import leaf_hash, sanitize_name, verify_inclusion
from queenright.errors import Unknown
from queenright.ledger import Agent, Entry, Found, Operator, Query, why
from queenright.wire.ids import full, parse

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


def _of_batch(rt: Runtime, id: str) -> list[Found]:
    """For an agent that has done nothing since it was born in a batch: no entry is about it alone, but its batch's is, and its
    place under that entry's root is proved now. Raises Unknown as `why`, InvalidProof."""
    kind, digits = parse(id)
    fits = rt.agents.table.by_prefix(digits, 2) if kind in (None, "agent") else []
    agent = rt.agents.get(fits[0]) if len(fits) == 1 else None
    if agent is None or agent.origin is None:
        raise Unknown(f"the ledger has no entry about `{id}`")
    root, position = agent.origin
    head, path = rt.births.proof(root, position)
    head.statement.prove(agent.id, position, path)
    parent = full("agent", agent.parent)
    born = Query.parse(f"what:agents.born {root.hex()}")
    batch = list(born.search(rt.ledger, rt.clock.wall_ms(), newest=False, limit=1))
    above = {None, *rt.agents.table.chain(agent.parent)}  # not the births of others of the family
    about = [
        one for one in why(rt.ledger, parent) if one.entry.agent in above and one.entry.kind != "agents.born"
    ]
    return sorted([*about, *batch], key=lambda one: one.index)


def explain(rt: Runtime, id: str) -> Why:
    """Every entry that answers for this id, oldest first. `checked`: its inclusion in the signed tree was proved now."""
    published = rt.ledger.checkpoint()
    signed = published[0] if published is not None else 0
    try:
        found = why(rt.ledger, id)
    except Unknown:
        found = _of_batch(rt, id)
    steps: list[WhyStep] = [
        {
            "what": one.entry.kind,
            "who": who(one.entry),
            "at_ms": one.entry.t_ms,
            "leaf": one.index,
            "detail": _detail(one.entry),
            "checked": _included(rt, one.index, signed),
        }
        for one in found
    ]
    return {"id": id, "kind": parse(id)[0] or "", "steps": steps}
