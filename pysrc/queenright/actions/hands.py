"""What an act works with: its target, its executor, the secret it was lent, and what its executor may ask
for.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from queenright.actions.act import ActRequest
from queenright.actions.egress import ways_out
from queenright.actions.executors import Answer, Session, Target
from queenright.actions.history import History
from queenright.actions.keep import KEEP
from queenright.actions.lending import give_back, lend
from queenright.actions.manifest import Manifest
from queenright.actions.parts import Parts
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.verb import TOUCHING, ActionFailed, Unsure
from queenright.actions.world import Place
from queenright.broker.secret import Secret
from queenright.errors import Denied, Dimension, SandboxRefused
from queenright.workspace.versions import has_versions

__all__ = ["Cut", "Hands"]

LEASE_TTL_MS = 15 * 60_000
"""Longer than any act may take; the lease ends with its act."""


@dataclass(frozen=True, slots=True)
class Cut:
    """An act that an order found in progress. `left`: it goes on to its own end; otherwise its executor was told to end, and
    `unknown` says that this was in the middle of its effect."""

    act: bytes
    agent: bytes
    what: str
    session: Session
    left: bool
    unknown: bool


class Hands:
    """Executors in use, by act."""

    def __init__(self, parts: Parts, history: History) -> None:
        self._parts = parts
        self._history = history
        self._settled: set[bytes] = set()
        self._sessions: dict[bytes, tuple[bytes, str, bytes, Session]] = {}

    def resource(self, request: ActRequest, manifest: Manifest) -> Resource:
        """What the request's resource id means. Raises `Denied` for one that is not mapped or of another
        kind.
        """
        if request.resource == OWN_WORKSPACE:
            resource = Resource(OWN_WORKSPACE)
        else:
            resource = self._parts.policy.resources.get(request.resource, request.verb)
        if resource.kind not in manifest.kinds:
            raise Denied(
                f"{request.verb} does not work on {request.resource}",
                verb=request.verb,
                resource=request.resource,
                dimensions=(Dimension("resource", "actions", f"works on {', '.join(manifest.kinds)}"),),
                reason="wrong_kind",
            )
        return resource

    def target(self, agent: bytes, intent: bytes, act: bytes, resource: Resource) -> Target:
        """What an executor is begun with."""
        space = None
        if resource.id == OWN_WORKSPACE:
            space = Place(
                live=self._parts.workspaces.create(agent),
                store=self._parts.versions,
                agent=agent,
                intent=intent,
                act=act,
                at_ms=self._parts.clock.wall_ms(),
                egress=ways_out(self._parts.grants, agent),
            )
        return Target(
            resource=resource,
            space=space,
            history=self._history.of(resource.id),
            key=f"act-{act.hex()}",
            answer=self.answerer(resource, space),
        )

    async def settled(self, agent: bytes) -> None:
        """Have the agent's workspace at its newest version before it is read: an executor may have died on the way there,
        with this supervisor or an earlier one.
        """
        if agent in self._settled or not has_versions(self._parts.versions, agent):
            return
        await self.keep(agent, "settle")
        self._settled.add(agent)

    def unsettled(self, agent: bytes) -> None:
        """An executor that works on the agent's workspace may die in it."""
        self._settled.discard(agent)

    async def drop(self, request: ActRequest) -> None:
        """Nothing of what was shown for this act will be kept. If that fails now, `collect` does it later."""
        with contextlib.suppress(ActionFailed, Unsure, SandboxRefused):
            await self.keep(request.agent, "drop", act=request.id)

    async def keep(self, agent: bytes, what: str, **facts: Any) -> Any:
        """Have a keeper do `what` in the agent's workspace. Raises `ActionFailed`, `Unsure`, SandboxRefused."""
        target = self.target(agent, bytes(32), bytes(32), Resource(OWN_WORKSPACE))
        async with self._parts.executors.session(target, KEEP.manifest, None) as session:
            return await session.keep(KEEP.manifest, what, **facts)

    def answerer(self, resource: Resource, space: Place | None) -> Answer:
        """An executor on `resource` may have its own service started, this agent's commands run, versions
        read.

        What exactly is started comes from the resource, never from the executor.
        """

        async def answer(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
            if kind == "start":
                resource.need("start", "svc.restart")
                started = await self._parts.start_service(resource)
                return {"pid": started.pid, "start_time": started.start_time}
            if kind == "command" and space is not None:
                keep = facts["keep"] is True
                return await self._parts.run_command(
                    space, str(facts["command"]), int(facts["timeout_ms"]), keep
                )
            if kind == "version":
                return {"data": self._history.version(resource.id, str(facts["sha256"]))}
            raise ActionFailed("malformed", f"an executor on {resource.id} may not ask for {kind[:40]}")

        return answer

    @contextlib.asynccontextmanager
    async def session(
        self,
        act: bytes,
        agent: bytes,
        target: Target,
        manifest: Manifest,
        secret: Secret | None,
        lease: bytes = b"",
    ) -> AsyncIterator[Session]:
        """The act's own executor, which `cut` can reach; `lease`: under which it got the secret."""
        async with self._parts.executors.session(target, manifest, secret) as session:
            self._sessions[act] = (agent, f"{manifest.verb} on {target.resource.id}", lease, session)
            try:
                yield session
            finally:
                del self._sessions[act]

    def cut(
        self, agents: frozenset[bytes] | None, why: str, *, hold: bool = False, lease: bytes = b""
    ) -> list[Cut]:
        """End the executors of these agents (None: of all), now; with `lease` only what works under it.

        One whose command runs is left: the command is ended, and its executor then says how the act ended. With `hold` one in
        its effect, or looking at it, is left too: authority stays, and half an act is worse than a whole one. Without, it is
        ended, and its act is UNKNOWN.
        """
        found = []
        for act, (agent, what, under, session) in self._sessions.items():
            if (agents is not None and agent not in agents) or (lease and under != lease):
                continue
            effect = session.op in TOUCHING
            commanding = effect and session.asked == "command"
            left = commanding or (hold and (effect or session.op == "verify"))
            if not left:
                session.kill(why)
            found.append(Cut(act, agent, what, session, left, effect and not left))
        return found

    @contextlib.asynccontextmanager
    async def secret(
        self, request: ActRequest, manifest: Manifest, resource: Resource
    ) -> AsyncIterator[tuple[Secret | None, bytes]]:
        """The act's secret, under a lease that ends with it; (None, b"") when it needs none.

        Raises `Denied` for a chain that no longer lives or a full quota, Unknown for a secret that is not
        there, Locked.
        """
        if not manifest.secret or resource.admin is None or not resource.admin.secret:
            yield None, b""
            return
        parts, reference = self._parts, resource.admin.secret
        secret = parts.secrets.fetch(reference)
        lent = lend(
            parts, request, resource.id, reference, delivery="act", ttl_ms=LEASE_TTL_MS, verb=request.verb
        )
        try:
            parts.leases.use(lent.lease, request.agent)
            yield secret, lent.lease
        finally:
            give_back(parts, request, lent, "the act has ended")
