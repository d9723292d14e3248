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
        # receiver -> sender -> boot ms of its last message, where nothing but this lets the receiver answer
        self._heard: dict[bytes, dict[bytes, int]] = {}
        self._swept = 0

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
        if self._stands(sender, target):
            return True
        heard = self._heard.get(sender.id, {}).get(target.id)
        return heard is not None and now_boot - heard <= ANSWER_MS

    def _stands(self, sender: Agent, target: Agent) -> bool:
        """Whether it may at any time: to itself, its kin, and as the talk clauses of their common intent say."""
        if sender.id == target.id or target.parent == sender.id or sender.parent == target.id:
            return True
        if sender.intent != target.intent:
            return False
        talk = self._talk.get(sender.intent)
        return talk is not None and talk(sender.behaviour, target.behaviour)

    def clause(self, intent: bytes) -> TalkRule:
        """The intent's talk rule; one that allows nothing for an intent that was never set."""
        return self._talk.get(intent, lambda sender, target: False)

    def heard(self, receiver: Agent, sender: Agent, now_boot: int) -> None:
        """The sender's message was queued: for an hour it may be answered."""
        self._sweep(now_boot)
        if self._stands(receiver, sender):
            return
        self._heard.setdefault(receiver.id, {})[sender.id] = now_boot

    def heard_by(self, receiver: bytes) -> list[bytes]:
        """Whom it may answer, at most."""
        return list(self._heard.get(receiver, ()))

    def _sweep(self, now_boot: int) -> None:
        """Once an hour what is over is forgotten: nobody is remembered for longer than two."""
        if now_boot - self._swept < ANSWER_MS:
            return
        self._swept = now_boot
        kept = {
            receiver: {sender: at for sender, at in senders.items() if now_boot - at <= ANSWER_MS}
            for receiver, senders in self._heard.items()
        }
        self._heard = {receiver: senders for receiver, senders in kept.items() if senders}
