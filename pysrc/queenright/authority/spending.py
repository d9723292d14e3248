"""Spending a verdict: everything that must still be as it was when a person signed (design.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queenright.authority.ask import RISKS, Ask, Wish
from queenright.authority.ask_head import AskHead
from queenright.authority.grants import Grants
from queenright.authority.intents import Standing
from queenright.authority.operators import Operators
from queenright.authority.verdict import Verdict
from queenright.core import canonical
from queenright.errors import QueenrightError
from queenright.store import Change

__all__ = ["Present", "Release", "differences"]


@dataclass(frozen=True, slots=True)
class Present:
    """The world as it is when a verdict is to be spent, for the checks of design.md section 8."""

    wish: Wish
    standing: Standing
    operators: Operators


@dataclass(frozen=True, slots=True)
class Release:
    """What a verdict releases: these arguments (as asked, or fewer), once. Commit `change` with the start of the act."""

    ask: bytes
    verdict: bytes
    args: Mapping[str, Any]
    signers: tuple[tuple[str, str], ...]
    change: Change


def differences(
    head: AskHead, asked: Ask, verdict: Verdict, present: Present, grants: Grants, now: int
) -> tuple[str, ...]:
    """Everything that is no longer as it was signed: the checks of design.md section 8, none skipped, none first."""
    wish, standing = present.wish, present.standing
    found = []
    for name, fingerprint in head.signers:
        try:
            signer = present.operators.holder(fingerprint, now)
            present.operators.entitle(signer, "approvals", head.verb, head.resource)
        except QueenrightError as error:
            found.append(f"signer {name}: {error.message}")
    found += [f"chain: {reason}" for reason in grants.dead(head.agent)]
    if standing.state_at(now) != "live":
        found.append(f"intent: it is {standing.state_at(now)}")
    if standing.intent.id != asked.intent or standing.intent.revision != asked.revision:
        found.append("intent: it was amended since")
    if grants.chain_digest(head.agent) != asked.chain:
        found.append("chain: a grant of it was changed")
    if wish.policy != asked.policy:
        found.append("policy: operators, resources or the ceiling changed")
    if now >= verdict.not_after or now >= asked.not_after:
        found.append("time: the approval has ended")
    if canonical(dict(wish.precondition)) != canonical(dict(asked.precondition)):
        found.append("target: it is no longer what it was")
    if wish.agent != asked.agent or wish.verb != asked.verb or wish.resource != asked.resource:
        found.append("act: another agent, verb or resource")
    if wish.manifest != asked.manifest:
        found.append("act: its manifest changed")
    args = asked.args if verdict.args is None else verdict.args
    if canonical(dict(wish.args)) != canonical(dict(args)):
        found.append("act: other arguments")
    # A narrowed act has a plan of its own, made by the supervisor's adapter from the narrowed arguments.
    if verdict.args is None and _plans(wish) != _plans(asked):
        found.append("act: another plan or undo plan")
    if RISKS.index(wish.risk) > RISKS.index(asked.risk):
        found.append(f"act: its risk is {wish.risk} now")
    decision = grants.check(
        head.agent, head.verb, head.resource, irreversible=True, approved=True
    )  # fmt: skip
    found += [f"grant: {one.name} {one.detail}" for one in decision.dimensions]
    return tuple(dict.fromkeys(found))


def _plans(act: Wish | Ask) -> tuple[bytes, bytes, bytes]:
    return act.plan, act.undo, act.dry_run
