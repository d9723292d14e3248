"""All leases: issued within bounds, renewed by their holder, ended at once, cleaned up for as long as it takes.

Ending holds in memory before it is durable: if the store refuses the row, nothing passes all the same. Times come from
`Timekeeper`, so no step of a clock and no restart lengthens a lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from queenright.authority.amount import show_duration
from queenright.authority.grants import Grants
from queenright.authority.lease import Delivery, Lease, LeaseState
from queenright.errors import Conflict, Denied, Dimension, Malformed, NotEntitled, Unknown
from queenright.store import Change, Store, join

__all__ = ["LEASES", "STUCK_AFTER", "TTL_MS", "Leases"]

LEASES = "lease"
TTL_MS = 15 * 60_000
MAX_TTL_MS = 24 * 3_600_000
"""What a class may give at most without a renewal."""
PER_AGENT, PER_INTENT, PER_PROVIDER, IN_ALL = 8, 500, 1_000, 100_000
"""Past these something is wrong: a refusal is better than a provider that falls over."""
JITTER = 10
"""Per cent by which a time to live may be shorter, so that ten thousand of them do not end in one instant."""
STUCK_AFTER = 6
RETRY_MS, RETRY_MAX_MS = 1_000, 300_000


class Leases:
    """All leases of this supervisor. Nothing passes before `load`."""

    def __init__(
        self, store: Store, grants: Grants, now_ms: Callable[[], int], rand: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._grants = grants
        self._now = now_ms
        self._rand = rand
        self._all: dict[bytes, Lease] = {}
        self._of: dict[
            bytes, dict[bytes, None]
        ] = {}  # an agent's leases, in the order in which they were issued
        self._uses: Counter[bytes] = Counter()
        self._loaded = False

    def load(self) -> Change:
        """Read every lease. Those that ran out, or were being issued, while nobody looked are ended: commit the change."""
        for _, value in self._store.scan(LEASES):
            self._set(Lease.decode(value))
        now = self._now()
        ended = []
        for lease in list(self._all.values()):
            if lease.state == "cleaning":
                ended.append(self._become(lease, "ended"))
            elif lease.live and lease.state in ("requested", "issuing"):
                ended.append(self._end(lease, "the supervisor stopped while it was issued"))
            elif lease.live and now >= lease.expires_ms:
                ended.append(self._end(lease, "expired"))
        self._loaded = True
        return join(ended)

    # ---- giving ----

    def issue(
        self,
        agent: bytes,
        resource: str,
        secret: str,
        *,
        provider: str,
        delivery: Delivery = "act",
        ttl_ms: int = TTL_MS,
        class_max_ms: int = MAX_TTL_MS,
        parent: bytes | None = None,
        external: bool = False,
    ) -> tuple[Lease, Change]:
        """A lease for this agent. `external`: the provider makes a credential, so the lease is ISSUING, durably, before the
        provider is called, and ACTIVE by `issued`; otherwise it is ACTIVE with its first row.

        Its last moment is the earliest of its grant chain's, its parent lease's and the class's. Raises Denied
        (`lease_quota`, or a chain that does not live), Malformed for a time to live of nothing.
        """
        if not 0 < ttl_ms <= MAX_TTL_MS or class_max_ms <= 0:
            raise Malformed(f"a lease lives from 1 ms to {show_duration(MAX_TTL_MS)}, never for ever")
        self._within_quota(agent, resource, provider)
        now = self._now()
        ends = [self._grants.view(level).not_after for level in self._grants.path(agent)]
        if parent is not None:
            ends.append(self.get(parent).max_ms)
        limit = min(*ends, now + class_max_ms)
        shorter = ttl_ms * (int.from_bytes(self._rand(2), "big") % (JITTER * 100 + 1)) // 10_000
        lease = Lease(
            id=self._rand(32),
            agent=agent,
            intent=self._grants.intent_of(agent),
            resource=resource,
            secret=secret,
            delivery=delivery,
            provider=provider,
            state="issuing" if external else "active",
            issued_ms=now,
            expires_ms=min(now + ttl_ms - shorter, limit),
            max_ms=limit,
            ttl_ms=ttl_ms,
            parent=parent,
        )
        change = Change((("insert", LEASES, lease.id, lease.encode()),), lambda: self._set(lease))
        return lease, change

    def issued(self, lease: bytes) -> Change:
        """The provider has made the credential."""
        return self._become(self.get(lease), "active")

    def _within_quota(self, agent: bytes, resource: str, provider: str) -> None:
        self._alive(agent, resource)
        live = [lease for lease in self._all.values() if lease.live]
        intent = self._grants.intent_of(agent)
        counts = Counter(
            agent=sum(lease.agent == agent for lease in live),
            intent=sum(lease.intent == intent for lease in live),
            provider=sum(lease.provider == provider for lease in live),
            supervisor=len(live),
        )
        limits = {"agent": PER_AGENT, "intent": PER_INTENT, "provider": PER_PROVIDER, "supervisor": IN_ALL}
        full = [Dimension("lease_quota", level, f"{counts[level]} of {limit}") for level, limit in limits.items()
                if counts[level] >= limit]  # fmt: skip
        if full:
            words = ", ".join(f"{one.level} {one.detail}" for one in full)
            raise Denied(
                f"a lease on {resource} is denied: too many live leases ({words})",
                verb="lease.issue",
                resource=resource,
                dimensions=tuple(full),
                reason="lease_quota",
            )

    def _alive(self, agent: bytes, resource: str) -> None:
        dead = self._grants.dead(agent)
        if dead:
            raise Denied(
                f"a lease on {resource} is denied: {', '.join(dead)}",
                verb="lease.use",
                resource=resource,
                dimensions=tuple(Dimension("chain", "", reason) for reason in dead),
            )

    def use(self, lease: bytes, agent: bytes) -> Lease:
        """Let one use pass: for its holder, while it is active, in time, and its whole chain lives.

        Raises NotEntitled for another agent, Conflict for a lease that has ended, Denied for a chain that does not live.
        """
        found = self._usable(lease, agent)
        self._uses[lease] += 1
        return found

    def _usable(self, lease: bytes, agent: bytes) -> Lease:
        found = self.get(lease)
        if not self._loaded:
            raise Conflict("leases are not loaded yet: nothing passes")
        self._held(found, agent)
        if found.state not in ("active", "renewing"):
            raise Conflict(f"lease-{lease.hex()[:12]} is {found.state}: {found.reason or 'not usable'}")
        self._in_time(found)
        self._alive(agent, found.resource)
        return found

    def uses(self, lease: bytes) -> int:
        """How often it let something pass since the supervisor started; the ledger has each act."""
        return self._uses[lease]

    def renew(self, lease: bytes, agent: bytes) -> Change:
        """Another time to live from now, by its holder, while its chain lives, never past `max_ms`. Raises as `use`."""
        found = self._usable(lease, agent)
        return self._longer(found, self._now() + found.ttl_ms)

    def extend(self, lease: bytes, by_ms: int) -> Change:
        """An operator's gift of time (a signed order), bound like a renewal. Raises as `use`, Malformed."""
        found = self.get(lease)
        if not 0 < by_ms <= MAX_TTL_MS:
            raise Malformed(f"a lease is extended by up to {show_duration(MAX_TTL_MS)}")
        return self._longer(self._usable(lease, found.agent), found.expires_ms + by_ms)

    def _longer(self, lease: Lease, until_ms: int) -> Change:
        until = min(until_ms, lease.max_ms)
        if until <= lease.expires_ms:
            raise Conflict(
                f"lease-{lease.id.hex()[:12]} cannot last longer than "
                f"{show_duration(lease.expires_ms - self._now())} more",
                hint="its intent, parent or class ends then",
            )
        return self._become(lease, "active", expires_ms=until)

    @staticmethod
    def _held(lease: Lease, agent: bytes) -> None:
        if lease.agent != agent:
            raise NotEntitled(f"lease-{lease.id.hex()[:12]} is not this agent's")

    def _in_time(self, lease: Lease) -> None:
        late = self._now() - lease.expires_ms
        if late >= 0:
            raise Conflict(
                f"lease-{lease.id.hex()[:12]} expired {show_duration(late)} ago", hint="ask for a new lease"
            )

    # ---- ending ----

    def end(self, lease: bytes, reason: str) -> Change:
        """End one lease and those it is parent of; idempotent. Holds at once."""
        return self._end_all(self._below(self.get(lease)), reason)

    def end_agents(self, agents: Iterable[bytes], reason: str) -> Change:
        """End every lease of these agents (one agent, or a subtree)."""
        chosen = frozenset(agents)
        return self._end_all([lease for lease in self._all.values() if lease.agent in chosen], reason)

    def end_intent(self, intent: bytes, reason: str) -> Change:
        return self._end_all([lease for lease in self._all.values() if lease.intent == intent], reason)

    def end_everything(self, reason: str) -> Change:
        return self._end_all(list(self._all.values()), reason)

    def due(self) -> tuple[Lease, ...]:
        """Live leases whose time is over."""
        now = self._now()
        return tuple(lease for lease in self._all.values() if lease.live and now >= lease.expires_ms)

    def expire(self) -> Change:
        """End all that are due."""
        return self._end_all(list(self.due()), "expired")

    def _below(self, lease: Lease) -> list[Lease]:
        found, next_one = [lease], 0
        while next_one < len(found):
            found += [one for one in self._all.values() if one.parent == found[next_one].id]
            next_one += 1
        return found

    def _end_all(self, leases: Iterable[Lease], reason: str) -> Change:
        family = {one.id: one for lease in leases for one in self._below(lease)}
        return join(self._end(lease, reason) for lease in family.values() if lease.live)

    def _end(self, lease: Lease, reason: str) -> Change:
        lease.may_become("ended")
        after = replace(lease, state="ended", ended_ms=self._now(), reason=reason[:200], try_ms=self._now())
        self._set(after)
        return Change((("put", LEASES, after.id, after.encode()),))

    # ---- cleaning up at the provider ----

    def to_clean(self, limit: int) -> tuple[Lease, ...]:
        """What should be cleaned up now: one of each provider in turn, so that a dead provider starves no other."""
        now = self._now()
        waiting: dict[str, list[Lease]] = {}
        for lease in sorted(self._all.values(), key=lambda one: (one.try_ms, one.id)):
            if lease.state in ("ended", "stuck") and lease.try_ms <= now:
                waiting.setdefault(lease.provider, []).append(lease)
        found: list[Lease] = []
        while waiting and len(found) < limit:
            for provider in list(waiting):
                found.append(waiting[provider].pop(0))
                if not waiting[provider]:
                    del waiting[provider]
        return tuple(found[:limit])

    def cleaning(self, lease: bytes) -> Change:
        return self._become(self.get(lease), "cleaning")

    def cleaned(self, lease: bytes) -> Change:
        """Nothing of it is left at the provider (or there never was anything there)."""
        return self._become(self.get(lease), "clean")

    def clean_failed(self, lease: bytes) -> Change:
        """Try again later, for ever; STUCK, and shown, after so many failures."""
        found = self.get(lease)
        attempts = found.attempts + 1
        ceiling = min(RETRY_MAX_MS, RETRY_MS << min(attempts - 1, 20))
        wait = int.from_bytes(self._rand(4), "big") % ceiling + 1  # full jitter
        state: LeaseState = "stuck" if attempts >= STUCK_AFTER else "ended"
        return self._become(found, state, attempts=attempts, try_ms=self._now() + wait)

    def forget(self, lease: bytes) -> Change:
        """An operator's order to give up on a stuck lease: it stays in the record as CLEAN by force."""
        found = self.get(lease)
        if found.state != "stuck":
            raise Conflict(f"lease-{lease.hex()[:12]} is {found.state}, not stuck")
        return self._become(found, "clean", reason=f"{found.reason}; forgotten by order"[:200])

    # ---- reading ----

    def get(self, lease: bytes) -> Lease:
        found = self._all.get(lease)
        if found is None:
            raise Unknown(f"no lease-{lease.hex()[:12]}", hint="queenright lease list")
        return found

    def find(self, agent: bytes, resource: str, secret: str) -> Lease | None:
        """A usable lease of this agent for exactly this."""
        now = self._now()
        for lease in self.ever_of(agent):
            exact = (lease.agent, lease.resource, lease.secret) == (agent, resource, secret)
            if exact and lease.state == "active" and now < lease.expires_ms:
                return lease
        return None

    def of_agent(self, agent: bytes) -> tuple[Lease, ...]:
        """Its live leases, the one that ends first first."""
        mine = [lease for lease in self.ever_of(agent) if lease.live]
        return tuple(sorted(mine, key=lambda lease: lease.expires_ms))

    def ever_of(self, agent: bytes) -> list[Lease]:
        """All its leases, those that ended too."""
        return [self._all[lease] for lease in self._of.get(agent, ())]

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        """How many live."""
        return sum(lease.live for lease in self._all.values())

    def _become(self, lease: Lease, state: LeaseState, **facts: int | str) -> Change:
        lease.may_become(state)
        after = replace(lease, state=state, **facts)  # type: ignore[arg-type]
        before = lease

        def applied() -> None:
            # An end in memory that came between stands: it is not undone by what was asked for before it.
            if self._all.get(after.id) is before:
                self._set(after)

        return Change(
            (("expect", LEASES, lease.id, lease.encode()), ("put", LEASES, after.id, after.encode())), applied
        )

    def _set(self, lease: Lease) -> None:
        self._all[lease.id] = lease
        self._of.setdefault(lease.agent, {})[lease.id] = None
