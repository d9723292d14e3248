"""The engine's side of asks: raising one for an act, finding it again, releasing what a verdict allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.act import ActRequest, ActResult, AskOpened
from queenright.actions.parts import Parts
from queenright.actions.plan import Plan
from queenright.actions.record import PRIVATE, actor_of, words_of
from queenright.authority.ask import Ask, Wish
from queenright.authority.asks import AskHead, Present, Release
from queenright.authority.verdict import Verdict
from queenright.core import canonical, digest
from queenright.errors import Denied, Dimension, StaleVerdict, Unknown
from queenright.ledger.entry import Action, Entry
from queenright.store import Change

__all__ = ["ASKED", "Asking"]

ASKED = "act.ask"
"""What an act waits as to the ask it waits for."""


class Asking:
    """Ties acts to asks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def asked(self, request: ActRequest) -> bytes:
        """The ask this act waits for, or empty."""
        return self._parts.store.get(ASKED, request.waits) or b""

    def head(self, request: ActRequest) -> AskHead | None:
        """The ask of this act, while it may still release it."""
        ask = self.asked(request)
        if not ask:
            return None
        try:
            head = self._parts.asks.get(ask)
        except Unknown:
            return None
        # Spent by an equal act of the same agent, or void: this act must ask for itself.
        return None if head.state in ("spent", "void") else head

    def answer(self, request: ActRequest, head: AskHead) -> Denied:
        """The refusal a person, or nobody, gave."""
        by = head.decided_by or "nobody"
        reason = "ask_expired" if head.state == "expired" else "ask_denied"
        words = "nobody answered in time" if head.state == "expired" else f"denied by {by}"
        detail = f"{words}: {head.reason}" if head.reason else words
        return Denied(
            f"{request.verb} on {request.resource}: {detail}",
            verb=request.verb,
            resource=request.resource,
            dimensions=(Dimension("ask", "operator", detail),),
            reason=reason,
        )

    def approved_args(self, head: AskHead) -> Mapping[str, Any]:
        """What the verdict allows: the arguments of the ask, or fewer."""
        for document, _ in self._parts.asks.verdicts(head.id):
            verdict = Verdict.decode(document)
            if verdict.digest == head.verdict and verdict.args is not None:
                return verdict.args
        return Ask.decode(self._parts.asks.document(head.id)[0]).args

    def wish(self, request: ActRequest, plan: Plan) -> Wish:
        """The act as authority knows it: made by the supervisor but for `reason`."""
        return Wish(
            agent=request.agent,
            verb=plan.verb,
            resource=plan.resource,
            args=plan.args,
            manifest=plan.manifest,
            precondition=plan.precondition,
            plan=plan.digest,
            undo=plan.undo_digest,
            dry_run=plan.effect_digest,
            policy=self._parts.policy.policy_revision,
            risk=plan.risk,
            reason=request.reason,
        )

    def release(self, request: ActRequest, plan: Plan, head: AskHead) -> Release | None:
        """What an approved ask releases now; None when it no longer stands, which is recorded: ask anew."""
        parts = self._parts
        present = Present(self.wish(request, plan), parts.standing(request.intent), parts.policy.operators)
        try:
            return parts.asks.spend(head.id, present)
        except StaleVerdict as stale:
            leaf = self._entry("ask.void", request, plan, head.id, head.verdict, why=stale.message[:300])
            parts.commit(parts.asks.void(head.id, stale.message), leaf)
            return None

    def may_ask(self, request: ActRequest, plan: Plan, clauses: tuple[int, ...]) -> None:
        """Raises `Denied` where no card would be made for this act."""
        self._parts.asks.open(self.wish(request, plan), self._parts.standing(request.intent), clauses)

    def rehearsing(self, request: ActRequest, plan: Plan) -> Change:
        """The leaf of an act that is about to be done to a copy, for a person to see."""
        return self._entry("action.rehearsed", request, plan, None, b"")

    def waiting(self, agent: bytes) -> list[bytes]:
        """Acts of this agent whose ask is open or approved."""
        live = {head.id for head in self._parts.asks.of_agents(frozenset({agent}))}
        return [act for act, ask in self._parts.store.scan(ASKED) if ask in live]

    def raised(self, request: ActRequest, plan: Plan, clauses: tuple[int, ...]) -> ActResult:
        """Ask a person. Raises `Denied` without a card (quota, denied lately)."""
        parts = self._parts
        head, opened = parts.asks.open(self.wish(request, plan), parts.standing(request.intent), clauses)
        mine = Change((("put", ASKED, request.waits, head.id), ("put", PRIVATE, head.id, words_of(plan))))
        leaf = Change()
        if opened.records:
            leaf = self._entry(
                "ask.raised", request, plan, head.id, b"", risk=plan.risk, answer_by=head.answer_by
            )
        parts.commit(opened, mine, leaf)
        return AskOpened(head.id)

    def forgotten(self, request: ActRequest) -> Change:
        """Once an act has started it waits for nothing."""
        return Change((("delete", ASKED, request.waits),) if self.asked(request) else ())

    def _entry(
        self, kind: Any, request: ActRequest, plan: Plan, ask: bytes | None, verdict: bytes, **facts: Any
    ) -> Change:
        args = digest("args", canonical(dict(plan.args)))
        undo: bytes | str = plan.undo_digest if plan.undo is not None else f"none: {plan.undo_text}"[:200]
        return self._parts.ledger.entry(
            Entry(
                kind,
                self._parts.clock.wall_ms(),
                actor_of(request),
                intent=request.intent,
                grant=request.grant,
                ask=ask,
                verdict=verdict or None,
                action=Action(
                    request.id, plan.verb, plan.resource, plan.klass, plan.manifest, args, plan.digest, undo
                ),
                cause=request.intent,
                facts=facts,
            )
        )
