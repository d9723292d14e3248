"""Who may write to whom (design section 6, point 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from queenright.supervisor.agents import Agent

__all__ = ["ANSWER_MS", "Reach"]

# Who wrote to an agent may be answered for an hour. Kept in memory only: after a restart reach is narrower, never wider.
ANSWER_MS = 3_600_000

TalkRule = Callable[[str, str], bool]  # (sender's behaviour, target's behaviour) -> allowed


class Reach:
    """Parent, children, who wrote lately; others of the swarm as the intent's talk clauses say; nobody else."""

    def __init__(self) -> None:
        self._talk: dict[bytes, TalkRule] = {}

    def set_intent(self, intent: bytes, talk: TalkRule) -> None:
        """The talk clauses of an intent, computed when it is applied."""
        self._talk[intent] = talk

    def pairs(self, intent: bytes, behaviours: Sequence[str]) -> list[list[str]]:
        """Of these behaviours of one intent, the pairs (sender, target) whose agents may write to each other as such."""
        talk = self._talk.get(intent)
        if talk is None:
            return []
        return [[sender, target] for sender in behaviours for target in behaviours if talk(sender, target)]

    def allows(self, sender: Agent, target: Agent, now_boot: int) -> bool:
        """Whether `sender` may write to `target` now. Fails closed for an intent that was never set."""
        if sender.id == target.id:
            return True
        if target.parent == sender.id or sender.parent == target.id:
            return True
        heard = sender.heard_from.get(target.id)
        if heard is not None and now_boot - heard <= ANSWER_MS:
            return True
        if sender.intent != target.intent:
            return False
        talk = self._talk.get(sender.intent)
        return talk is not None and talk(sender.behaviour, target.behaviour)
