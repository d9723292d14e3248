"""From the findings of all agents to the one cause they speak for, and its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .evidence import Evidence
from .pieces import Service

WITNESSES = 2  # agents (or the watcher's own samples) that must speak for a cause before anyone acts on it


class Runbook(NamedTuple):
    """The remedies' fixed parts, from the intent: nothing that was read in a log ends up here."""

    service: Service
    release: str  # resource of the release link
    database: str
    db_index: tuple[str, str, tuple[str, ...]]  # name, table, columns
    agents: int  # the most that may live at once, the intent's cap

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Runbook:
        """From the intent's `args`. Raises KeyError or ValueError for anything missing or odd."""
        index = args["index"]
        return cls(
            Service(str(args["edge"]), tuple(map(str, args["workers"]))),
            str(args["release"]),
            str(args["database"]),
            (str(index["name"]), str(index["table"]), tuple(map(str, index["columns"]))),
            int(args["agents"]),
        )

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.service.edge, *self.service.workers)


class Witness(NamedTuple):
    """Who says so: an agent's name, and one thing it found."""

    who: str
    evidence: Evidence


class Remedy(NamedTuple):
    verb: str
    resource: str
    args: dict[str, object]


class Hypothesis(NamedTuple):
    """A cause, who speaks for it, and what would heal it."""

    cause: str
    witnesses: tuple[Witness, ...]
    remedy: Remedy
    because: str

    @property
    def voices(self) -> int:
        return len({witness.who for witness in self.witnesses})


def _of(witnesses: tuple[Witness, ...], *kinds: str) -> tuple[Witness, ...]:
    return tuple(witness for witness in witnesses if witness.evidence.kind in kinds)


def _dead_worker(all_: tuple[Witness, ...], book: Runbook) -> Hypothesis | None:
    dead = [w for w in _of(all_, "target_down") if w.evidence.subject in book.service.workers]
    if not dead:
        return None
    target = dead[0].evidence.subject
    name = target.rsplit("/", 1)[-1]
    seen = [w for w in _of(all_, "upstream_failed") if w.evidence.subject == name]
    remedy = Remedy("svc.restart", target, {})
    return Hypothesis(
        "dead-worker", (*dead, *seen), remedy, f"{target} is down and the edge fails to reach it"
    )


def _bad_config(all_: tuple[Witness, ...], book: Runbook) -> Hypothesis | None:
    none = _of(all_, "no_live_upstream")
    changed = _of(all_, "config_changed")
    if not none or not changed or _of(all_, "target_down"):
        return None
    version = max(changed, key=lambda w: w.evidence.value).evidence.subject
    because = f"the edge reaches no worker though all are up, since its config version {version}"
    return Hypothesis("bad-config", none + changed, Remedy("config.restore", book.service.edge, {}), because)


def _bad_release(all_: tuple[Witness, ...], book: Runbook) -> Hypothesis | None:
    failing = _of(all_, "errors_on_release")
    if not failing:
        return None
    release = max(failing, key=lambda w: w.evidence.value).evidence.subject
    mine = tuple(
        w
        for w in _of(all_, "errors_on_release", "exception", "release_changed")
        if w.evidence.subject == release
    )
    because = f"release {release} answers 500 where others did not, and raises exceptions"
    return Hypothesis("bad-release", mine, Remedy("release.rollback", book.release, {}), because)


def _stuck_session(all_: tuple[Witness, ...], book: Runbook) -> Hypothesis | None:
    sessions = _of(all_, "session")
    waits = _of(all_, "write_wait", "write_timeouts", "old_transaction")
    if not sessions or not waits:
        return None
    # The oldest one: every later writer waits for it.
    oldest = min(sessions, key=lambda w: (w.evidence.value, w.evidence.subject)).evidence
    remedy = Remedy("db.session.kill", book.database, {"id": oldest.subject, "started": int(oldest.value)})
    because = f"session {oldest.subject} holds a write transaction open and every other write waits for it"
    mine = tuple(w for w in sessions if w.evidence == oldest) + waits
    return Hypothesis("stuck-sessions", mine, remedy, because)


def _missing_index(all_: tuple[Witness, ...], book: Runbook) -> Hypothesis | None:
    name, table, columns = book.db_index
    scans = tuple(w for w in _of(all_, "full_scan") if w.evidence.subject == table)
    slow = _of(all_, "slow_route", "db_work")
    if not scans or not slow:
        return None
    remedy = Remedy(
        "db.index.create", book.database, {"name": name, "table": table, "columns": list(columns)}
    )
    because = f"queries read the whole table {table}, which index {name} should spare them"
    return Hypothesis("missing-index", scans + slow, remedy, because)


_CAUSES: tuple[Callable[[tuple[Witness, ...], Runbook], Hypothesis | None], ...] = (
    _dead_worker,
    _bad_config,
    _bad_release,
    _stuck_session,
    _missing_index,
)


def hypotheses(witnesses: Iterable[Witness], book: Runbook) -> tuple[Hypothesis, ...]:
    """Every cause that at least WITNESSES speak for, the best supported first."""
    everything = tuple(witnesses)
    found = [h for cause in _CAUSES if (h := cause(everything, book)) is not None and h.voices >= WITNESSES]
    return tuple(sorted(found, key=lambda h: -h.voices))
