"""Finding entries: the ledger screen's query, and `why`, the chain from an act back to the person."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from queenright.errors import Malformed, Unknown
from queenright.ledger import leaf
from queenright.ledger.entry import Agent, Entry, Operator
from queenright.wire import ids

__all__ = ["Found", "Query", "Readable", "why"]

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SINCE = re.compile(r"(\d{1,6})([smhd])\Z")
_FIELDS: Final = ("who", "what", "since", "intent", "id", "result")
_MAX_CHAIN: Final = 1_000


class Readable(Protocol):
    """What is searched: a `Ledger`."""

    @property
    def size(self) -> int: ...
    def leaf(self, index: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Found:
    """One entry and where it stands."""

    index: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Query:
    """Terms between spaces that must all hold: `who:NAME`, `what:GLOB` (verb or kind), `since:24h`,
    `intent:ID`, `id:ID` (any id of an entry), `result:done`, or a word that the entry contains. Names and
    globs may use `*` and `?`."""

    who: str = ""
    what: str = ""
    since_ms: int | None = None
    intent: str = ""
    id: str = ""
    result: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Query:
        """Raises Malformed for a term that is none. `since_ms` is a length, counted back from now by
        `search`.
        """
        if len(text) > 512:
            raise Malformed(f"a query of {len(text)} characters, at most 512")
        fields: dict[str, str] = {}
        words = []
        for term in text.split():
            name, colon, value = term.partition(":")
            if not colon or name not in _FIELDS:
                words.append(term)
            elif not value or name in fields:
                raise Malformed(
                    f"`{term[:40]}` is empty or given twice", hint=f"one each of {': '.join(_FIELDS)}:"
                )
            else:
                fields[name] = value
        since = fields.get("since")
        found = _SINCE.match(since) if since is not None else None
        if since is not None and found is None:
            raise Malformed(
                f"`since:{since[:20]}` is no length of time", hint="since:90s, since:24h, since:7d"
            )
        return cls(
            who=fields.get("who", ""),
            what=fields.get("what", ""),
            since_ms=None if found is None else int(found[1]) * _UNITS_MS[found[2]],
            intent=_id(fields.get("intent", ""), "intent"),
            id=_id(fields.get("id", ""), None),
            result=fields.get("result", ""),
            words=tuple(words),
        )

    def search(
        self,
        ledger: Readable,
        now_ms: int,
        *,
        newest: bool = True,
        after: int | None = None,
        limit: int = 100,
    ) -> Iterator[Found]:
        """Matching entries, newest first (or oldest first), past index `after`, at most `limit`."""
        indexes = (
            range(ledger.size - 1 if after is None else after - 1, -1, -1)
            if newest
            else range(0 if after is None else after + 1, ledger.size)
        )
        left = limit
        for index in indexes:
            if left <= 0:
                return
            data = ledger.leaf(index)
            # The leaf holds every id and word literally: most entries are passed over without reading them.
            if not all(
                part.encode("utf-8", "surrogatepass") in data for part in (self.intent, self.id, *self.words)
            ):
                continue
            entry = leaf.read(data)
            if self._matches(entry, now_ms):
                left -= 1
                yield Found(index, entry)

    def _matches(self, entry: Entry, now_ms: int) -> bool:
        if self.since_ms is not None and entry.t_ms < now_ms - self.since_ms:
            return False
        if self.intent and not entry.ids().get("intent", "").startswith(self.intent):
            return False
        if self.id and not any(self.id in text for text in entry.ids().values()):
            return False
        if self.result and (entry.result is None or entry.result.state != self.result):
            return False
        if self.what and not _any(self.what, entry.kind, entry.action.verb if entry.action else ""):
            return False
        return not self.who or _any(self.who, *_who(entry))


def why(ledger: Readable, id: str) -> list[Found]:
    """The entries that answer for an action, ask, lease, agent or intent, oldest first: whoever signed the
    intent, what was granted, asked and decided, then the act itself.

    `id` is an id or an unambiguous prefix of one. Raises Unknown if no entry names it, Malformed if it is
    none. Reads the ledger a few times over: not for an event loop.
    """
    start = _resolve(ledger, id)
    wanted, done = [start], {start}
    found: dict[int, Entry] = {}
    while wanted and len(found) < _MAX_CHAIN:
        text = wanted.pop()
        of_kind = _ABOUT if text == start else _FOUNDING
        kinds = [f'"kind":"{kind}'.encode() for kind in of_kind[text.partition("-")[0]]]
        for index, data in _leaves(ledger):
            # The leaf holds ids and its kind literally, so that only a chain's own entries are read.
            if text.encode() not in data or not any(kind in data for kind in kinds):
                continue
            entry = leaf.read(data)
            if text not in entry.ids().values():
                continue
            found[index] = entry
            above = [other for name, other in entry.ids().items() if name != "act" and other not in done]
            done.update(above)
            wanted.extend(above)
    return [Found(index, found[index]) for index in sorted(found)]


# What tells of the thing that was asked about: kinds, or how they begin.
_ABOUT: Final[dict[str, tuple[str, ...]]] = {
    "act": ("",),
    "ask": ("ask.", "action."),
    "verdict": ("ask.", "action."),
    "lease": ("lease.issued", "lease.extended", "lease.ended"),
    "agent": ("agent.", "agents.born"),
    "grant": ("agent.born", "grant."),
    "intent": ("intent.",),
}
# Above it, an id leads to the entries that brought it into being, not to everything that happened under it.
_FOUNDING: Final[dict[str, tuple[str, ...]]] = {
    "ask": ("ask.raised", "ask.decided"),
    "verdict": ("ask.decided",),
    "lease": ("lease.issued",),
    "agent": ("agent.born",),
    "grant": ("agent.born",),
    "intent": ("intent.applied", "intent.amended"),
}


def _leaves(ledger: Readable) -> Iterator[tuple[int, bytes]]:
    for index in range(ledger.size):
        yield index, ledger.leaf(index)


def _resolve(ledger: Readable, id: str) -> str:
    kind, digits = ids.parse(id)
    kinds = kind or "|".join(_ABOUT)
    pattern = re.compile(rb'"((?:%s)-%s[0-9a-f]*)"' % (kinds.encode(), digits.encode()))
    matches: set[str] = {match.decode() for _, data in _leaves(ledger) for match in pattern.findall(data)}
    if not matches:
        raise Unknown(f"the ledger has no entry about `{id}`")
    if len(matches) > 1:
        shown = ", ".join(sorted(matches)[:3])
        raise Unknown(f"`{id}` fits {len(matches)} ids: {shown}", hint="give more digits")
    return matches.pop()


def _id(text: str, kind: str | None) -> str:
    if not text:
        return ""
    found, digits = ids.parse(text)
    if kind is not None and found not in (None, kind):
        raise Malformed(f"`{text}` is no {kind}")
    prefix = found or kind
    return f"{prefix}-{digits}" if prefix else digits


def _who(entry: Entry) -> tuple[str, ...]:
    match entry.actor:
        case Agent(name=name, id=id):
            return name, ids.full("agent", id), ids.short("agent", id)
        case Operator(name=name, fingerprint=fingerprint):
            return name, fingerprint
    return ("supervisor",)


def _any(glob: str, *texts: str) -> bool:
    return any(fnmatch.fnmatchcase(text.lower(), glob.lower()) for text in texts)
