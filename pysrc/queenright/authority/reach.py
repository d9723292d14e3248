"""Which behaviour may write to which, as an intent's talk clauses say: computed once, asked often."""

from __future__ import annotations

from dataclasses import dataclass

from queenright.authority.intent import Intent

__all__ = ["Reach", "reach"]


@dataclass(frozen=True, slots=True)
class Reach:
    """`pairs` is None if the intent has no clause for its own swarm: then everyone in it may write to everyone.

    `across` holds (own behaviour, other swarm, its behaviour); it counts only if the other intent holds the same pair.
    Parent, children and who wrote lately are the router's to allow beside this.
    """

    swarm: str
    pairs: frozenset[tuple[str, str]] | None
    across: frozenset[tuple[str, str, str]]

    def allows(self, sender: str, receiver: str) -> bool:
        """May an agent of behaviour `sender` write to one of `receiver` in this swarm?"""
        return self.pairs is None or (sender, receiver) in self.pairs

    def allows_across(self, sender: str, other: Reach, receiver: str) -> bool:
        """May `sender` of this swarm write to `receiver` of the `other` one? Each intent must name the pair."""
        there = (sender, other.swarm, receiver) in self.across
        return there and (receiver, self.swarm, sender) in other.across


def reach(intent: Intent) -> Reach:
    """The reach that an intent gives."""
    own = [talk for talk in intent.talk if not talk.swarm]
    pairs = frozenset((a, b) for talk in own for a in talk.sender for b in talk.receiver)
    across = frozenset(
        (a, talk.swarm, b) for talk in intent.talk if talk.swarm for a in talk.sender for b in talk.receiver
    )
    return Reach(intent.swarm, pairs if own else None, across)
