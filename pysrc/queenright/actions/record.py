"""An act as it is kept: its row, and the leaves that tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

from queenright.actions.act import ActRequest, Class, Risk
from queenright.actions.plan import Plan
from queenright.core import canonical, decode, digest
from queenright.errors import StoreFailed
from queenright.ledger.blobs import BlobRef
from queenright.ledger.entry import Action, Agent, Entry, Kind, Operator, Result, Scalar, State
from queenright.store import Record

__all__ = ["ACTS", "PRIVATE", "ActRow", "ActState", "action_of", "actor_of", "denied_entry", "words_of"]

ACTS = "act"
"""Act id to its row, in clear: ids, words, digests, names of blobs."""

PRIVATE = "action.private"
"""Act or ask id to what people are shown of it: effect, undo in words."""

ActState = Literal["started", "done", "failed", "unknown"]
MAX_WORDS = 200  # of a leaf's `none: …`


@dataclass(frozen=True, slots=True)
class ActRow:
    """One act that was started. `blobs`: what was kept of it, by role; `undo`: the undo plan's digest, or
    empty.

    `undone_by`: the act that undid it. `undo_of`: the act that this one undid; then `operator` (fingerprint,
    name) did.
    """

    id: bytes
    agent: bytes
    agent_name: str
    incarnation: int
    cell: str
    shared: bool
    intent: bytes
    grant: bytes
    verb: str
    resource: str
    klass: Class
    risk: Risk
    manifest: bytes
    args: bytes
    plan: bytes
    undo: bytes
    state: ActState
    started_ms: int
    ended_ms: int = 0
    began: bool = False
    leaf: int = -1
    number: int = 0
    code: str = ""
    ask: bytes = b""
    verdict: bytes = b""
    lease: bytes = b""
    undone_by: bytes = b""
    undo_of: bytes = b""
    operator: tuple[str, ...] = ()
    blobs: Mapping[str, BlobRef] = field(default_factory=dict)

    @classmethod
    def of(
        cls, request: ActRequest, plan: Plan, now_ms: int, number: int, blobs: Mapping[str, BlobRef]
    ) -> ActRow:
        """The row of an act that is about to start."""
        return cls(
            id=request.id,
            agent=request.agent,
            agent_name=request.agent_name,
            incarnation=request.incarnation,
            cell=request.cell,
            shared=request.shared,
            intent=request.intent,
            grant=request.grant,
            verb=plan.verb,
            resource=plan.resource,
            klass=plan.klass,
            risk=plan.risk,
            manifest=plan.manifest,
            args=digest("args", canonical(dict(plan.args))),
            plan=plan.digest,
            undo=plan.undo_digest if plan.undo is not None else b"",
            state="started",
            started_ms=now_ms,
            number=number,
            blobs=blobs,
        )

    def encode(self) -> bytes:
        body = {
            item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("id", "blobs")
        }
        refs = {role: [ref.role, ref.sha256, ref.length, ref.commitment] for role, ref in self.blobs.items()}
        return canonical(body | {"v": 1, "operator": list(self.operator), "blobs": refs})

    @classmethod
    def decode(cls, act: bytes, data: bytes) -> ActRow:
        """Raises `StoreFailed` for a row that this version did not write."""
        try:
            body = decode(data)
            del body["v"]
            body["operator"] = tuple(body["operator"])
            body["blobs"] = {role: BlobRef(*ref) for role, ref in body["blobs"].items()}
            return cls(id=act, **body)
        except (KeyError, TypeError, AttributeError) as wrong:
            raise StoreFailed(f"the row of act {act.hex()[:12]} is not one this version wrote") from wrong

    def inserted(self) -> Record:
        return ("insert", ACTS, self.id, self.encode())

    def replaced(self, before: ActRow) -> tuple[Record, Record]:
        """Conditional on what was read: an act's end is written once."""
        return ("expect", ACTS, self.id, before.encode()), ("put", ACTS, self.id, self.encode())

    def ended(
        self, state: ActState, code: str, now_ms: int, blobs: Mapping[str, BlobRef], began: bool
    ) -> ActRow:
        kept = {**self.blobs, **blobs}
        return replace(self, state=state, code=code, ended_ms=now_ms, blobs=kept, began=began)

    def undoing(self, act: bytes, operator: tuple[str, str], now_ms: int, number: int) -> ActRow:
        """The act by which an operator undoes this one."""
        return replace(
            self, id=act, undo_of=self.id, operator=operator, state="started", started_ms=now_ms, ended_ms=0,
            began=False, leaf=-1, number=number, code="", blobs={}, undo=b"", ask=b"", verdict=b"", lease=b"", undone_by=b"",
        )  # fmt: skip

    def action(self, undo_text: str = "") -> Action:
        """As a leaf holds it."""
        undo: bytes | str = self.undo or f"none: {undo_text}"[:MAX_WORDS]
        return Action(
            self.id, self.verb, self.resource, self.klass, self.manifest, self.args, self.plan, undo, cost=1
        )

    def entry(
        self,
        kind: Kind,
        now_ms: int,
        *,
        result: Result | None = None,
        undo_text: str = "",
        facts: Mapping[str, Scalar] | None = None,
    ) -> Entry:
        """A leaf about this act. Its blobs are named in the leaf that first could know them."""
        roles = ("output",) if result is not None else tuple(role for role in self.blobs if role != "output")
        return Entry(
            kind,
            now_ms,
            Operator(*self.operator) if self.operator else actor_of(self),
            intent=self.intent,
            agent=self.agent if self.operator else None,
            grant=self.grant,
            lease=self.lease or None,
            ask=self.ask or None,
            verdict=self.verdict or None,
            action=self.action(undo_text or "no undo"),
            result=result,
            cause=self.undo_of or self.ask or self.intent,
            blobs=tuple(self.blobs[role] for role in roles if role in self.blobs),
            facts={"risk": self.risk, **(facts or {})},
        )

    def end_entry(self, now_ms: int, facts: Mapping[str, Scalar] | None = None) -> Entry:
        """The outcome's leaf."""
        states: dict[str, State] = {"done": "done", "failed": "failed", "unknown": "unknown"}
        output = self.blobs.get("output")
        result = Result(
            states[self.state],
            self.code,
            output.commitment if output is not None else None,
            output.length if output is not None else 0,
        )
        kind = _ENDS[self.state]
        if self.undo_of and self.state == "done":
            kind = "action.undone"
        elif self.undo_of and self.code == "conflict":
            kind = "undo.conflict"
        return self.entry(kind, now_ms, result=result, facts=facts)


_ENDS: dict[str, Kind] = {"done": "action.done", "failed": "action.failed", "unknown": "action.unknown"}


def actor_of(who: ActRow | ActRequest) -> Agent:
    """The agent as a leaf names it; in a shared cell any of its agents may have acted."""
    if isinstance(who, ActRow):
        return Agent(who.agent, who.agent_name, who.incarnation, who.cell or "none", who.shared)
    return Agent(who.agent, who.agent_name, who.incarnation, who.cell or "none", who.shared)


def words_of(plan: Plan) -> bytes:
    """What people are shown of a plan: the first line of its effect, the rest (a diff) apart, and its
    undo.
    """
    effect, _, diff = plan.effect.partition("\n")
    return canonical({"effect": effect, "diff": diff, "undo": plan.undo_text})


def action_of(request: ActRequest, klass: Class, manifest: bytes) -> Action:
    """An act that was not started, as a leaf holds it."""
    args = digest("args", canonical(dict(request.args)))
    return Action(
        request.id, request.verb, request.resource, klass, manifest, args, None, "none: not started"
    )


def denied_entry(
    request: ActRequest, action: Action | None, now_ms: int, reason: str, dimensions: str, count: int
) -> Entry:
    """A refusal's leaf; `count` attempts of the same kind stand behind it."""
    return Entry(
        "action.denied",
        now_ms,
        actor_of(request),
        intent=request.intent,
        grant=request.grant,
        action=action,
        cause=request.intent,
        facts={"reason": reason[:80], "dimensions": dimensions[:200], "count": count},
    )
