"""What a grant check found: Allow, Ask or Deny, with every failing dimension, its level, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from queenright.errors import Denied, Dimension

__all__ = ["Amendment", "AskAt", "Decision", "Failing", "Outcome"]

Outcome = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Amendment:
    """The smallest change at one level after which one failing dimension would no longer stand in the way.

    `kind`: add_rule, drop_never, raise_max, extend, unfreeze, or wait, which needs no change but time. `value` is the new
    maximum, the new end, the moment to wait for (wall milliseconds), or the index of the never clause.
    """

    kind: str
    grant: bytes
    value: int
    text: str


@dataclass(frozen=True, slots=True)
class Failing:
    """One reason. `private` is for operators only: it may name other agents."""

    dimension: Dimension
    grant: bytes
    rule: int | None
    amendment: Amendment | None
    private: str = ""


@dataclass(frozen=True, slots=True)
class AskAt:
    """A level that wants a person, by a rule (of the intent: its `clause`) or because the act has no undo."""

    level: int
    grant: bytes
    clause: int | None
    no_undo: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer about one verb on one resource for one grant. `who` is its chain in words."""

    outcome: Outcome
    verb: str
    resource: str
    grant: bytes
    who: str
    failing: tuple[Failing, ...] = ()
    asks: tuple[AskAt, ...] = ()
    passed: tuple[str, ...] = ()

    @property
    def clauses(self) -> tuple[int, ...]:
        """The intent's ask clauses that must be answered; empty if another reason asks."""
        return tuple(ask.clause for ask in self.asks if ask.clause is not None)

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        return tuple(item.dimension for item in self.failing)

    @property
    def amendments(self) -> tuple[Amendment, ...]:
        """Together, the smallest change that would allow it; empty if none can (a revoked grant stays revoked)."""
        found = [item.amendment for item in self.failing]
        return () if None in found else tuple(item for item in found if item is not None)

    @property
    def amendment(self) -> str:
        """The same in words, without a name the agent may not see."""
        return "; ".join(dict.fromkeys(item.text for item in self.amendments))

    def explain(self) -> str:
        """One line for an operator, with who spent a budget and when."""
        head = f"{self.outcome.upper()} {self.verb} {self.resource} by {self.who}"
        reasons = []
        for item in self.failing:
            detail = f"{item.dimension.name} {item.dimension.detail} at {item.dimension.level}"
            reasons.append(f"{detail} ({item.private})" if item.private else detail)
        if self.outcome == "ask":
            undone = any(ask.no_undo for ask in self.asks)
            reasons.append(
                "cannot be undone and no rule names it: a person decides" if undone else "a person decides"
            )
        reasons += self.passed
        if self.amendments:
            reasons.append(f"would be allowed by: {self.amendment}")
        return f"{head}: {' · '.join(reasons)}" if reasons else head

    def to_error(self, reason: str = "") -> Denied:
        """The refusal as the agent sees it: every dimension and the smallest amendment, no other agent's name."""
        first = ", ".join(dict.fromkeys(dimension.name for dimension in self.dimensions)) or "denied"
        return Denied(
            f"{self.verb} on {self.resource} is denied: {first}",
            verb=self.verb,
            resource=self.resource,
            dimensions=self.dimensions,
            reason=reason,
            amendment=self.amendment,
            hint=f"it would be allowed by: {self.amendment}" if self.amendments else "",
        )
