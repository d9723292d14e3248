"""What a command's connections are to the rest: acts of its agent, each decided, recorded and ended like any other.

A plain request is `web.get` and its kin on `host:NAME/PORT/PATH…`, a tunnel is `net.connect` on `host:NAME/PORT`. GET and HEAD
are of class `read`, everything else `none`, so that it is asked about unless a rule names that very verb. An address that is
not of the public network must besides be named itself, by a rule for `net.private` on `addr:10/0/0/7` or `addr:10/0/**`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from queenright.actions.act import ActRequest, AskOpened, Class, Done, Failed, UnknownEnd
from queenright.actions.manifest import Manifest
from queenright.actions.opened import Loans, carries, host_rules, opened_for, opened_host
from queenright.actions.plan import Plan, risk_of
from queenright.actions.record import ActRow
from queenright.actions.resources import Resource
from queenright.actions.verb import Effect
from queenright.authority.grants import Grants
from queenright.authority.reservation import Reservation
from queenright.core import canonical, digest
from queenright.core.host import verb_overlaps
from queenright.errors import Denied, Dimension

if TYPE_CHECKING:
    from queenright.actions.engine import Engine

__all__ = ["EGRESS", "PRIVATE_ADDRESS", "WITH_ITS_COMMAND", "Begun", "EgressRequest", "Requests", "ways_out"]

PRIVATE_ADDRESS = "net.private"
"""The verb whose rules name addresses that are not of the public network. No act of its own."""

_CLASSES: dict[str, Class] = {
    "net.connect": "none",
    "web.get": "read",
    "web.head": "read",
    "web.post": "none",
    "web.put": "none",
    "web.patch": "none",
    "web.delete": "none",
    "web.options": "none",
}
EGRESS: Mapping[str, Manifest] = {verb: Manifest(verb, ("host",), klass) for verb, klass in _CLASSES.items()}
"""Every verb that a connection can be."""

WITH_ITS_COMMAND = "command_ended"
"""How an exchange ends that was open when its command came to its own end: for a tunnel, an end like another."""

SHOWN_BODY = 4096
"""Bytes of a body that a card shows; its digest stands for all of it."""

_NO_UNDO = "what was sent over the network stays sent"


def ways_out(grants: Grants, agent: bytes) -> tuple[str, ...]:
    """What an agent's grant names of the network, as `verbs on host:…`; empty: its commands get no way out.

    A rule for everything (`**`) names no host.
    """
    found = {
        f"{', '.join(verbs)} on {rule['on']}"
        for rule in host_rules(grants, agent)
        if (verbs := [verb for verb in rule["verbs"] if any(verb_overlaps(verb, own) for own in EGRESS)])
    }
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRequest(ActRequest):
    """One connection of one command. `command`: the act it belongs to; `number`: unique within the supervisor's life."""

    command: bytes
    number: int

    @property
    def id(self) -> bytes:
        return digest("act", canonical({"v": 1, "command": self.command, "connection": self.number}))

    @property
    def waits(self) -> bytes:
        """The same for an equal request of a later command: the answer to an ask finds whoever tries again."""
        wish = {"agent": self.agent, "verb": self.verb, "resource": self.resource, "args": dict(self.args)}
        return digest("act", canonical({"v": 1, "egress": wish}))


@dataclass(frozen=True, slots=True)
class Begun:
    """An exchange that may go on. `row` is None for one that is counted with the reads of its minute under `read`."""

    request: EgressRequest
    held: Reservation
    row: ActRow | None
    read: bytes = b""


class Requests:
    """Decides and records connections, over an engine's parts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts = engine.parts

    def opened(self, host: str, port: int) -> Resource | None:
        """The resource that has TLS to this host and port opened."""
        return opened_host(self._parts.policy.resources, host, port)

    def opens_any(self, agent: bytes) -> bool:
        """Whether the agent's grant names a host whose TLS is opened."""
        return bool(opened_for(self._parts.policy.resources, self._parts.grants, agent))

    def may_open(self, request: EgressRequest, resource: Resource) -> None:
        """Raise Denied for a tunnel to an opened host of which the grant names no request: a tunnel is never blind there."""
        if resource in opened_for(self._parts.policy.resources, self._parts.grants, request.agent):
            return
        raise Denied(
            f"{request.resource} is opened, because a credential is kept for it, and no rule names a request to it",
            verb=request.verb,
            resource=request.resource,
            dimensions=(Dimension("scope", "egress", "TLS to it is opened"),),
            reason="opened_host",
            hint=f'it would be allowed by: do = "web.get", on = "{request.resource}/**"',
        )

    def credential_of(self, resource: Resource, method: str, name: str) -> str:
        """The reference of the secret that a request gets, or ""."""
        assert resource.host is not None
        return resource.host.secret if carries(resource, method, name) else ""

    def loans(self, who: ActRequest) -> Loans:
        """For one command."""
        return Loans(self._parts, who)

    def may(self, request: EgressRequest) -> bool:
        """Whether a person must be asked (True) or not. Raises Denied, LedgerUnwritable. Nothing is held or written."""
        self._parts.ledger.require_writable()
        irreversible = EGRESS[request.verb].klass == "none"
        decision = self._parts.grants.check(
            request.grant, request.verb, request.resource, irreversible=irreversible
        )
        if decision.outcome == "deny":
            raise decision.to_error()
        return decision.outcome == "ask"

    def begin(self, request: EgressRequest, addresses: Sequence[tuple[str, str | None]]) -> Begun | AskOpened:
        """Decide, and record the start. Raises Denied, and what a commit raises; nothing was done then."""
        self._parts.ledger.require_writable()
        self._reachable(request, addresses)
        manifest, grants = EGRESS[request.verb], self._parts.grants
        if manifest.klass == "read":
            decision, held = grants.reserve(request.grant, request.verb, request.resource, effect=False)
            if held is not None:
                key, counted = self._engine.tally.begin(request, self._parts.clock.wall_ms())
                self._parts.commit(counted, held.started())
                return Begun(request, held, None, key)
            if decision.outcome != "ask":
                raise decision.to_error()
        head = self._engine.asking.head(request)
        if head is not None and head.state == "open":
            return AskOpened(head.id)
        if head is not None and head.state != "approved":
            head = None  # asked anew, which is refused without a card for a while after a denial
        plan = _plan(request, manifest, addresses)
        allowed = self._engine.authorise(request, plan, head)
        if allowed.held is None:
            raised = self._engine.asking.raised(request, plan, allowed.clauses)
            assert isinstance(raised, AskOpened)
            return raised
        facts = {"command": request.command.hex()[:12]}
        row = self._engine.start(request, plan, {}, b"", allowed, allowed.held, facts=facts)
        return Begun(request, allowed.held, row)

    def _reachable(self, request: EgressRequest, addresses: Iterable[tuple[str, str | None]]) -> None:
        """All of a name's addresses are looked at: one that may not be reached refuses the request."""
        for address, kind in addresses:
            if kind is None:
                continue
            # Irreversible: only a rule that names this very verb opens an address, never a family or `*`.
            decision = self._parts.grants.check(request.grant, PRIVATE_ADDRESS, address, irreversible=True)
            if decision.outcome == "allow":
                continue
            raise Denied(
                f"{request.verb} on {request.resource}: it leads to {address}, which is {kind}",
                verb=request.verb,
                resource=request.resource,
                dimensions=(Dimension("address", "egress", f"{address} is {kind}"),),
                reason="address_refused",
                hint=f'it would be allowed by: do = "{PRIVATE_ADDRESS}", on = "{address}"',
            )

    def live(self, begun: Begun) -> str:
        """Why an exchange that was begun may not go on, or "": its chain has ended, or no longer names it."""
        request, grants = begun.request, self._parts.grants
        if request.grant not in grants:
            return "the agent has ended"
        dead = grants.dead(request.grant)
        if dead:
            return ", ".join(dead)
        decision = grants.check(request.grant, request.verb, request.resource)
        gone = [item for item in decision.dimensions if item.name in ("scope", "never")]
        return ", ".join(f"{item.name} at {item.level}" for item in gone)

    def ended(self, begun: Begun, end: Mapping[str, Any]) -> None:
        """Record how it ended: `end` is the proxy's event of that name."""
        facts = {"up": end["up"], "down": end["down"], "status": end["status"]}
        held, row, acts = begun.held, begun.row, self._engine.acts
        if row is None:
            held.settle()
            value = canonical({"request": begun.request.id, "code": end["code"], **facts})
            self._engine.tally.end(begun.read, value, size=end["down"])
            return
        code, began = end["code"], end["began"]
        effect = Effect({"code": code, **facts}, {})
        facts["command"] = begun.request.command.hex()[:12]
        if not began:
            failed = Failed(code or "not_reached", f"{row.resource} was not reached: {code}", row.id)
            acts.ended(row, failed, effect, held.refund(), facts=facts)
            return
        held.settle()
        tunnel = row.verb == "net.connect"
        if not code or end["status"] or (tunnel and code == WITH_ITS_COMMAND):
            acts.ended(row, Done(effect.value, row.id), effect, facts=facts)
        elif tunnel:
            failed = Failed(code, f"the tunnel to {row.resource} ended early: {code}", row.id)
            acts.ended(row, failed, effect, began=True, facts=facts)
        else:
            text = f"{row.verb} on {row.resource} was sent, and no answer was seen: {code}"
            acts.ended(row, UnknownEnd(text, row.id), effect, facts=facts)

    def refused(self, request: EgressRequest, denied: Denied, count: int = 1) -> None:
        """Record a refusal; further ones of its kind within the minute are counted."""
        names = " ".join(dict.fromkeys(dimension.name for dimension in denied.dimensions))
        now, reason = self._parts.clock.wall_ms(), denied.reason or "denied"
        change = self._engine.tally.deny(request, EGRESS[request.verb], reason, names, now, count=count)
        if change.records:
            self._parts.commit(change)


def _plan(request: EgressRequest, manifest: Manifest, addresses: Sequence[tuple[str, str | None]]) -> Plan:
    klass = manifest.klass
    return Plan(
        verb=request.verb,
        manifest=manifest.digest,
        resource=request.resource,
        args=request.args,
        effect=_effect(request.args),
        precondition={"addresses": sorted(address for address, kind in addresses if kind is not None)},
        undo=None,
        undo_text="reading changes nothing" if klass == "read" else _NO_UNDO,
        images={},
        klass=klass,
        risk=risk_of(klass, resources=1, marked=False, floor=manifest.risk),
    )


def _effect(args: Mapping[str, Any]) -> str:
    """The first line says what is asked for; the rest are the exact headers and the body."""
    if args["method"] == "CONNECT":
        return f"open a tunnel to {args['host']}:{args['port']}: what goes through it is not seen"
    scheme = "https" if "credential" in args else "http"
    lines = [f"{args['method']} {scheme}://{args['host']}:{args['port']}{args['path']}"]
    if args.get("credential"):
        lines.append(f"with {args['credential']}, which the command never sees")
    lines += [f"{name}: {value}" for name, value in args["headers"]]
    if args["body"]:
        lines += ["", args["body"][:SHOWN_BODY].decode("utf-8", "backslashreplace")]
        lines += [f"({len(args['body'])} bytes, sha256 {hashlib.sha256(args['body']).hexdigest()})"]
    return "\n".join(lines)
