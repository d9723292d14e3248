"""Rules of a grant, as a parent hands them to a child: `Allow` acts alone, `Ask` stops for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from queenright.core import canonical
from queenright.errors import Malformed

__all__ = ["Allow", "Ask", "Rule", "grant_request", "grant_request_bytes"]

Rate = tuple[int, float]


def _rate(rate: Rate | None) -> list[int] | None:
    if rate is None:
        return None
    count, seconds = rate
    if count < 1 or seconds <= 0:
        raise Malformed(f"a rate is (uses, seconds), both above zero, not {rate!r}")
    return [count, max(1, round(seconds * 1000))]


@dataclass(frozen=True, slots=True)
class Rule:
    """`verbs` on `resource`: at most `max` times in all, `min_gap` seconds apart, at most `agent_rate` (uses, seconds) by
    one agent and `total_rate` by all together. None: unlimited here; what the levels above set holds anyway."""

    mode: ClassVar[str] = ""
    verbs: str | Sequence[str]
    resource: str
    max: int | None = None
    min_gap: float | None = None
    agent_rate: Rate | None = None
    total_rate: Rate | None = None

    def to_map(self) -> dict[str, Any]:
        """The canonical map of ARCHITECTURE.md. Raises Malformed on a rule that could never hold."""
        verbs = [self.verbs] if isinstance(self.verbs, str) else list(self.verbs)
        if not verbs or not all(isinstance(verb, str) and verb for verb in verbs):
            raise Malformed("a rule names at least one verb")
        if not self.resource:
            raise Malformed("a rule names a resource", hint="for the agent's own workspace it is `ws:self`")
        if self.max is not None and self.max < 0:
            raise Malformed(f"a rule's max is not negative: {self.max}")
        rate = None
        if self.agent_rate is not None or self.total_rate is not None:
            rate = {"agent": _rate(self.agent_rate), "all": _rate(self.total_rate)}
        return {
            "mode": self.mode,
            "verbs": verbs,
            "resource": self.resource,
            "max": self.max,
            "min_gap_ms": None if self.min_gap is None else round(self.min_gap * 1000),
            "rate": rate,
        }


@dataclass(frozen=True, slots=True)
class Allow(Rule):
    """The child may do it alone."""

    mode: ClassVar[str] = "allow"


@dataclass(frozen=True, slots=True)
class Ask(Rule):
    """The child may ask a person each time."""

    mode: ClassVar[str] = "ask"


def grant_request(
    exercise: Sequence[Rule], delegate: Sequence[Rule], *, not_after_ms: int | None, depth: int, agents: int
) -> dict[str, Any]:
    """What a spawn asks for its child; the supervisor grants it only if it is narrower than the parent's `delegate`."""
    if depth < 0 or agents < 0:
        raise Malformed(f"depth and agents are not negative: {depth}, {agents}")
    return {
        "v": 1,
        "exercise": [rule.to_map() for rule in exercise],
        "delegate": [rule.to_map() for rule in delegate],
        "not_after": not_after_ms,
        "depth": depth,
        "agents": agents,
    }


def grant_request_bytes(request: dict[str, Any]) -> bytes:
    """What `digest("grant", …)` in a birth certificate is over."""
    return canonical(request)
