"""What an act works with: its target, its executor, the secret it was lent, and what its executor may ask
for.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from queenright.actions.act import ActRequest
from queenright.actions.egress import ways_out
from queenright.actions.executors import Answer, Session, Target
from queenright.actions.history import History
from queenright.actions.keep import KEEP
from queenright.actions.manifest import Manifest
from queenright.actions.parts import Parts
from queenright.actions.record import actor_of
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.verb import ActionFailed
from queenright.actions.world import Place
from queenright.broker.secret import Secret
from queenright.errors import Denied, Dimension
from queenright.ledger.entry import Entry, Kind, Scalar
from queenright.store import Change
from queenright.workspace.versions import has_versions

__all__ = ["Hands"]

LEASE_TTL_MS = 15 * 60_000
"""Longer than any act may take; the lease ends with its act."""


class Hands:
    """Executors in use, by act."""

    def __init__(self, parts: Parts, history: History) -> None:
        self._parts = parts
        self._history = history
        self._settled: set[bytes] = set()
        self._sessions: dict[bytes, tuple[bytes, Session]] = {}

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
                return await self._parts.run_command(space, str(facts["command"]), int(facts["timeout_ms"]))
            if kind == "version":
                return {"data": self._history.version(resource.id, str(facts["sha256"]))}
            raise ActionFailed("malformed", f"an executor on {resource.id} may not ask for {kind[:40]}")

        return answer

    @contextlib.asynccontextmanager
    async def session(
        self, act: bytes, agent: bytes, target: Target, manifest: Manifest, secret: Secret | None
    ) -> AsyncIterator[Session]:
        """The act's own executor, which `cut` can reach."""
        async with self._parts.executors.session(target, manifest, secret) as session:
            self._sessions[act] = (agent, session)
            try:
                yield session
            finally:
                del self._sessions[act]

    def cut(self, agents: frozenset[bytes] | None, why: str) -> list[bytes]:
        """End the executors of these agents (None: of all), now. Their acts' ids."""
        found = [act for act, (agent, _) in self._sessions.items() if agents is None or agent in agents]
        for act in found:
            self._sessions[act][1].kill(why)
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
        provider = reference.partition(":")[0]
        lease, issued = parts.leases.issue(
            request.agent, resource.id, reference, provider=provider, ttl_ms=LEASE_TTL_MS
        )
        facts = {"secret": reference, "delivery": "act", "resource": resource.id, "verb": request.verb}
        leaf = self._lease_leaf("lease.issued", request, lease.id, {**facts, "expires_ms": lease.expires_ms})
        parts.commit(issued, leaf)
        try:
            parts.leases.use(lease.id, request.agent)
            yield secret, lease.id
        finally:
            if parts.leases.get(lease.id).live:
                leaf = self._lease_leaf(
                    "lease.ended", request, lease.id, {**facts, "why": "the act has ended"}
                )
                parts.commit(parts.leases.end(lease.id, "the act has ended"), leaf)

    def _lease_leaf(
        self, kind: Kind, request: ActRequest, lease: bytes, facts: Mapping[str, Scalar]
    ) -> Change:
        return self._parts.ledger.entry(
            Entry(
                kind,
                self._parts.clock.wall_ms(),
                actor_of(request),
                intent=request.intent,
                grant=request.grant,
                lease=lease,
                cause=request.intent,
                facts=facts,
            )
        )
