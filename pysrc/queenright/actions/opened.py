"""Hosts whose TLS the proxy opens, because an owner mapped them with a credential, and the loans of those credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from queenright.actions.act import ActRequest
from queenright.actions.lending import Lent, give_back, lend
from queenright.actions.resources import Resource, ResourceMap, path_pattern
from queenright.authority.grants import Grants
from queenright.authority.leases import TTL_MS
from queenright.broker.scrub import shapes_of
from queenright.core.host import resource_covers, resource_overlaps, verb_overlaps
from queenright.errors import Conflict, Denied, Dimension

if TYPE_CHECKING:
    from queenright.actions.parts import Parts

__all__ = ["WEB", "Loan", "Loans", "carries", "host_rules", "opened_for", "opened_host"]

WEB = "web.*"
"""What every request inside opened TLS is one of."""

_VISIBLE = re.compile(rb"[\x21-\x7e]+")


def opened_host(resources: ResourceMap, host: str, port: int) -> Resource | None:
    """The resource that has TLS to this host and port opened, if an owner mapped one."""
    found = resources.find(f"host:{host}")
    return found if found is not None and found.host is not None and found.host.port == port else None


def opened_for(resources: ResourceMap, grants: Grants, agent: bytes) -> tuple[Resource, ...]:
    """The mapped hosts of which the agent's grant names something by a verb of the web."""
    web = [
        rule["on"]
        for rule in host_rules(grants, agent)
        if any(verb_overlaps(verb, WEB) for verb in rule["verbs"])
    ]
    return tuple(
        item
        for item in resources
        if item.host is not None
        and any(resource_overlaps(on, path_pattern(item.id, item.host.port, "/**")) for on in web)
    )


def host_rules(grants: Grants, agent: bytes) -> list[Any]:
    """The rules of its grant that an agent may exercise on hosts. One for everything (`**`) names no host."""
    if agent not in grants:
        return []
    return [rule for rule in grants.view(agent).rules if rule["exercise"] and rule["on"].startswith("host:")]


def carries(resource: Resource, method: str, name: str) -> bool:
    """Whether a request, by its method and the name that grants give it, gets the host's credential."""
    host = resource.host
    assert host is not None
    if host.methods and method not in host.methods:
        return False
    return not host.paths or any(
        resource_covers(path_pattern(resource.id, host.port, path), name) for path in host.paths
    )


@dataclass(frozen=True, slots=True)
class Loan:
    """A header with a credential, for one request. Never shown. `shapes`: how its secret may come back."""

    lease: bytes
    header: str
    value: bytes
    shapes: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<Loan of lease {self.lease.hex()[:12]}>"


class Loans:
    """What one command's requests carry: a lease for each host, issued with the first request that needs it, ended with the
    command. One that was ended before stays so: this command gets no other for that host.
    """

    def __init__(self, parts: Parts, who: ActRequest) -> None:
        self._parts = parts
        self._who = who
        self._lent: dict[str, Lent] = {}

    def lend(self, resource: Resource, verb: str, name: str) -> Loan:
        """Raises Denied for a lease that was ended, a chain that does not live, a full quota or a secret that is no header's
        value; Unknown for a secret that is not there; Locked; what a commit raises.
        """
        host, parts = resource.host, self._parts
        assert host is not None
        secret = parts.secrets.fetch(host.secret)
        if not _VISIBLE.fullmatch(secret.reveal()):
            raise _denied(verb, name, f"{host.secret} is not one line of visible ASCII", "secret_unfit")
        if resource.id not in self._lent:
            self._lent[resource.id] = lend(
                parts, self._who, resource.id, host.secret, delivery="inject", ttl_ms=TTL_MS
            )
        lease = self._lent[resource.id].lease
        try:
            parts.leases.use(lease, self._who.agent)
        except Conflict as ended:
            raise _denied(verb, name, ended.message, "lease_ended") from None
        value = host.prefix.encode() + secret.reveal()
        return Loan(lease, host.header, value, tuple(sorted(shapes_of(secret.reveal()))))

    def live(self, lease: bytes) -> bool:
        return self._parts.leases.get(lease).live

    def end(self) -> None:
        """The command has ended. Raises what a commit raises; what could not be ended runs out by itself."""
        for lent in self._lent.values():
            give_back(self._parts, self._who, lent, "the command has ended")


def _denied(verb: str, name: str, why: str, reason: str) -> Denied:
    return Denied(
        f"{verb} on {name}: its credential is not given: {why}",
        verb=verb,
        resource=name,
        dimensions=(Dimension("credential", "egress", why),),
        reason=reason,
    )
