"""Asks, as operators read them: cards by group, the canonical bytes, what stands beside them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from queenright.authority.ask import Ask
from queenright.authority.asks import AskHead
from queenright.control.protocol import (
    AskContext,
    AskDetail,
    AskPage,
    AskRow,
)
from queenright.control.service import Caller
from queenright.core import sanitize_name
from queenright.supervisor.find import find
from queenright.supervisor.rows import NAME_CHARACTERS
from queenright.supervisor.service_read import PAGE, Reading
from queenright.wire.ids import full

if TYPE_CHECKING:
    pass

__all__ = ["ReadingAsks"]

MEMBERS = 200  # of one card


class ReadingAsks(Reading):
    """Cards and requests."""

    # --- asks -----------------------------------------------------------------------------------------------------

    def ask_row(self, head: AskHead, members: int = 1) -> AskRow:
        agent = self.rt.agents.find(head.agent)
        return {
            "id": full("ask", head.id),
            "state": head.state,
            "agent": full("agent", head.agent),
            "agent_name": sanitize_name(agent.name, NAME_CHARACTERS) if agent is not None else "",
            "intent": full("intent", head.intent),
            "verb": head.verb,
            "resource": head.resource,
            "risk": head.risk,
            "raised_ms": head.raised_ms,
            "deadline_ms": head.answer_by,
            "members": members,
            "decided_by": head.decided_by,
            "verdict": head.answer,
        }

    async def asks(
        self, caller: Caller, state: str | None = None, after: str | None = None, limit: int | None = None
    ) -> AskPage:
        """Open ones a card a group, oldest first; decided ones newest first."""
        heads = [head for head in self.rt.asks if state is None or head.state == state]
        groups: Counter[bytes] = Counter(head.group for head in heads if head.state == "open")
        seen: set[bytes] = set()
        cards: list[AskRow] = []
        for head in sorted(
            heads,
            key=lambda one: (one.state != "open", one.raised_ms if one.state == "open" else -one.decided_ms),
        ):
            if head.state == "open":
                if head.group in seen:
                    continue
                seen.add(head.group)
            cards.append(self.ask_row(head, groups[head.group] if head.state == "open" else 1))
        start = next((n + 1 for n, card in enumerate(cards) if card["id"] == after), 0)
        rows = cards[start : start + min(limit or PAGE, PAGE)]
        return {"rows": rows, "next": rows[-1]["id"] if start + len(rows) < len(cards) else None}

    async def ask(self, caller: Caller, ask: str) -> AskDetail:
        rt = self.rt
        _, digest = find(rt, ask, ("ask",))
        head = rt.asks.get(digest)
        members = rt.asks.members(digest) if head.state == "open" else (head,)
        document, reason = rt.asks.document(digest)
        shown = [rt.asks.document(member.id) for member in members[:MEMBERS]]
        return {
            "row": self.ask_row(head, len(members)),
            "bytes": document,
            "members": [asked for asked, _ in shown],
            "reasons": [said for _, said in shown],
            "more": len(members) - len(shown),
            "context": self._context(caller, head, Ask.decode(document), reason),
        }

    def _context(self, caller: Caller, head: AskHead, asked: Ask, reason: str) -> AskContext:
        rt = self.rt
        standing = rt.intents.get(head.intent)
        forbidden = "prove an operator's key to decide"
        same = False
        if caller.operator is not None:
            signer = rt.documents.operators.holder(caller.operator.fingerprint, rt.clock.wall_ms())
            forbidden = rt.asks.forbidden(head, signer, rt.documents.operators, standing)
            same = caller.operator.person.name in standing.signers
        card = rt.acting.card(head.id)
        distance = rt.gate.distance(caller.operator) if caller.operator is not None else "none"
        used, most = self._budget(head)
        return {
            "chain": [
                {
                    "id": full("agent", a.id),
                    "name": sanitize_name(a.name, NAME_CHARACTERS),
                    "behaviour": a.behaviour,
                }
                for a in rt.agents.chain(head.agent)
            ],
            "operator": standing.signer,
            "purpose": standing.intent.purpose,
            "reason": reason,
            "effect": card.effect,
            "diff": card.diff,
            "undo": card.undo,
            "blast": {"resources": [head.resource], "agents": 1, "budget_used": used, "budget_max": most},
            "similar": [
                {
                    "at_ms": one.decided_ms,
                    "operator": one.decided_by,
                    "verdict": one.answer,
                    "outcome": one.state,
                }
                for one in rt.asks.similar(head.id)
                if one.id != head.id
            ],
            "same_person": same,
            "accept_same_user": distance == "none" and asked.risk in ("HIGH", "CRITICAL"),
            "forbidden": forbidden,
        }

    def _budget(self, head: AskHead) -> tuple[int | None, int | None]:
        """Of the intent's rule that asks for this verb, as far as it counts."""
        if head.intent not in self.rt.grants:
            return None, None
        for rule in self.rt.grants.view(head.intent).rules:
            if head.verb in rule["verbs"] and rule["max"] is not None:
                return rule["used"], rule["max"]
        return None, None
