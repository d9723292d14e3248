"""What a parent asks for its child: the grant map of ARCHITECTURE.md, "Grants on the wire"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.authority.intent import Intent
from queenright.authority.rule import MAX_RULES, Never, Rule, number
from queenright.core import canonical, digest
from queenright.core.host import verb_covers
from queenright.errors import Malformed

__all__ = ["CoreSpec", "GrantRequest", "core_spec", "first_request", "first_spec", "root_spec"]

_KEYS = {"v", "exercise", "delegate", "not_after", "depth", "agents"}

CoreSpec = dict[str, Any]
"""What `core.host.GrantTree` takes."""


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What the child may do itself and what it may hand down; `depth` generations and `agents` at once below it."""

    exercise: tuple[Rule, ...] = ()
    delegate: tuple[Rule, ...] = ()
    not_after: int | None = None
    depth: int = 0
    agents: int = 0

    def to_wire(self) -> dict[str, Any]:
        return {
            "v": 1,
            "exercise": [rule.to_wire() for rule in self.exercise],
            "delegate": [rule.to_wire() for rule in self.delegate],
            "not_after": self.not_after,
            "depth": self.depth,
            "agents": self.agents,
        }

    @classmethod
    def from_wire(cls, body: object) -> GrantRequest:
        """Raises Malformed: this map came from a cell."""
        if not isinstance(body, dict) or body.keys() != _KEYS or body["v"] != 1:
            raise Malformed(f"a grant request of version 1 is a map of {', '.join(sorted(_KEYS))}")
        lists = [body["exercise"], body["delegate"]]
        if any(not isinstance(rules, list) for rules in lists) or sum(map(len, lists)) > MAX_RULES:
            raise Malformed(f"a grant request has at most {MAX_RULES} rules")
        return cls(
            tuple(map(Rule.from_wire, body["exercise"])),
            tuple(map(Rule.from_wire, body["delegate"])),
            None if body["not_after"] is None else number(body["not_after"], "not_after", 0),
            number(body["depth"], "depth", 0, 64),
            number(body["agents"], "agents", 0, 2**32),
        )

    @property
    def digest(self) -> bytes:
        """What stands in the birth certificate."""
        return digest("grant", canonical(self.to_wire()))

    def to_core(self, not_before: int, not_after: int) -> CoreSpec:
        """Inside a parent's times. A rule in both lists is one rule with one budget for its holder and those below."""
        both = dict.fromkeys((*self.exercise, *self.delegate))
        rules = [
            rule.to_core(exercise=rule in self.exercise, delegate=rule in self.delegate) for rule in both
        ]
        end = not_after if self.not_after is None else self.not_after
        return core_spec(rules, (), not_before, end, self.depth, self.agents, None)


def core_spec(
    rules: list[dict[str, Any]],
    never: tuple[Never, ...],
    not_before: int,
    not_after: int,
    depth: int,
    max_agents: int | None,
    agents_ever: int | None,
) -> CoreSpec:
    return {
        "rules": rules,
        "never": [(list(one.verbs), one.resource) for one in never],
        "not_before_ms": not_before,
        "not_after_ms": not_after,
        "depth": depth,
        "max_agents": max_agents,
        "agents_ever": agents_ever,
    }


def root_spec(intent: Intent) -> CoreSpec:
    """The grant of the intent itself: nobody's to use, the first agent's to be born under; its counters bind everyone."""
    clauses = enumerate(intent.clauses)
    rules = [clause.rule.to_core(exercise=False, delegate=True, clause=index) for index, clause in clauses]
    limits = intent.limits
    return core_spec(
        rules,
        intent.never,
        intent.not_before,
        intent.not_after,
        limits.depth + 1,
        limits.max_agents,
        limits.agents_ever,
    )


def first_request(intent: Intent) -> GrantRequest:
    """What the swarm's first agent holds: everything to hand down, and to use all that `[delegate] only` leaves it.

    Limits stay at the intent's level, where they bind the whole swarm.
    """
    exercise: list[Rule] = []
    delegate: list[Rule] = []
    for clause in intent.clauses:
        verbs = clause.rule.verbs
        held_back = tuple(verb for verb in verbs if any(verb_covers(only, verb) for only in intent.only))
        used = tuple(verb for verb in verbs if verb not in held_back)
        for part in (used, held_back):
            if part:
                delegate.append(Rule(clause.rule.mode, part, clause.rule.resource))
        if used:
            exercise.append(Rule(clause.rule.mode, used, clause.rule.resource))
    return GrantRequest(
        tuple(dict.fromkeys(exercise)),
        tuple(dict.fromkeys(delegate)),
        depth=intent.limits.depth,
        agents=intent.limits.max_agents - 1,
    )


def first_spec(intent: Intent) -> CoreSpec:
    """The first agent's grant under `root_spec`."""
    return first_request(intent).to_core(intent.not_before, intent.not_after)
