"""A credential lent for an act or for a command's requests: its lease issued and ended, each with the leaf that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from queenright.actions.act import ActRequest
from queenright.actions.parts import Parts
from queenright.actions.record import actor_of
from queenright.authority.lease import Delivery
from queenright.ledger.entry import Entry, Kind, Scalar
from queenright.store import Change

__all__ = ["Lent", "give_back", "lend"]


@dataclass(frozen=True, slots=True)
class Lent:
    """A lease, and what its leaves say of it."""

    lease: bytes
    facts: Mapping[str, Scalar]


def lend(
    parts: Parts,
    who: ActRequest,
    resource: str,
    reference: str,
    *,
    delivery: Delivery,
    ttl_ms: int,
    **facts: Scalar,
) -> Lent:
    """A lease of the secret `reference` for the agent of `who`, durable. Raises Denied for a chain that does not live or a full
    quota, and what a commit raises.
    """
    lease, issued = parts.leases.issue(
        who.agent,
        resource,
        reference,
        provider=reference.partition(":")[0],
        delivery=delivery,
        ttl_ms=ttl_ms,
    )
    told: dict[str, Scalar] = {"secret": reference, "delivery": delivery, "resource": resource, **facts}
    leaf = _leaf(parts, who, "lease.issued", lease.id, {**told, "expires_ms": lease.expires_ms})
    parts.commit(issued, leaf)
    return Lent(lease.id, told)


def give_back(parts: Parts, who: ActRequest, lent: Lent, why: str) -> None:
    """End the lease, if nobody has ended it yet. Raises what a commit raises."""
    if parts.leases.get(lent.lease).live:
        leaf = _leaf(parts, who, "lease.ended", lent.lease, {**lent.facts, "why": why})
        parts.commit(parts.leases.end(lent.lease, why), leaf)


def _leaf(parts: Parts, who: ActRequest, kind: Kind, lease: bytes, facts: Mapping[str, Scalar]) -> Change:
    return parts.ledger.entry(
        Entry(
            kind,
            parts.clock.wall_ms(),
            actor_of(who),
            intent=who.intent,
            grant=who.grant,
            lease=lease,
            cause=who.intent,
            facts=facts,
        )
    )
