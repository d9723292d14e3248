"""An operator puts an agent's workspace back to an earlier version: the agent's verb, by a person's signed order.

What was previewed is what is done: the order names the digest of the plan, which is made again and compared.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from queenright.actions.act import ActRequest, Done, Failed, UnknownEnd
from queenright.actions.engine import Engine
from queenright.actions.executors import Session
from queenright.actions.manifest import Manifest
from queenright.actions.plan import Plan
from queenright.actions.record import ActRow
from queenright.actions.registry import find_manifest
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.verb import ActionFailed, Unsure
from queenright.core import canonical, digest
from queenright.errors import Conflict, QueenrightError
from queenright.ledger.entry import Operator

__all__ = ["RESTORE", "Restore"]

RESTORE = "workspace.restore"


class Restore:
    """Previews and performs restores over an engine's acts. Requests name the agent, its intent and `RESTORE`."""

    def __init__(self, engine: Engine, rand: Callable[[int], bytes] = os.urandom) -> None:
        self._engine = engine
        self._rand = rand

    async def preview(self, request: ActRequest) -> Plan:
        """What would be done. Changes nothing. Raises `ActionFailed`, Unknown, SandboxRefused."""
        async with self._engine.turn(request), self._begun(request, bytes(32)) as (plan, _, _):
            return plan

    async def execute(
        self, request: ActRequest, previewed: bytes, person: Operator
    ) -> Done | Failed | UnknownEnd:
        """Do what the preview with the digest `previewed` showed. Raises Conflict when it is no longer what would be
        done, LedgerUnwritable; nothing was touched then.
        """
        parts, acts = self._engine.parts, self._engine.acts
        act = digest("act", canonical({"v": 1, "restore": request.agent, "nonce": self._rand(16)}))
        async with self._engine.turn(request), self._begun(request, act) as (plan, session, manifest):
            if plan.digest != previewed:
                raise Conflict(
                    "the preview is no longer what would be done", hint="look at it again and sign it anew"
                )
            parts.ledger.require_writable()
            now = parts.clock.wall_ms()
            blobs = {"plan": parts.blobs.put("plan", plan.encode())}
            row = ActRow.of(request, plan, now, acts.next_number(), blobs)
            row = replace(row, id=act, operator=(person.fingerprint, person.name))
            leaf = parts.ledger.entry(row.entry("action.started", now, undo_text=plan.undo_text))
            acts.begun_at(act, parts.commit(acts.inserted(row, plan), leaf).first_leaf)
            try:
                parts.ledger.require_writable()
                effect = await session.run(manifest, plan)
                await session.verify(manifest, plan, effect)
            except Unsure as unsure:
                return acts.ended(row, UnknownEnd(unsure.message, act), None)
            except QueenrightError as failed:
                began = isinstance(failed, ActionFailed) and failed.began
                return acts.ended(row, Failed(failed.code, failed.message, act), None, began=began)
            return acts.ended(row, Done(effect.value, act), effect)

    @contextlib.asynccontextmanager
    async def _begun(self, request: ActRequest, act: bytes) -> AsyncIterator[tuple[Plan, Session, Manifest]]:
        engine, manifest, resource = self._engine, find_manifest(RESTORE), Resource(OWN_WORKSPACE)
        engine.hands.unsettled(request.agent)
        target = engine.hands.target(request.agent, request.intent, act, resource)
        args = manifest.materialise(request.args)
        async with engine.hands.session(act, request.agent, target, manifest, None) as session:
            plan, _ = await engine.planned(request, manifest, resource, session, args)
            yield plan, session, manifest
