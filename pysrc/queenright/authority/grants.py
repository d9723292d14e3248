"""The grants of all intents: the core's tree in memory, its rows in the store, and denials put into words.

The tree is a cache of what the store accepted, with two exceptions that only ever deny more: a revocation or freeze holds
in memory before it is durable, and a reservation or a birth is counted from the moment it is asked for (the store's
refusal gives it back). Every start of an act and every birth also carries the store condition that no level of its chain
was stopped, so the ledger can hold no start after the stop that should have prevented it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from queenright.authority.amount import show_duration
from queenright.authority.decision import Decision
from queenright.authority.denial import Words, refusal
from queenright.authority.grant_request import CoreSpec, GrantRequest, first_spec, root_spec
from queenright.authority.intent import Intent
from queenright.authority.reservation import RECENT, USED, Reservation
from queenright.core import BirthBatch, canonical, decode, digest
from queenright.core.host import GrantRefused, GrantTree
from queenright.errors import Denied, Dimension, Malformed, Unknown
from queenright.store import Change, Record, Store

__all__ = ["BATCHES", "EVER", "GRANTS", "RECENT", "STOPS", "USED", "GrantView", "Grants"]

GRANTS = "grant"
"""One row a grant; of a batch's member only an empty one, once it is forgotten."""
BATCHES = "grant.batch"
"""What the members of a batch of births hold, by the batch's root."""
STOPS = "grant.stop"
"""Present while a grant is revoked or frozen: what `expect` conditions look at."""
EVER = "grant.ever"


@dataclass(frozen=True, slots=True)
class GrantView:
    """One grant as it is. `rules` are the core's maps with `id`, `used`, `held` and `given` added."""

    grant: bytes
    parent: bytes | None
    intent: bytes
    label: str
    rules: tuple[dict[str, Any], ...]
    never: tuple[tuple[list[str], str], ...]
    not_before: int
    not_after: int
    depth: int
    max_agents: int | None
    agents_ever: int | None
    agents: int
    ever: int
    revoked_ms: int | None
    frozen: bool


@dataclass(frozen=True, slots=True)
class _Row:
    parent: bytes | None
    intent: bytes
    label: str
    purpose: str


class Grants:
    """All grants. A grant's id is its agent's id; the intent's own grant has the intent's id."""

    def __init__(
        self,
        store: Store,
        now_ms: Callable[[], int],
        name: Callable[[bytes], str | None] = lambda agent: None,
    ) -> None:
        """`now_ms`: the time that never goes back (`Timekeeper.now_ms`); `name`: what an agent of a batch is called."""
        self._store = store
        self._now = now_ms
        self._name_of = name
        self._tree = GrantTree()
        self._rows: dict[bytes, _Row] = {}  # of all but the members of batches
        self._ended: set[bytes] = set()  # agents that ended before their children did
        self._lock = threading.RLock()  # the tree has its own; this one keeps the rows beside it in step

    # ---- at start ----

    def load(
        self,
        batches: Iterable[BirthBatch] = (),
        ended: Callable[[BirthBatch], Iterable[bytes]] = lambda batch: (),
    ) -> None:
        """Read every grant, its counters and its stops. Call once, before any act is allowed.

        `batches`: all births in batches, whose members have no rows of their own; `ended`: which of a batch ended with it.
        """
        known = {key: value for key, value in self._store.scan(GRANTS)}
        rows = {key: decode(value) for key, value in known.items() if value}
        gone = known.keys() - rows.keys()
        stops = {key: decode(value) for key, value in self._store.scan(STOPS)}
        recent = {key: decode(value) for key, value in self._store.scan(RECENT)}
        told = {key[:32] for key in recent} | stops.keys()
        told |= {key[:32] for table in (USED, EVER) for key, _ in self._store.scan(table)}
        broods: dict[bytes, list[tuple[BirthBatch, dict[str, Any]]]] = {}
        for batch in batches:
            stored = self._store.get(BATCHES, batch.root)
            if stored is None:
                raise Malformed(
                    f"the batch of births {batch.root.hex()[:12]} has no grant in the store",
                    hint="`queenright fsck`, or restore a backup",
                )
            row = decode(stored)
            broods.setdefault(row["parent"], []).append((batch, row["spec"]))
        singles: dict[bytes | None, list[bytes]] = {}
        for grant, row in rows.items():
            singles.setdefault(row["parent"], []).append(grant)

        def load(grant: bytes, parent: bytes | None, ids: list[int], spec: dict[str, Any]) -> None:
            rules = []
            for rule_id in ids:
                key = _rule_key(grant, rule_id)
                uses = [(agent, at) for agent, at in recent.get(key, [])]
                rules.append((rule_id, self._store.counter(USED, key), uses))
            stop = stops.get(grant, {"revoked_ms": None, "frozen": False, "ended": False})
            ever = self._store.counter(EVER, grant)
            self._tree.load(grant, parent, spec, rules, ever, stop["revoked_ms"], stop["frozen"])
            if stop["ended"]:
                self._ended.add(grant)

        ready: list[bytes | None] = [None]
        while ready:
            for parent in ready:
                for grant in singles.pop(parent, []):
                    row = rows[grant]
                    load(grant, parent, row["ids"], _spec_from_row(row["spec"]))
                    self._rows[grant] = _Row(parent, row["intent"], row["label"], row["purpose"])
                if parent is None:
                    continue
                for batch, stored_spec in broods.pop(parent, []):
                    spec = _spec_from_row(stored_spec)
                    over = gone | (set(ended(batch)) - told)
                    for member in self._tree.load_batch(parent, batch, spec, told | over):
                        if member in over:
                            continue
                        load(member, parent, list(range(len(spec["rules"]))), spec)
            ready = [parent for parent in (*singles, *broods) if parent is not None and parent in self._tree]

    # ---- growing ----

    def found(self, intent: Intent) -> Change:
        """The grant of an intent, under which its first agent is born. Raises Conflict if it was founded before."""
        spec = root_spec(intent)
        with self._lock:
            self._tree.found(intent.id, spec)
            self._rows[intent.id] = _Row(None, intent.id, f"intent {intent.id.hex()[:12]}", intent.purpose)
        return Change((self._insert(intent.id, spec),), refused=lambda: self._never_was(intent.id))

    def first(self, intent: Intent, grant: bytes, label: str) -> Change:
        """The first agent's grant, under the intent's. Raises Denied."""
        return self._child(intent.id, grant, label, first_spec(intent))

    def derive(self, parent: bytes, grant: bytes, label: str, request: GrantRequest) -> Change:
        """A child's grant under its parent's. Raises Denied with every reason, Unknown for the parent, Conflict."""
        spec = self._tree.spec(parent)
        return self._child(parent, grant, label, request.to_core(spec["not_before_ms"], spec["not_after_ms"]))

    def derive_batch(self, parent: bytes, batch: BirthBatch, root: bytes, request: GrantRequest) -> Change:
        """A grant of the same shape for every member of a batch: all or none. Raises as `derive`."""
        now = self._now()
        above = self._tree.spec(parent)
        spec = request.to_core(above["not_before_ms"], above["not_after_ms"])
        with self._lock:
            try:
                self._tree.derive_batch(parent, batch, spec, now)
            except GrantRefused as refused:
                raise refusal(refused.reasons, parent, self._words(now)) from None
        row = canonical({"v": 1, "parent": parent, "spec": spec})
        records: list[Record] = [*self._chain_stands(parent), ("insert", BATCHES, root, row)]
        records += self._counted(parent, len(batch))
        return Change(tuple(records), refused=lambda: self._tree.batch_never_was(batch))

    def check_room(self, parent: bytes, births: int) -> None:
        """That so many more agents may live below: asked before the work of making them. Raises Denied, Unknown."""
        for level in self._tree.path(parent):
            limit, (living, *_) = self._tree.spec(level)["max_agents"], self._tree.state(level)
            if limit is not None and living + births > limit:
                reason = f"{births} more than the {living} that live, of at most {limit}"
                raise Denied(
                    f"{births} agents cannot be born below {self._name(parent)}: {reason}",
                    verb="agent.spawn",
                    resource="ws:self",
                    dimensions=(Dimension("max_agents", self._name(level), reason),),
                    hint="stop some, or amend the intent",
                )

    def _counted(self, parent: bytes, births: int) -> list[Record]:
        """That many more were ever born below each level that limits it."""
        limits = ((level, self._tree.spec(level)["agents_ever"]) for level in self._tree.path(parent))
        return [("count", EVER, level, births, limit) for level, limit in limits if limit is not None]

    def _child(self, parent: bytes, grant: bytes, label: str, spec: CoreSpec) -> Change:
        now = self._now()
        with self._lock:
            try:
                self._tree.derive(parent, grant, spec, now)
            except GrantRefused as refused:
                raise refusal(refused.reasons, parent, self._words(now)) from None
            self._rows[grant] = _Row(parent, self._row(parent).intent, label, "")
        records: list[Record] = [*self._chain_stands(parent), self._insert(grant, spec)]
        records += self._counted(parent, 1)
        return Change(tuple(records), refused=lambda: self._never_was(grant))

    def _never_was(self, grant: bytes) -> None:
        with self._lock:
            for one in reversed(self._tree.subtree(grant) if grant in self._tree else []):
                self._tree.remove(one, never_was=True)
                del self._rows[one]

    def _insert(self, grant: bytes, spec: CoreSpec) -> Record:
        return ("insert", GRANTS, grant, self._row_bytes(grant, spec, list(range(len(spec["rules"])))))

    def _row_bytes(self, grant: bytes, spec: CoreSpec, ids: list[int]) -> bytes:
        row = self._rows[grant]
        body = {
            "v": 1,
            "parent": row.parent,
            "intent": row.intent,
            "label": row.label,
            "purpose": row.purpose,
        }
        return canonical(body | {"ids": ids, "spec": spec})

    def amend(self, intent: Intent, first: bytes | None) -> Change:
        """Put an amended intent in force: its grant at once, and its first agent's (None if that has ended).

        What was spent carries over. Agents below the first keep what they hold, and are bound by the new intent at once.
        """
        with self._lock:
            before = {grant: self._tree.spec(grant) for grant in (intent.id, first) if grant is not None}
            records = self._amend_one(intent.id, root_spec(intent))
            if first is not None:
                records += self._amend_one(first, first_spec(intent))
            old = self._rows[intent.id]
            self._rows[intent.id] = _Row(None, old.intent, old.label, intent.purpose)

        def refused() -> None:
            with self._lock:
                for grant, spec in before.items():
                    self._tree.amend(grant, spec)
                self._rows[intent.id] = old

        return Change(tuple(records), refused=refused)

    def _amend_one(self, grant: bytes, spec: CoreSpec) -> list[Record]:
        kept = self._tree.amend(grant, spec)
        records: list[Record] = [
            ("put", GRANTS, grant, self._row_bytes(grant, spec, [rule_id for rule_id, _, _ in kept]))
        ]
        for rule_id, used, recent in kept:
            key = _rule_key(grant, rule_id)
            stored = self._store.counter(USED, key)
            if used > stored:  # a rule of a new scope starts with what overlapping ones had spent
                records.append(("count", USED, key, used - stored, used))
                records.append(("put", RECENT, key, canonical([list(use) for use in recent])))
        return records

    # ---- judging and spending ----

    def check(
        self,
        grant: bytes,
        verb: str,
        resource: str,
        *,
        irreversible: bool = False,
        approved: bool = False,
        cost: int = 1,
    ) -> Decision:
        """The answer now; changes nothing. Raises Unknown for the grant, Malformed for names that are none."""
        now = self._now()
        found = self._tree.check(
            grant, verb, resource, now_ms=now, irreversible=irreversible, approved=approved, cost=cost
        )  # fmt: skip
        return self._words(now).decision(grant, verb, resource, found)

    def reserve(
        self, grant: bytes, verb: str, resource: str, *, irreversible: bool = False, approved: bool = False, cost: int = 1,
        effect: bool = True,
    ) -> tuple[Decision, Reservation | None]:  # fmt: skip
        """As `check`; if it is Allow, the cost is held at every level until the reservation's `started` or `cancel`.

        `effect`: False for a read, whose uses are written down only where a rule limits their number.
        """
        now = self._now()
        found, held = self._tree.reserve(
            grant, verb, resource, now_ms=now, irreversible=irreversible, approved=approved, cost=cost
        )  # fmt: skip
        decision = self._words(now).decision(grant, verb, resource, found)
        if held is None:
            return decision, None
        number, charges = held
        written = [charge for charge in charges if effect or charge[3] is not None or charge[4]]
        return decision, Reservation(
            self._tree, number, written, self._chain_stands(grant) if written else []
        )

    def _chain_stands(self, grant: bytes) -> list[Record]:
        return [("expect", STOPS, level, None) for level in self._tree.path(grant)]

    # ---- stopping ----

    def revoke(self, grant: bytes) -> Change:
        """End a grant and all below it, for ever. Holds at once, whatever becomes of the change; idempotent."""
        now = self._now()
        self._tree.revoke(grant, now)
        return self._stop_record(grant)

    def freeze(self, grant: bytes) -> Change:
        """Deny everything to a grant and all below it until `unfreeze`. Holds at once."""
        self._tree.set_frozen(grant, True)
        return self._stop_record(grant)

    def unfreeze(self, grant: bytes) -> Change:
        """Lift a freeze, once that is durable."""
        _, _, revoked_ms, _ = self._tree.state(grant)
        return Change(
            (self._stop_row(grant, revoked_ms, frozen=False),), applied=lambda: self._thaw(grant)
        )  # fmt: skip

    def _thaw(self, grant: bytes) -> None:
        if grant in self._tree:
            self._tree.set_frozen(grant, False)

    def _stop_record(self, grant: bytes) -> Change:
        _, _, revoked_ms, frozen = self._tree.state(grant)
        return Change((self._stop_row(grant, revoked_ms, frozen=frozen),))

    def _stop_row(self, grant: bytes, revoked_ms: int | None, *, frozen: bool) -> Record:
        if revoked_ms is None and not frozen:
            return ("delete", STOPS, grant)
        body = {"revoked_ms": revoked_ms, "frozen": frozen, "ended": grant in self._ended}
        return ("put", STOPS, grant, canonical(body))

    def end(self, grant: bytes) -> Change:
        """Forget the grant of an agent that has ended; one that still has children is revoked and kept until they end.

        The grant is revoked in memory at once, so nothing starts between here and the commit.
        """
        self._tree.revoke(grant, self._now())
        self._ended.add(grant)
        if self._tree.child_count(grant):
            return self._stop_record(grant)
        gone = [grant]
        above = self._row(grant).parent
        while above in self._ended and self._tree.child_count(above) == 1:
            gone.append(above)
            above = self._row(above).parent
        return Change(
            tuple(record for one in gone for record in self._erase(one)), applied=lambda: self._forget(gone)
        )

    def end_batch(self, members: Callable[[], list[bytes]]) -> Change:
        """Forget the grants of agents that ended with their batch, and never used them. `members` is asked once that is
        durable; at the next start the batch's own end says it (`load`)."""
        return Change((), applied=lambda: self._tree.remove_many(members()))

    def _erase(self, grant: bytes) -> list[Record]:
        # A member of a batch is born again with its batch at the next start, unless an empty row says that it is gone.
        row: Record = ("delete", GRANTS, grant) if grant in self._rows else ("put", GRANTS, grant, b"")
        records: list[Record] = [row, ("delete", STOPS, grant), ("delete", EVER, grant)]
        for rule_id, *_ in self._tree.spending(grant):
            records += [("delete", table, _rule_key(grant, rule_id)) for table in (USED, RECENT)]
        return records

    def _forget(self, gone: list[bytes]) -> None:
        with self._lock:
            for grant in gone:
                if grant in self._tree and not self._tree.child_count(grant):
                    self._tree.remove(grant)
                    self._rows.pop(grant, None)
                    self._ended.discard(grant)

    # ---- reading ----

    def path(self, grant: bytes) -> list[bytes]:
        """From this grant up to its intent's. Raises Unknown."""
        return self._tree.path(grant)

    def subtree(self, grant: bytes) -> list[bytes]:
        """This grant and all below it, parents first. Raises Unknown."""
        return self._tree.subtree(grant)

    def intent_of(self, grant: bytes) -> bytes:
        return self._row(grant).intent

    def label(self, grant: bytes) -> str:
        return self._row(grant).label

    def __contains__(self, grant: bytes) -> bool:
        return grant in self._tree

    def _row(self, grant: bytes) -> _Row:
        row = self._rows.get(grant)
        if row is None:
            if grant not in self._tree:
                raise Unknown(f"no grant-{grant.hex()[:12]}", hint="it ended with its agent, or never was")
            path = self._tree.path(grant)
            row = _Row(path[1], path[-1], self._name_of(grant) or grant.hex()[:12], "")
        return row

    def dead(self, grant: bytes) -> tuple[str, ...]:
        """Why the chain does not live now, each reason with its level; empty if it does."""
        now = self._now()
        reasons = self._tree.dead(grant, now)
        found = self._words(now).failing(self._tree.path(grant), reasons)
        return tuple(f"{item.dimension.name} at {item.dimension.level}" for item in found)

    def chain_digest(self, grant: bytes) -> bytes:
        """Of everything the grants of the chain say (not of what was spent): part of an ask, so an amendment voids it."""
        levels = [[level, self._tree.spec(level)] for level in self._tree.path(grant)]
        return digest("chain", canonical(levels))

    def view(self, grant: bytes) -> GrantView:
        """Raises Unknown."""
        row, spec = self._row(grant), self._tree.spec(grant)
        agents, ever, revoked_ms, frozen = self._tree.state(grant)
        spending = self._tree.spending(grant)
        rules = tuple(
            rule | {"id": rule_id, "used": used, "held": held, "given": given}
            for rule, (rule_id, used, held, given, _) in zip(spec["rules"], spending, strict=True)
        )
        return GrantView(
            grant, row.parent, row.intent, row.label, rules, tuple(spec["never"]), spec["not_before_ms"],
            spec["not_after_ms"], spec["depth"], spec["max_agents"], spec["agents_ever"], agents, ever, revoked_ms, frozen,
        )  # fmt: skip

    def can(self, grant: bytes, verb: str, resource: str, *, irreversible: bool = False) -> Decision:
        """`queenright can`: the decision, whose `explain()` is the line for an operator."""
        return self.check(grant, verb, resource, irreversible=irreversible)

    def who_can(
        self, verb: str, resource: str, *, irreversible: bool = False, limit: int | None = None
    ) -> list[Decision]:
        """Agents' decisions that are not denials, at most `limit` of them."""
        with self._lock:
            intents = [grant for grant, row in self._rows.items() if row.parent is None]
        agents = (grant for intent in intents for grant in self._tree.subtree(intent) if grant != intent)
        found = (self.check(grant, verb, resource, irreversible=irreversible) for grant in agents)
        return list(islice((decision for decision in found if decision.outcome != "deny"), limit))

    def _words(self, now: int) -> Words:
        return Words(self._tree, now, self._name, self._left)

    def _name(self, grant: bytes) -> str:
        if grant not in self._rows and grant not in self._tree:
            return grant.hex()[:12]
        row = self._row(grant)
        return f'{row.label} "{row.purpose}"' if row.parent is None else f"agent {row.label}"

    def _left(self, grant: bytes, now: int) -> str:
        ends = min(self._tree.spec(level)["not_after_ms"] for level in self._tree.path(grant))
        return show_duration(max(0, ends - now))


def _rule_key(grant: bytes, rule_id: int) -> bytes:
    return grant + rule_id.to_bytes(4, "big")


def _spec_from_row(spec: dict[str, Any]) -> CoreSpec:
    pairs = ("rate_agent", "rate_all")
    rules = [rule | {name: rule[name] and tuple(rule[name]) for name in pairs} for rule in spec["rules"]]
    return spec | {"rules": rules, "never": [(verbs, on) for verbs, on in spec["never"]]}
