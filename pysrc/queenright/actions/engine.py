"""The life of an action: plan, authorise, record, run, verify, outcome. design.md section 7 is this file's
law.

Every refusal comes before the first effect. The start, its undo, what it costs and the verdict it spends are
one durable write; what was written is what runs; and an act that began and was not seen to end is UNKNOWN for
ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from queenright.actions.act import (
    ActRequest,
    ActResult,
    AskOpened,
    Class,
    Done,
    Failed,
    Refused,
    UnknownEnd,
)
from queenright.actions.acts import Acts, unwritable
from queenright.actions.asking import Asking
from queenright.actions.egress import Requests
from queenright.actions.executors import Session, Target
from queenright.actions.hands import Cut, Hands
from queenright.actions.history import History
from queenright.actions.manifest import Manifest
from queenright.actions.observe import OBSERVE
from queenright.actions.parts import Parts
from queenright.actions.plan import MAX_EFFECT, Draft, Plan, risk_of
from queenright.actions.record import ActRow
from queenright.actions.registry import find_manifest
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.tally import Tally
from queenright.actions.verb import ActionFailed, Effect, Unsure
from queenright.authority.asks import AskHead
from queenright.authority.reservation import Reservation
from queenright.core import canonical
from queenright.core.host import Refused as StoreRefused
from queenright.core.host import check_names
from queenright.errors import Denied, LedgerUnwritable, QueenrightError, SandboxRefused
from queenright.ledger.blobs import BlobRef
from queenright.ledger.entry import Scalar
from queenright.store import Change

__all__ = ["Allowed", "Engine"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """May it start? `held`: the cost, or None when a person must be asked first (`clauses` say whom)."""

    held: Reservation | None
    verdict: bytes = b""
    spent: Change = field(default_factory=Change)
    clauses: tuple[int, ...] = ()


class Engine:
    """Performs acts. Belongs to one event loop."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.acts = Acts(parts)
        self.history = History(parts.store, parts.blobs)
        self.hands = Hands(parts, self.history)
        self.tally = Tally(parts.store, parts.ledger)
        self.asking = Asking(parts)
        self.requests = Requests(self)
        self._running: dict[bytes, asyncio.Task[ActResult]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._closing = False

    # ---- at start and end ----

    def recover(self) -> list[ActRow]:
        """Read every act. One that was started and has no outcome is UNKNOWN from now on: those are
        returned.
        """
        lost = self.acts.load()
        self.tally.load()
        self.flush()
        return lost

    def flush(self, *, everything: bool = False) -> None:
        """Write the leaves of minutes that are over: call it about once a minute."""
        change = self.tally.due(self.parts.clock.wall_ms(), everything=everything)
        if change.records:
            self.parts.commit(change)

    async def close(self) -> None:
        """End every executor. Acts in progress end as UNKNOWN, which is recorded before this returns."""
        self._closing = True
        self.hands.cut(None, "was ended with the supervisor")
        if self._running:
            await asyncio.wait(list(self._running.values()))
        await self.parts.executors.close()
        self.flush(everything=True)

    def cut(self, agents: frozenset[bytes], why: str, *, hold: bool = False, lease: bytes = b"") -> list[Cut]:
        """End what these agents have in progress (under this lease), now: their authority has ended, and acts
        in their effect become UNKNOWN. With `hold` those go on to their end, and everything else ends.
        """
        return self.hands.cut(agents, f"was cut off: {why}", hold=hold, lease=lease)

    def waiting(self, agent: bytes) -> list[bytes]:
        """Acts of the agent that are under way, or that a person may still release: what was shown for them is kept."""
        return [*self._running, *self.asking.waiting(agent)]

    async def remove_workspace(self, agent: bytes) -> None:
        """An agent's retention is over: its files go, and with them what undos of its acts on them would need.

        Raises `ActionFailed`, `Unsure`, SandboxRefused; call it again then.
        """
        await self.hands.keep(agent, "forget")
        self.parts.workspaces.remove(agent)

    async def observe(self) -> None:
        """Look at every service's release and config: what they are now is what a later act calls
        "previous".
        """
        for resource in list(self.parts.policy.resources):
            if not resource.release_link and not resource.config:
                continue
            with contextlib.suppress(ActionFailed, Unsure, SandboxRefused):
                async with self.parts.executors.session(
                    Target(resource=resource), OBSERVE.manifest, None
                ) as session:
                    observed = await session.observe(OBSERVE.manifest)
                change = self.history.saw(resource.id, observed, self.parts.clock.wall_ms())
                if change.records:
                    self.parts.commit(change)

    # ---- performing ----

    async def perform(self, request: ActRequest) -> ActResult:
        """Do it, or say why not. Again for the same (agent, turn, ordinal): the recorded end, or the next
        step of one that waited for a person. Being cancelled does not stop an act that has begun.
        """
        if self._closing:
            return Failed("closing", "the supervisor is stopping")
        task = self._running.get(request.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._perform(request))
            self._running[request.id] = task
            task.add_done_callback(lambda _: self._running.pop(request.id, None))
        return await asyncio.shield(task)

    async def _perform(self, request: ActRequest) -> ActResult:
        done = self.acts.replay(request.id)
        if done is not None:
            return done
        manifest: Manifest | None = None
        try:
            self.parts.ledger.require_writable()
            check_names(request.verb, request.resource)
            manifest = find_manifest(request.verb)
            resource = self.hands.resource(request, manifest)
            args = manifest.materialise(request.args)
            if manifest.klass == "read":
                return await self._read(request, manifest, resource, args)
            async with self.turn(request):
                self.hands.unsettled(request.agent)
                return await self._act(request, manifest, resource, args)
        except Denied as denied:
            return self._refused(request, manifest, denied)
        except StoreRefused as refused:
            # A budget, a stop or another's change came between the check and the write: nothing stands.
            why = f"{request.verb} was refused as it was recorded: {refused.reason}"
            return self._failed_early(request, manifest, "conflict", why)
        except (LedgerUnwritable, ActionFailed, SandboxRefused, QueenrightError) as error:
            return self._failed_early(request, manifest, error.code, error.message)

    @contextlib.asynccontextmanager
    async def turn(self, request: ActRequest) -> AsyncIterator[None]:
        """Acts on one thing go one after another: none plans on what another is about to change."""
        own = request.resource == OWN_WORKSPACE
        place = f"{OWN_WORKSPACE}/{request.agent.hex()}" if own else request.resource
        self._waiting[place] += 1
        try:
            async with self._locks.setdefault(place, asyncio.Lock()):
                yield
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place], self._locks[place]

    # ---- reads ----

    async def _read(
        self, request: ActRequest, manifest: Manifest, resource: Resource, args: Mapping[str, Any]
    ) -> ActResult:
        decision, held = self.parts.grants.reserve(
            request.grant, request.verb, request.resource, effect=False
        )
        if decision.outcome == "ask":
            async with self.turn(request):
                return await self._act(request, manifest, resource, args)
        if held is None:
            raise decision.to_error()
        key, counted = self.tally.begin(request, self.parts.clock.wall_ms())
        self.parts.commit(counted, held.started())
        try:
            self.parts.ledger.require_writable()
            if resource.id == OWN_WORKSPACE:
                await self.hands.settled(request.agent)
            target = self.hands.target(request.agent, request.intent, request.id, resource)
            async with self.hands.secret(request, manifest, resource) as (secret, lease):
                if secret is None:
                    value = await self.parts.executors.read(target, manifest, args)
                else:
                    async with self.hands.session(
                        request.id, request.agent, target, manifest, secret, lease
                    ) as session:
                        value = await session.read(manifest, args)
        except (ActionFailed, Unsure, SandboxRefused) as failed:
            return Failed(failed.code, failed.message)  # counted already, with the reads of this minute
        finally:
            held.settle()
        self.tally.end(key, canonical(value))
        return Done(value)

    # ---- acts ----

    async def _act(
        self, request: ActRequest, manifest: Manifest, resource: Resource, args: Mapping[str, Any]
    ) -> ActResult:
        head = self.asking.head(request)
        if head is not None and head.state == "open":
            return AskOpened(head.id)
        if head is not None and head.state != "approved":
            if manifest.rehearsed:
                await self.hands.drop(request)
            raise self.asking.answer(request, head)
        if head is not None:
            args = manifest.materialise(self.asking.approved_args(head))
        else:
            decision = self.parts.grants.check(
                request.grant, request.verb, request.resource, irreversible=manifest.klass == "none"
            )
            if decision.outcome == "deny":
                raise decision.to_error()
        target = self.hands.target(request.agent, request.intent, request.id, resource)
        async with (
            self.hands.secret(request, manifest, resource) as (secret, lease),
            self.hands.session(request.id, request.agent, target, manifest, secret, lease) as session,
        ):
            plan, images = await self.planned(request, manifest, resource, session, args)
            allowed = self.authorise(request, plan, head)
            if allowed.held is not None:
                if why := self.parts.held(request.agent):
                    allowed.held.cancel()
                    raise ActionFailed("held", f"{request.verb} was not begun: {why}")
                row = self.start(request, plan, images, lease, allowed, allowed.held)
                return await self._finish(row, manifest, plan, session, allowed.held)
            if manifest.rehearsed:
                plan = await self._rehearsed(request, manifest, resource, session, plan, allowed)
        # Once nothing of it runs and its lease has ended: a person may take hours.
        return self.asking.raised(request, plan, allowed.clauses)

    async def planned(
        self,
        request: ActRequest,
        manifest: Manifest,
        resource: Resource,
        session: Session,
        args: Mapping[str, Any],
    ) -> tuple[Plan, Mapping[str, bytes]]:
        """What the verb's adapter means to do, as a plan, and the pre-images it names. Raises `ActionFailed`."""
        if manifest.klass == "read":
            draft = Draft(args, f"{request.verb} on {resource.id}", {}, None, "reading changes nothing")
        else:
            draft = await session.plan(manifest, args)
        return self._plan_of(request, manifest, resource, draft), draft.images

    def _plan_of(self, request: ActRequest, manifest: Manifest, resource: Resource, draft: Draft) -> Plan:
        klass = _weaker(manifest.klass, draft.klass)
        if draft.undo is None and klass != "read":
            klass = "none"
        return Plan(
            verb=request.verb,
            manifest=manifest.digest,
            resource=request.resource,
            args=draft.args,
            effect=draft.effect[:MAX_EFFECT],
            precondition=draft.precondition,
            undo=draft.undo,
            undo_text=draft.undo_text,
            images={name: hashlib.sha256(data).digest() for name, data in draft.images.items()},
            klass=klass,
            risk=risk_of(
                klass, resources=draft.resources, marked=resource.risk == "high", floor=manifest.risk
            ),
        )

    async def _rehearsed(
        self,
        request: ActRequest,
        manifest: Manifest,
        resource: Resource,
        session: Session,
        plan: Plan,
        allowed: Allowed,
    ) -> Plan:
        """What a person is to be asked, made by doing it to a copy: recorded before, and only if a person may be asked."""
        self.asking.may_ask(request, plan, allowed.clauses)
        self.parts.commit(self.asking.rehearsing(request, plan))
        draft = await session.rehearse(manifest, plan.args)
        return self._plan_of(request, manifest, resource, draft)

    def authorise(self, request: ActRequest, plan: Plan, head: AskHead | None) -> Allowed:
        """Allow, or ask; raises `Denied` with every failing dimension."""
        irreversible, grants = plan.klass == "none", self.parts.grants
        release = self.asking.release(request, plan, head) if head is not None else None
        decision, held = grants.reserve(
            request.grant, plan.verb, plan.resource, irreversible=irreversible, approved=release is not None
        )
        if held is not None and release is not None:
            return Allowed(held, release.verdict, release.change)
        if held is not None:
            return Allowed(held)
        if decision.outcome == "ask" and release is None:
            return Allowed(None, clauses=decision.clauses)
        raise decision.to_error()

    def start(
        self,
        request: ActRequest,
        plan: Plan,
        images: Mapping[str, bytes],
        lease: bytes,
        allowed: Allowed,
        held: Reservation,
        *,
        facts: Mapping[str, Scalar] | None = None,
    ) -> ActRow:
        """One durable write: the act, its undo, its cost, its verdict. After it, and never before, it may
        run. `facts` go into its leaf.
        """
        now = self.parts.clock.wall_ms()
        try:
            self.parts.ledger.require_writable()
            kept = self._kept(request, plan, images)
            row = ActRow.of(request, plan, now, self.acts.next_number(), kept)
            ask = self.asking.asked(request) if allowed.verdict else b""
            row = replace(row, ask=ask, verdict=allowed.verdict, lease=lease)
            started = self.acts.inserted(row, plan)
            leaf = self.parts.ledger.entry(
                row.entry("action.started", now, undo_text=plan.undo_text, facts=facts)
            )
        except BaseException:
            held.cancel()
            raise
        receipt = self.parts.commit(
            started, leaf, allowed.spent, self.asking.forgotten(request), held.started()
        )
        self.acts.begun_at(row.id, receipt.first_leaf)
        return row

    def _kept(self, request: ActRequest, plan: Plan, images: Mapping[str, bytes]) -> dict[str, BlobRef]:
        """What the leaf only names, durable before it: the plan, the pre-images, the agent's words."""
        try:
            blobs = {"plan": self.parts.blobs.put("plan", plan.encode())}
            for name, data in images.items():
                blobs[f"image:{name}"] = self.parts.blobs.put("image", data)
            if request.reason:
                blobs["reason"] = self.parts.blobs.put("reason", request.reason.encode("utf-8", "replace"))
        except OSError as error:
            raise unwritable(error) from error
        return blobs

    async def _finish(
        self, row: ActRow, manifest: Manifest, plan: Plan, session: Session, held: Reservation
    ) -> ActResult:
        """Run, verify, write the outcome. Once an act has started nothing but an outcome leaves this
        method.
        """
        try:
            self.parts.ledger.require_writable()  # the start is in the ledger's own file, or nothing runs
        except LedgerUnwritable as error:
            return self.acts.ended(row, Failed(error.code, error.message, row.id), None, held.refund())
        try:
            effect = await self._run(manifest, plan, session)
        except ActionFailed as failed:
            end = Failed(failed.code, failed.message, row.id)
            if not failed.began:
                return self.acts.ended(row, end, None, held.refund())
            held.settle()
            return self.acts.ended(row, end, None, began=True)
        except Unsure as unsure:
            held.settle()
            return self.acts.ended(row, UnknownEnd(unsure.message, row.id), None)
        except Exception as bug:
            held.settle()
            text = f"{row.verb} began; the engine failed in it ({type(bug).__name__})"
            return self.acts.ended(row, UnknownEnd(text, row.id), None)
        held.settle()
        return await self._verified(row, manifest, plan, session, effect)

    async def _run(self, manifest: Manifest, plan: Plan, session: Session) -> Effect:
        if manifest.klass == "read":
            return Effect(await session.read(manifest, plan.args), {})
        return await session.run(manifest, plan)

    async def _verified(
        self, row: ActRow, manifest: Manifest, plan: Plan, session: Session, effect: Effect
    ) -> ActResult:
        """The outcome by a fresh look at the target, not by anybody's word."""
        if manifest.klass == "read":
            return self.acts.ended(row, Done(effect.value, row.id), effect)
        try:
            await session.verify(manifest, plan, effect)
        except (ActionFailed, Unsure) as missed:
            return self.acts.ended(row, Failed(missed.code, missed.message, row.id), effect, began=True)
        except Exception as bug:
            text = f"what it did could not be looked at ({type(bug).__name__})"
            return self.acts.ended(row, Failed("not_verified", text, row.id), effect, began=True)
        return self.acts.ended(row, Done(effect.value, row.id), effect, await self._seen(row, session))

    async def _seen(self, row: ActRow, session: Session) -> Change:
        """What the resource is now, remembered for a later "previous". The act's outcome does not hang on
        it.
        """
        if row.resource == OWN_WORKSPACE:
            return Change()
        try:
            observed = await session.observe(OBSERVE.manifest)
            return self.history.saw(row.resource, observed, self.parts.clock.wall_ms())
        except (ActionFailed, Unsure, QueenrightError, OSError):
            return Change()

    # ---- refusals ----

    def _refused(self, request: ActRequest, manifest: Manifest | None, denied: Denied) -> Refused:
        names = " ".join(dict.fromkeys(dimension.name for dimension in denied.dimensions))
        self._write_refusal(request, manifest, denied.reason or "denied", names)
        return Refused(denied)

    def _failed_early(
        self, request: ActRequest, manifest: Manifest | None, code: str, message: str
    ) -> Failed:
        self._write_refusal(request, manifest, code, "")
        return Failed(code, message)

    def _write_refusal(self, request: ActRequest, manifest: Manifest | None, reason: str, names: str) -> None:
        """Attributed, in the ledger. If that cannot be written nothing was done either, and the answer
        stands.
        """
        with contextlib.suppress(QueenrightError):
            change = self.tally.deny(request, manifest, reason, names, self.parts.clock.wall_ms())
            if change.records:
                self.parts.commit(change)


def _weaker(one: Class, other: Class | None) -> Class:
    order: tuple[Class, ...] = ("read", "exact", "compensate", "none")
    return one if other is None else max(one, other, key=order.index)
