"""All asks: opened within bounds, answered once, spent once, ended by their deadline. Rows, so they outlive any process.

A row's head (`ask`) is clear; the canonical bytes and the agent's words (`ask.private`) are sealed by the store. Equal
asks share a group key and may be answered by one verdict over exactly the members it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from queenright.authority.amount import show_duration
from queenright.authority.ask import REASON_CHARS, Ask, Wish, card_key, group_key
from queenright.authority.ask_head import LIVE, AskHead, AskState, strictest
from queenright.authority.document import APPROVE, NONCE
from queenright.authority.grants import Grants
from queenright.authority.intent import Limits
from queenright.authority.intents import Standing
from queenright.authority.operators import Operators, Signer
from queenright.authority.spending import Present, Release, differences
from queenright.authority.verdict import Verdict
from queenright.core import canonical, decode
from queenright.errors import (
    AskExpired,
    Conflict,
    Denied,
    Dimension,
    NotEntitled,
    StaleVerdict,
    Unknown,
)
from queenright.store import Change, Record, Store

__all__ = ["ASKS", "DENIED_MS", "AskHead", "AskState", "Asks", "Present", "Release"]

ASKS = "ask"
PRIVATE = "ask.private"
VERDICTS = "ask.verdict"
USES = "verdict.uses"
SPENT = "ask"

DENIED_MS = 30 * 60_000
"""After a denial the same act by the same branch of the swarm is denied without a card, so that no asks again is a no."""
SPEND_MS = 15 * 60_000
"""How long after the last moment to answer the act may still start."""
HOUR_MS = 3_600_000
MAX_OPEN = 10_000
"""Cards of the whole process: past it, something is wrong that no person can answer."""


class Asks:
    """All asks of this supervisor."""

    def __init__(
        self,
        store: Store,
        grants: Grants,
        now_ms: Callable[[], int],
        rand: Callable[[int], bytes],
        runtime: bytes,
    ) -> None:
        self._store = store
        self._grants = grants
        self._now = now_ms
        self._rand = rand
        self._runtime = runtime
        self._all: dict[bytes, AskHead] = {}
        self._near: set[bytes] = set()  # open, approved, or of the last hour: what bounds look at

    def load(self) -> None:
        """Read the heads. Works while the supervisor is locked: nothing sealed is opened."""
        for key, value in self._store.scan(ASKS):
            self._set(AskHead.decode(key, value))

    # ---- raising ----

    def open(self, wish: Wish, standing: Standing, clauses: Sequence[int] = ()) -> tuple[AskHead, Change]:
        """Raise an ask for this act. `clauses`: the intent's ask clauses that want it (`Decision.clauses`).

        The same act by the same agent, still open, is the same ask and changes nothing. Raises Denied (`ask_quota`,
        `denied_recently`) without a card, Malformed.
        """
        now = self._now()
        reason = wish.reason[:REASON_CHARS]
        approval = strictest([standing.intent.approval(clause) for clause in clauses])
        ends = min(standing.intent.not_after, now + approval.answer_ms + SPEND_MS)
        intent = standing.intent
        ask = Ask(
            self._runtime, intent.id, intent.revision, wish.agent, self._grants.chain_digest(wish.agent), wish.verb,
            wish.manifest, wish.resource, wish.args, wish.precondition, wish.plan, wish.undo, wish.dry_run, wish.policy,
            wish.risk, min(ends, now + approval.answer_ms), ends, self._rand(NONCE),
        )  # fmt: skip
        data = ask.encode()
        Ask.decode(data)
        group, card, branch = group_key(data), card_key(data), self._branch(wish.agent)
        self._near = {ask for ask in self._near if self._counts(self._all[ask], now)}
        for head in self._nearby():
            if head.state in LIVE and head.agent == wish.agent and head.card == card:
                return head, Change()
        self._within_quota(wish, group, branch, intent.limits, now)
        head = AskHead(
            id=ask.hash,
            state="open",
            group=group,
            card=card,
            branch=branch,
            agent=wish.agent,
            intent=intent.id,
            revision=intent.revision,
            verb=wish.verb,
            resource=wish.resource,
            risk=wish.risk,
            raised_ms=now,
            answer_by=ask.answer_by,
            not_after=ask.not_after,
            approval=approval,
        )
        private = canonical({"ask": data, "reason": reason})
        return head, Change(
            (("insert", ASKS, head.id, head.encode()), ("insert", PRIVATE, head.id, private)),
            lambda: self._set(head),
        )

    @staticmethod
    def _counts(head: AskHead, now: int) -> bool:
        return head.state in LIVE or max(head.raised_ms, head.decided_ms) > now - HOUR_MS

    def _nearby(self) -> list[AskHead]:
        return [self._all[ask] for ask in self._near]

    def _branch(self, agent: bytes) -> bytes:
        """The child of the swarm's first agent above this one: what shares a quota, so that spawning gains none."""
        path = self._grants.path(agent)
        return path[max(0, len(path) - 3)]

    def _within_quota(self, wish: Wish, group: bytes, branch: bytes, limits: Limits, now: int) -> None:
        mine, theirs, hour, cards = set(), set(), 0, 0
        for head in self._nearby():
            denied = head.state == "denied" and head.group == group and head.branch == branch
            if denied and now < head.decided_ms + DENIED_MS:
                wait = show_duration(head.decided_ms + DENIED_MS - now)
                raise _no_card(
                    wish, "denied_recently", f"{head.decided_by} denied this act; ask again in {wait}"
                )
            if head.state == "open":
                cards += 1
                if head.agent == wish.agent:
                    mine.add(head.group)
                if head.branch == branch:
                    theirs.add(head.group)
            if head.agent == wish.agent and head.raised_ms > now - HOUR_MS:
                hour += 1
        if len(mine) >= limits.open_asks_per_agent:
            raise _no_card(wish, "ask_quota", f"{len(mine)} asks of this agent are open already")
        if group not in theirs and len(theirs) >= limits.open_asks:
            raise _no_card(
                wish, "ask_quota", f"{len(theirs)} asks of its branch of the swarm are open already"
            )
        if hour >= limits.asks_per_hour:
            raise _no_card(wish, "ask_quota", f"this agent raised {hour} asks within the hour")
        if cards >= MAX_OPEN:
            raise _no_card(wish, "ask_quota", f"{cards} asks are open")

    # ---- answering ----

    def decide(
        self, document: bytes, signature: str, operators: Operators, standing: Callable[[bytes], Standing]
    ) -> tuple[tuple[AskHead, ...], Change]:
        """Take a signed verdict. Returns the asks it touched as they now are (still open while a quorum lacks).

        Raises Malformed, InvalidSignature, NotEntitled, Unknown; Conflict naming who decided first; AskExpired;
        StaleVerdict where it does not answer what is asked.
        """
        now = self._now()
        verdict = Verdict.decode(document)
        signer = operators.signer(APPROVE, document, signature, now)
        heads = [self._undecided(ask, now) for ask in verdict.asks]
        for head in heads:
            self._may_decide(head, signer, operators, standing(head.intent))
        members = [(*self._opened(head.id), head) for head in heads]
        faults = verdict.faults([(ask, head.id, reason) for ask, reason, head in members], now)
        if faults:
            raise StaleVerdict(
                "this verdict does not answer these asks: " + "; ".join(faults), hint="look again"
            )
        if len({head.card for head in heads}) > 1:
            raise StaleVerdict(
                "one verdict answers equal asks only: these differ", hint="answer them one by one"
            )
        after = [self._answered(head, verdict, signer, now) for head in heads]
        records: list[Record] = []
        for old, new in zip(heads, after, strict=True):
            records += [("expect", ASKS, old.id, old.encode()), ("put", ASKS, new.id, new.encode())]
            place = old.id + len(old.signers).to_bytes(2, "big")
            records.append(
                ("insert", VERDICTS, place, canonical({"verdict": document, "signature": signature}))
            )
        return tuple(after), Change(tuple(records), lambda: self._set(*after))

    def _answered(self, head: AskHead, verdict: Verdict, signer: Signer, now: int) -> AskHead:
        name = signer.person.name
        if verdict.answer == "deny":
            return replace(
                head, state="denied", verdict=verdict.digest, answer="deny", decided_by=name, decided_ms=now,
                reason=verdict.reason,
            )  # fmt: skip
        signers = (*head.signers, (name, signer.fingerprint))
        if head.verdict and self._scope(head.verdict, head.id) != _scope(verdict):
            raise Conflict(
                f"{head.signers[0][0]} approved this ask in another scope: a quorum approves one thing",
                hint="approve the same, or deny",
            )
        enough = len(signers) >= head.approval.quorum
        return replace(
            head, state="approved" if enough else "open", signers=signers, verdict=head.verdict or verdict.digest,
            answer=verdict.answer, decided_by=", ".join(person for person, _ in signers), decided_ms=now,
        )  # fmt: skip

    def _scope(self, digest: bytes, ask: bytes) -> tuple[Any, ...]:
        return _scope(self._verdict(ask, digest))

    def _may_decide(self, head: AskHead, signer: Signer, operators: Operators, standing: Standing) -> None:
        why = self.forbidden(head, signer, operators, standing)
        if why:
            raise NotEntitled(why, hint="another operator decides it")

    def forbidden(self, head: AskHead, signer: Signer, operators: Operators, standing: Standing) -> str:
        """Why this person may not decide this ask, or "" if they may."""
        person, approval = signer.person, head.approval
        if not person.may("approvals", head.verb, head.resource):
            return f"{person.name} may not approve {head.verb} on {head.resource}"
        if approval.approvers and not person.answers_to(approval.approvers):
            return f"this ask is for {', '.join(approval.approvers)}, and {person.name} is none of them"
        if "requester" in approval.excluding and person.name in standing.signers:
            return f"{person.name} signed the intent, which excludes its requester"
        if "spawner" in approval.excluding and person.name == standing.spawner:
            return f"{person.name} started the swarm, which the intent excludes"
        if any(person.name == earlier for earlier, _ in head.signers):
            return f"{person.name} has approved this ask already: a quorum is of different people"
        return ""

    def deny(self, ask: bytes, by: str, reason: str) -> tuple[AskHead, Change]:
        """Deny without a signature: taking away needs only an authenticated session. Raises Conflict, AskExpired."""
        now = self._now()
        head = self._undecided(ask, now)
        after = replace(
            head, state="denied", answer="deny", decided_by=by, decided_ms=now, reason=reason[:REASON_CHARS]
        )  # fmt: skip
        return after, self._save(head, after)

    def _undecided(self, ask: bytes, now: int) -> AskHead:
        head = self.get(ask)
        if head.state == "open":
            if now >= head.answer_by:
                raise AskExpired(f"ask-{ask.hex()[:12]} expired {show_duration(now - head.answer_by)} ago")
            return head
        if head.state == "expired":
            raise AskExpired(f"ask-{ask.hex()[:12]} expired unanswered")
        by = f" by {head.decided_by}" if head.decided_by else ""
        when = f" {show_duration(now - head.decided_ms)} ago" if head.decided_ms else ""
        raise Conflict(f"ask-{ask.hex()[:12]} is {head.state} already{by}{when}", hint="queenright ask show")

    # ---- spending ----

    def spend(self, ask: bytes, present: Present) -> Release:
        """Release the act of an approved ask, if everything is as it was when it was approved.

        Raises StaleVerdict with every difference (then commit `void` and raise the ask anew), Conflict if not approved.
        """
        head = self.get(ask)
        if head.state != "approved":
            raise Conflict(f"ask-{ask.hex()[:12]} is {head.state}, not approved")
        asked, _ = self._opened(ask)
        verdict = self._verdict(ask, head.verdict)
        found = differences(head, asked, verdict, present, self._grants, self._now())
        if found:
            raise StaleVerdict(
                f"the approval of ask-{ask.hex()[:12]} is void: {'; '.join(found)}",
                hint="the ask is raised anew",
            )
        after = replace(head, state="spent")
        records: tuple[Record, ...] = (
            ("spend", SPENT, ask),
            ("count", USES, head.verdict, 1, verdict.max_uses),
            ("expect", ASKS, ask, head.encode()),
            ("put", ASKS, ask, after.encode()),
        )
        args = asked.args if verdict.args is None else verdict.args
        return Release(ask, head.verdict, args, head.signers, Change(records, lambda: self._set(after)))

    def void(self, ask: bytes, why: str) -> Change:
        """The approval, or the open ask, no longer stands."""
        head = self.get(ask)
        if head.state not in LIVE:
            raise Conflict(f"ask-{ask.hex()[:12]} is {head.state} already")
        return self._save(head, replace(head, state="void", reason=why[:REASON_CHARS]))

    # ---- ending ----

    def due(self) -> tuple[AskHead, ...]:
        """Asks whose time is over: unanswered past `answer_by`, or approved and unspent past `not_after`."""
        now = self._now()
        return tuple(
            head
            for head in self._nearby()
            if (head.state == "open" and now >= head.answer_by)
            or (head.state == "approved" and now >= head.not_after)
        )

    def expire(self, ask: bytes) -> tuple[AskHead, Change]:
        """End an ask that is due: no answer is a no. Raises Conflict if it is not due."""
        if all(head.id != ask for head in self.due()):
            raise Conflict(f"ask-{ask.hex()[:12]} is not due")
        head = self.get(ask)
        after = replace(head, state="expired")
        return after, self._save(head, after)

    def resting_on(self, fingerprints: frozenset[str]) -> tuple[AskHead, ...]:
        """Open or approved asks that hold an approval by one of these keys: void once the keys are removed."""
        return tuple(
            head
            for head in self._nearby()
            if head.state in LIVE and any(key in fingerprints for _, key in head.signers)
        )

    def of_agents(self, agents: frozenset[bytes]) -> tuple[AskHead, ...]:
        """Open or approved asks of these agents."""
        return tuple(head for head in self._nearby() if head.agent in agents and head.state in LIVE)

    # ---- reading ----

    def get(self, ask: bytes) -> AskHead:
        head = self._all.get(ask)
        if head is None:
            raise Unknown(f"no ask-{ask.hex()[:12]}", hint="queenright ask list")
        return head

    def __iter__(self) -> Iterator[AskHead]:
        return iter(list(self._all.values()))

    def members(self, ask: bytes) -> tuple[AskHead, ...]:
        """The open asks equal to this one, itself first, then by age."""
        head = self.get(ask)
        equal = [
            one for one in self._nearby() if one.card == head.card and one.state == "open" and one.id != ask
        ]
        return (head, *sorted(equal, key=lambda one: (one.raised_ms, one.id)))

    def similar(self, ask: bytes, limit: int = 5) -> tuple[AskHead, ...]:
        """The last decisions on the same verb and resource, newest first."""
        head = self.get(ask)
        same = [
            one
            for one in self._all.values()
            if one.decided_ms and (one.verb, one.resource) == (head.verb, head.resource)
        ]
        return tuple(sorted(same, key=lambda one: -one.decided_ms)[:limit])

    def document(self, ask: bytes) -> tuple[bytes, str]:
        """The canonical bytes and the agent's words (untrusted). Raises Locked, Unknown."""
        self.get(ask)
        value = self._store.get(PRIVATE, ask)
        if value is None:
            raise Unknown(f"the bytes of ask-{ask.hex()[:12]} are gone")
        body = decode(value)
        return body["ask"], body["reason"]

    def verdicts(self, ask: bytes) -> list[tuple[bytes, str]]:
        """Every verdict given on this ask, as (canonical bytes, signature)."""
        rows = [decode(value) for _, value in self._store.scan(VERDICTS, ask)]
        return [(row["verdict"], row["signature"]) for row in rows]

    def _opened(self, ask: bytes) -> tuple[Ask, str]:
        data, reason = self.document(ask)
        return Ask.decode(data), reason

    def _verdict(self, ask: bytes, digest: bytes) -> Verdict:
        for document, _ in self.verdicts(ask):
            verdict = Verdict.decode(document)
            if verdict.digest == digest:
                return verdict
        raise Unknown(f"the verdict of ask-{ask.hex()[:12]} is gone")

    def _save(self, before: AskHead, after: AskHead) -> Change:
        records = (("expect", ASKS, before.id, before.encode()), ("put", ASKS, after.id, after.encode()))
        return Change(records, lambda: self._set(after))

    def _set(self, *heads: AskHead) -> None:
        for head in heads:
            self._all[head.id] = head
            self._near.add(head.id)


def _scope(verdict: Verdict) -> tuple[Any, ...]:
    args = None if verdict.args is None else canonical(dict(verdict.args))
    return verdict.answer, args, verdict.not_after


def _no_card(wish: Wish, name: str, detail: str) -> Denied:
    return Denied(
        f"{wish.verb} on {wish.resource} is denied without asking anybody: {detail}",
        verb=wish.verb,
        resource=wish.resource,
        dimensions=(Dimension(name, "ask", detail),),
        reason=name,
    )
