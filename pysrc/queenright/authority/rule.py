"""What a grant is made of: rules, what is never allowed, and limits; their canonical maps and the core's spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from queenright.core.host import resource_covers, verb_covers
from queenright.errors import Malformed

__all__ = ["MAX_RULES", "MAX_VERBS", "Mode", "Never", "Rate", "Rule", "check_patterns", "number"]

Mode = Literal["allow", "ask"]
MAX_RULES = 256
"""The core looks at each rule at each level of a check."""
MAX_VERBS = 64
"""Of one rule; a wider one is a family such as `db.*`."""
MAX_NUMBER = 2**63 - 1
"""Counts and times stay inside a signed 64-bit integer, which every reader of canonical bytes can hold."""

_RULE_KEYS = {"mode", "verbs", "resource", "max", "min_gap_ms", "rate"}


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` uses in `per_ms` milliseconds, in bursts of at most `count`."""

    count: int
    per_ms: int

    def pair(self) -> list[int]:
        return [self.count, self.per_ms]


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on a resource pattern. The counts bind the holder and all below it together, `rate_agent` each alone."""

    mode: Mode
    verbs: tuple[str, ...]
    resource: str
    max: int | None = None
    min_gap_ms: int = 0
    rate_agent: Rate | None = None
    rate_all: Rate | None = None

    def to_wire(self) -> dict[str, Any]:
        """The canonical map of ARCHITECTURE.md, "Grants on the wire"."""
        rates = {
            "agent": self.rate_agent and self.rate_agent.pair(),
            "all": self.rate_all and self.rate_all.pair(),
        }
        return {
            "mode": self.mode,
            "verbs": list(self.verbs),
            "resource": self.resource,
            "max": self.max,
            "min_gap_ms": self.min_gap_ms or None,
            "rate": rates if self.rate_agent or self.rate_all else None,
        }

    @classmethod
    def from_wire(cls, body: object) -> Rule:
        """The rule of exactly such a map. Raises Malformed."""
        if not isinstance(body, dict) or body.keys() != _RULE_KEYS:
            raise Malformed(f"a rule is a map of {', '.join(sorted(_RULE_KEYS))}")
        mode, verbs, resource = body["mode"], body["verbs"], body["resource"]
        if mode not in ("allow", "ask"):
            raise Malformed("the mode of a rule is allow or ask")
        check_patterns(verbs, resource)
        rates = body["rate"]
        if rates is not None and (not isinstance(rates, dict) or rates.keys() != {"agent", "all"}):
            raise Malformed("the rate of a rule is {agent, all}")
        return cls(
            mode,
            tuple(verbs),
            resource,
            number(body["max"], "max", 1) if body["max"] is not None else None,
            number(body["min_gap_ms"], "min_gap_ms", 1) if body["min_gap_ms"] is not None else 0,
            _rate(rates["agent"]) if rates else None,
            _rate(rates["all"]) if rates else None,
        )

    def covers(self, verb: str, resource: str) -> bool:
        """True if every (verb, resource) of these patterns is one of this rule's."""
        return resource_covers(self.resource, resource) and any(
            verb_covers(mine, verb) for mine in self.verbs
        )

    def to_core(self, *, exercise: bool, delegate: bool, clause: int = 0) -> dict[str, Any]:
        return {
            "verbs": list(self.verbs),
            "on": self.resource,
            "mode": self.mode,
            "exercise": exercise,
            "delegate": delegate,
            "max": self.max,
            "min_gap_ms": self.min_gap_ms,
            "rate_agent": self.rate_agent and (self.rate_agent.count, self.rate_agent.per_ms),
            "rate_all": self.rate_all and (self.rate_all.count, self.rate_all.per_ms),
            "clause": clause,
        }


@dataclass(frozen=True, slots=True)
class Never:
    """Beats every rule and every approval."""

    verbs: tuple[str, ...]
    resource: str = "**"

    def to_wire(self) -> dict[str, Any]:
        return {"verbs": list(self.verbs), "resource": self.resource}

    @classmethod
    def from_wire(cls, body: object) -> Never:
        if not isinstance(body, dict) or body.keys() != {"verbs", "resource"}:
            raise Malformed("a never clause is a map of verbs, resource")
        check_patterns(body["verbs"], body["resource"])
        return cls(tuple(body["verbs"]), body["resource"])

    def covers(self, verb: str, resource: str) -> bool:
        return resource_covers(self.resource, resource) and any(
            verb_covers(mine, verb) for mine in self.verbs
        )


def check_patterns(verbs: object, resource: object) -> None:
    """Refuse anything but a non-empty list of verb patterns, each once, and one resource pattern."""
    if (
        not isinstance(verbs, list)
        or not 0 < len(verbs) <= MAX_VERBS
        or len(set(map(str, verbs))) != len(verbs)
    ):
        raise Malformed(f"the verbs of a rule are 1 to {MAX_VERBS} different names")
    for verb in verbs:
        if not isinstance(verb, str):
            raise Malformed("a verb is text")
        verb_covers(verb, verb)
    if not isinstance(resource, str):
        raise Malformed("a resource is text")
    resource_covers(resource, resource)


def number(value: object, name: str, least: int, most: int = MAX_NUMBER) -> int:
    """`value` if it is a whole number in range. Raises Malformed naming it."""
    if type(value) is not int or not least <= value <= most:
        raise Malformed(f"`{name}` is a whole number from {least} to {most}")
    return value


def _rate(pair: object) -> Rate | None:
    if pair is None:
        return None
    if not isinstance(pair, list) or len(pair) != 2:
        raise Malformed("a rate is [count, milliseconds]")
    return Rate(number(pair[0], "rate count", 1, 2**32 - 1), number(pair[1], "rate ms", 1))
