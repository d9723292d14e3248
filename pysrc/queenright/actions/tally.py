"""Reads and refusals, one leaf for an agent, a resource and a minute instead of one a call.

A read is counted durably before it begins, so a crash loses the bytes it returned, never that it was made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from queenright.actions.act import ActRequest
from queenright.actions.manifest import Manifest
from queenright.actions.record import action_of, actor_of, denied_entry
from queenright.core import canonical, decode
from queenright.ledger.entry import Action, Agent, Entry, Result
from queenright.ledger.log import Ledger
from queenright.store import Change, Record, Store, join

__all__ = ["Tally"]

READS = "action.read"
"""Agent, minute and resource to the count so far, until the minute's leaf is written."""

MINUTE_MS = 60_000
MAX_OPEN_DENIALS = 4096
"""Kinds of refusal counted at once; past it each gets a leaf of its own: the record may grow, it never
lies.
"""


@dataclass(slots=True)
class _Reads:
    actor: Agent
    intent: bytes
    grant: bytes
    resource: str
    minute: int
    stored: bytes | None = None
    count: int = 0
    size: int = 0
    chain: bytes = b""
    verbs: tuple[str, ...] = ()

    def encode(self) -> bytes:
        who = self.actor
        return canonical(
            {
                "v": 1,
                "actor": [who.id, who.name, who.incarnation, who.cell, who.shared],
                "intent": self.intent,
                "grant": self.grant,
                "resource": self.resource,
                "minute": self.minute,
                "count": self.count,
                "size": self.size,
                "chain": self.chain,
                "verbs": list(self.verbs),
            }
        )

    @classmethod
    def decode(cls, row: bytes) -> _Reads:
        body = decode(row)
        body["actor"], body["verbs"] = Agent(*body["actor"]), tuple(body["verbs"])
        del body["v"]
        return cls(**body, stored=row)

    @property
    def key(self) -> bytes:
        return self.actor.id + self.minute.to_bytes(8, "big") + self.resource.encode()


@dataclass(slots=True)
class _Denials:
    request: ActRequest
    manifest: Manifest | None
    reason: str
    dimensions: str
    minute: int
    more: int = 0


class Tally:
    """Counts; `due` gives the leaves of minutes that are over."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._reads: dict[bytes, _Reads] = {}
        self._denials: dict[bytes, _Denials] = {}

    def begin(self, request: ActRequest, now_ms: int) -> tuple[bytes, Change]:
        """Count a read that is about to begin. The key for `end`, and the change to commit first."""
        reads = _Reads(
            actor_of(request), request.intent, request.grant, request.resource, now_ms // MINUTE_MS
        )
        found = self._reads.setdefault(reads.key, reads)
        found.count += 1
        found.verbs = tuple(sorted({*found.verbs, request.verb}))
        row = found.encode()

        def refused() -> None:
            found.count -= 1

        return found.key, Change((("put", READS, found.key, row),), refused=refused)

    def end(self, key: bytes, value: bytes, *, size: int | None = None) -> None:
        """What a read returned: its bytes join the minute's digest. `size`: how many it returned, where `value` only
        describes them.
        """
        found = self._reads.get(key)
        if found is not None:
            found.size += len(value) if size is None else size
            found.chain = hashlib.sha256(found.chain + hashlib.sha256(value).digest()).digest()

    def deny(
        self,
        request: ActRequest,
        manifest: Manifest | None,
        reason: str,
        dimensions: str,
        now_ms: int,
        *,
        count: int = 1,
    ) -> Change:
        """A refusal, or `count` of them: a leaf for the first of its kind in a minute, a count for the rest."""
        kind = "\0".join((request.verb[:64], request.resource[:256], reason))
        key = request.agent + hashlib.sha256(kind.encode("utf-8", "replace")).digest()
        minute = now_ms // MINUTE_MS
        found = self._denials.get(key)
        if found is not None and found.minute == minute:
            found.more += count
            return Change()
        before = self._flush_denial(key, now_ms) if found is not None else Change()
        if len(self._denials) < MAX_OPEN_DENIALS:
            self._denials[key] = _Denials(request, manifest, reason, dimensions, minute, count - 1)
            count = 1
        entry = denied_entry(request, _action(request, manifest), now_ms, reason, dimensions, count)
        return join([before, self._ledger.entry(entry)])

    def load(self) -> None:
        """What an earlier life counted and did not write: `due` gives it at once."""
        for _, row in self._store.scan(READS):
            reads = _Reads.decode(row)
            self._reads[reads.key] = reads

    def due(self, now_ms: int, *, everything: bool = False) -> Change:
        """The leaves of every minute before this one; with `everything`, of this one too."""
        minute = now_ms // MINUTE_MS
        over = [reads for reads in self._reads.values() if everything or reads.minute < minute]
        changes = [self._write(reads, now_ms) for reads in over]
        late = [key for key, one in self._denials.items() if everything or one.minute < minute]
        return join(changes + [self._flush_denial(key, now_ms) for key in late])

    def _write(self, reads: _Reads, now_ms: int) -> Change:
        result = Result("done", "", reads.chain or None, reads.size)
        entry = Entry(
            "reads.summary",
            now_ms,
            reads.actor,
            intent=reads.intent,
            grant=reads.grant,
            result=result,
            cause=reads.intent,
            facts={
                "resource": reads.resource,
                "verbs": " ".join(reads.verbs),
                "count": reads.count,
                "minute": reads.minute * MINUTE_MS,
            },
        )
        gone: tuple[Record, ...] = (("delete", READS, reads.key),)
        return join([self._ledger.entry(entry), Change(gone, lambda: self._forget(reads.key))])

    def _forget(self, key: bytes) -> None:
        self._reads.pop(key, None)

    def _flush_denial(self, key: bytes, now_ms: int) -> Change:
        found = self._denials.pop(key)
        if not found.more:
            return Change()
        action = _action(found.request, found.manifest)
        entry = denied_entry(found.request, action, now_ms, found.reason, found.dimensions, found.more)
        return self._ledger.entry(entry)


def _action(request: ActRequest, manifest: Manifest | None) -> Action | None:
    return action_of(request, manifest.klass, manifest.digest) if manifest is not None else None
