"""Undo: what acts did is put back, newest first, each by its own recorded undo plan, and each a recorded act
itself.

A preview says exactly what would be done; an operator's signed order names its digest. Nothing is overwritten
that somebody else changed since: that is a conflict, shown in the preview and found again by the executor.
Revocations, verdicts, budgets and operators' documents are no acts, so nothing here can touch them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Literal

from queenright.actions.act import Class, Done, Failed, UnknownEnd
from queenright.actions.engine import Engine
from queenright.actions.executors import Session
from queenright.actions.manifest import Manifest
from queenright.actions.record import ActRow
from queenright.actions.registry import find_manifest
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.verb import ActionFailed, Effect, Unsure
from queenright.core import canonical, digest
from queenright.errors import Conflict, QueenrightError
from queenright.ledger.entry import Operator

__all__ = ["Outcome", "Preview", "Step", "Undo", "UndoTarget"]

UndoTarget = tuple[Literal["act", "agent", "intent", "since"] | str, bytes | int]
"""What is to be undone: ("act", id), ("agent", id), ("intent", id), or ("since", wall ms)."""

MAX_STEPS = 1_000
"""Acts under one order: what a person can look through."""


@dataclass(frozen=True, slots=True)
class Step:
    """One act. `what`: its undo in words. `conflict`: why it would overwrite another's change. `skipped`: why
    it
    cannot be undone at all."""

    act: bytes
    verb: str
    resource: str
    klass: Class
    what: str
    plan: bytes
    undo: bytes
    conflict: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an undo would do, newest act first."""

    target: UndoTarget
    steps: tuple[Step, ...]

    def encode(self) -> bytes:
        """The canonical bytes whose digest an order names."""
        steps = [
            {name: getattr(step, name) for name in Step.__slots__ if name != "klass"} | {"class": step.klass}
            for step in self.steps
        ]
        return canonical({"v": 1, "target": list(self.target), "steps": steps})

    @property
    def digest(self) -> bytes:
        return digest("undo", self.encode())


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done`: acts that were put back. `failed`: (act, code, message); after the first nothing more was
    tried.
    """

    done: tuple[bytes, ...]
    failed: tuple[tuple[bytes, str, str], ...]


class Undo:
    """Previews and performs undos over an engine's acts."""

    def __init__(self, engine: Engine, rand: Callable[[int], bytes] = os.urandom) -> None:
        self._engine = engine
        self._parts = engine.parts
        self._rand = rand

    # ---- looking ----

    async def preview(self, target: UndoTarget) -> Preview:
        """What would be undone, each conflict found by looking at the target now. Changes nothing.

        Raises Conflict for more than MAX_STEPS acts.
        """
        rows = [row for row in reversed(self._engine.acts.all()) if _matches(row, target) and _counts(row)]
        if len(rows) > MAX_STEPS:
            raise Conflict(
                f"{len(rows)} acts: at most {MAX_STEPS} at once", hint="undo an agent or a shorter time"
            )
        steps: list[Step] = []
        before: set[tuple[str, bytes]] = set()
        blocked: dict[tuple[str, bytes], bytes] = {}
        for row in rows:
            place = (row.resource, row.agent if row.resource == OWN_WORKSPACE else b"")
            step = await self._step(row, looked_at=place in before, blocked=blocked.get(place))
            if step.skipped or step.conflict:
                blocked.setdefault(place, row.id)
            before.add(place)
            steps.append(step)
        return Preview(target, tuple(steps))

    async def _step(self, row: ActRow, *, looked_at: bool, blocked: bytes | None) -> Step:
        what = self._engine.acts.shown(row.id)["undo"]
        step = Step(row.id, row.verb, row.resource, row.klass, what, row.plan, row.undo)
        if not row.undo:
            return replace(step, skipped=f"cannot be undone: {what}")
        if blocked is not None:
            return replace(step, conflict=f"a later act on it (act-{blocked.hex()[:12]}) stays")
        if looked_at:
            return (
                step  # what it meets is what the newer undos leave: its executor looks when its turn has come
            )
        try:
            async with self._begun(row) as (session, manifest):
                plan, after = self._engine.acts.plan_of(row), self._engine.acts.after_of(row)
                return replace(step, conflict=await session.conflict(manifest, plan, after))
        except (ActionFailed, Unsure, QueenrightError) as error:
            return replace(step, conflict=error.message)

    # ---- doing ----

    async def execute(self, preview: Preview, person: Operator) -> Outcome:
        """Undo what the preview shows, in its order; stop at the first that fails. Steps with a conflict are
        not tried.

        The caller has checked that the preview is still true, and what `person` may undo.
        Raises LedgerUnwritable before anything is done.
        """
        self._parts.ledger.require_writable()
        done: list[bytes] = []
        failed: list[tuple[bytes, str, str]] = []
        for step in preview.steps:
            if step.skipped:
                continue
            if step.conflict:
                failed.append((step.act, "conflict", step.conflict))
            elif any(code != "conflict" for _, code, _ in failed):
                failed.append((step.act, "not_reached", "an undo before it failed"))
            else:
                end = await self._undo(step, person)
                if isinstance(end, Done):
                    done.append(step.act)
                else:
                    code = end.code if isinstance(end, Failed) else "unknown_outcome"
                    failed.append(
                        (step.act, code if code != "conflict" else "changed_meanwhile", end.message)
                    )
        return Outcome(tuple(done), tuple(failed))

    async def _undo(self, step: Step, person: Operator) -> Done | Failed | UnknownEnd:
        row = self._engine.acts.get(step.act)
        if row is None or not _counts(row) or row.plan != step.plan or row.undo != step.undo:
            return Failed("conflict", "the act is not what the preview showed")
        try:
            async with self._begun(row) as (session, manifest):
                return await self._recorded(row, person, session, manifest)
        except (ActionFailed, Unsure, QueenrightError) as error:
            return Failed(error.code, error.message)  # before its start was recorded: nothing was touched

    async def _recorded(
        self, row: ActRow, person: Operator, session: Session, manifest: Manifest
    ) -> Done | Failed | UnknownEnd:
        acts, parts, now = self._engine.acts, self._parts, self._parts.clock.wall_ms()
        plan, after = acts.plan_of(row), acts.after_of(row)
        act = digest("act", canonical({"v": 1, "undo_of": row.id, "nonce": self._rand(16)}))
        mine = row.undoing(act, (person.fingerprint, person.name), now, acts.next_number())
        undone = replace(row, undone_by=mine.id)
        parts.ledger.require_writable()
        leaf = parts.ledger.entry(
            mine.entry(
                "action.started", now, undo_text="an undo is not undone", facts={"undo_of": row.id.hex()}
            )
        )
        shown = replace(plan, effect=f"undo: {plan.undo_text}", undo_text="")
        acts.begun_at(mine.id, parts.commit(acts.inserted(mine, shown), leaf).first_leaf)
        try:
            parts.ledger.require_writable()
            what = await session.undo(manifest, plan, after)
        except Unsure as unsure:
            return acts.ended(mine, UnknownEnd(unsure.message, mine.id), None)
        except QueenrightError as failed:
            began = isinstance(failed, ActionFailed) and failed.began
            return acts.ended(mine, Failed(failed.code, failed.message, mine.id), None, began=began)
        effect = Effect({"what": what}, {})
        return acts.ended(mine, Done(effect.value, mine.id), effect, acts.replaced(row, undone))

    @contextlib.asynccontextmanager
    async def _begun(self, row: ActRow) -> AsyncIterator[tuple[Session, Manifest]]:
        """An executor for the undo of one act. Raises Denied when the resource is no longer mapped,
        Unknown.
        """
        manifest, hands = find_manifest(row.verb), self._engine.hands
        if row.resource == OWN_WORKSPACE:
            resource = Resource(OWN_WORKSPACE)
        else:
            resource = self._parts.policy.resources.get(row.resource, row.verb)
        target = hands.target(row.agent, row.intent, row.id, resource)
        secret = None
        if manifest.secret and resource.admin is not None and resource.admin.secret:
            secret = self._parts.secrets.fetch(resource.admin.secret)
        hands.unsettled(row.agent)
        target = replace(target, images=self._engine.acts.images_of(row))
        async with hands.session(row.id, row.agent, target, manifest, secret) as session:
            yield session, manifest


def _counts(row: ActRow) -> bool:
    """Did it have an effect that still stands?"""
    return row.klass != "read" and row.began and not row.undone_by and not row.undo_of


def _matches(row: ActRow, target: UndoTarget) -> bool:
    kind, value = target
    match kind:
        case "act":
            return row.id == value
        case "agent":
            return row.agent == value
        case "intent":
            return row.intent == value
        case "since":
            return isinstance(value, int) and row.started_ms >= value
    return False
