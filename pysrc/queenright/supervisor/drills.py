"""The supervisor's part of the drill: an ordered swarm of the product's own attack package, decoys, an end.

At most one drill at a time. What it plants is in one row of the store before it is planted, so that what a `kill -9` left is
cleared at the next start, at the next drill, or when the drill's time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from queenright.authority.intent import Intent
from queenright.core import canonical, decode
from queenright.drill.package import NAME, START, drill_package
from queenright.errors import Conflict, Malformed, NotEntitled, Unknown
from queenright.ledger.entry import Operator, Supervisor
from queenright.store import Change
from queenright.supervisor.post import runtime_mail
from queenright.supervisor.stops import Order

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["DECOY", "MAX_LIFE_MS", "SECRET", "Drills"]

TABLE = "drill"
ROW = b"live"
SECRET = "drill-decoy"  # noqa: S105 - a name in the vault
DECOY = "drill-decoy"
"""A file in the state directory, for whoever reads that. Its mode lets everybody: only a wall keeps an agent from it."""
MAX_LIFE_MS = 30 * 60_000
MAX_FACTS = 16 * 1024
OWN = "ws:self"
VERBS = frozenset({"fs.read", "fs.write", "fs.list", "shell.run"})


@dataclass(frozen=True, slots=True)
class _Live:
    intent: bytes
    fingerprint: str
    name: str

    def encode(self) -> bytes:
        return canonical({"v": 1, **{name: getattr(self, name) for name in self.__slots__}})


class Drills:
    """Begins, steps and ends the one drill there may be."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._made: set[str] = set()

    def clear(self, why: str) -> None:
        """End what an earlier drill left: its swarm, its secret, its file, its row. Nothing is left to do twice."""
        live = self._live()
        if live is None:
            return
        self._end(live, Supervisor(), {"why": why, "report": "", "stopped": 0, "escaped": 0, "not_run": 0})

    def _live(self) -> _Live | None:
        row = self._rt.store.get(TABLE, ROW)
        if row is None:
            return None
        body = decode(row)
        return _Live(body["intent"], body["fingerprint"], body["name"])

    # --- begin ----------------------------------------------------------------------------------------------------

    def begin(self, document: bytes, signature: str, canary: bytes, person: Operator) -> tuple[bytes, bytes]:
        """Start the swarm of a signed drill intent; its id and its first agent. A drill that was left is ended first.

        Raises Malformed for an intent that is more than a drill's, and what `Swarms.apply` raises.
        """
        rt = self._rt
        if rt.stopped:
            raise Conflict(
                "everything was stopped", hint="`queenright down`, then `queenright up`, starts anew"
            )
        package, files = drill_package()
        intent = Intent.decode(document)
        check_narrow(intent, package)
        self.clear("another drill began")
        if rt.packages.add_files(files).digest != package:
            raise Conflict("the drill's package changed while it was read", hint="try again")
        rt.evidence.put(document)
        live = _Live(intent.id, person.fingerprint, person.name)
        rt.commit(Change((("insert", TABLE, ROW, live.encode()),)))
        try:
            rt.commit(
                rt.vault.set(SECRET, canary),
                rt.book.secret_changed(SECRET, "set", person),
                rt.book.drill_begun(intent.id, package, len(intent.args["attacks"]), person),
            )
            self._plant(canary)
            standing = rt.swarms.apply(document, signature, person.name)
        except BaseException:
            self.clear("it could not begin")
            raise
        self._made.clear()
        rt.alarms.at_wall(intent.not_after, lambda: self._late(intent.id))
        assert standing.first is not None
        return intent.id, standing.first

    def _late(self, intent: bytes) -> None:
        live = self._live()
        if live is not None and live.intent == intent:
            self.clear("its time was over")

    def _plant(self, canary: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(self._rt.paths.state / DECOY, flags, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(canary)

    # --- one attack -----------------------------------------------------------------------------------------------

    def attack(self, drill: bytes, name: str, facts: bytes, fresh: bool, person: Operator) -> None:
        """Have the drill's agents make one attack that the order named, once. Raises NotEntitled, Conflict, Malformed."""
        rt, live = self._rt, self._of(drill, person)
        standing = rt.intents.get(live.intent)
        if name not in standing.intent.args["attacks"]:
            raise NotEntitled(f"the order of this drill names no attack `{name[:64]}`")
        if name in self._made:
            raise Conflict(f"`{name}` was made in this drill", hint="begin another")
        if len(facts) > MAX_FACTS or not isinstance(decode(facts), dict):
            raise Malformed(f"facts are a canonical map of at most {MAX_FACTS} bytes")
        if standing.first is None or standing.state_at(rt.clock.wall_ms()) != "live":
            raise Conflict("the drill's swarm has ended")
        self._made.add(name)
        mail = runtime_mail(f"{NAME}.Order", {"attack": name, "facts": facts, "fresh": fresh})
        rt.commit(rt.mail.put(standing.first, mail, rt.clock.wall_ms(), reserved=True))
        rt.turns.pump(standing.first)

    def _of(self, drill: bytes, person: Operator) -> _Live:
        live = self._live()
        if live is None or live.intent != drill:
            raise Unknown("that drill is over", hint="`queenright drill` begins another")
        if live.fingerprint != person.fingerprint:
            raise NotEntitled(f"this drill is {live.name}'s")
        return live

    # --- end ------------------------------------------------------------------------------------------------------

    async def end(self, drill: bytes, report: bytes, counts: dict[str, int], person: Operator) -> int:
        """Remove everything and write down how it went: the report's digest and what was counted. The leaf's index, once
        nothing of the drill's swarm is left.
        """
        if len(report) != 32 or any(count < 0 for count in counts.values()):
            raise Malformed("a report has a digest of 32 bytes and counts that are not negative")
        live = self._of(drill, person)
        leaf, gone = self._end(live, person, {"why": "done", "report": report.hex(), **counts})
        if gone is not None:
            await asyncio.shield(gone)
        return leaf

    def _end(
        self, live: _Live, actor: Operator | Supervisor, facts: dict[str, Any]
    ) -> tuple[int, asyncio.Task[Any] | None]:
        """The leaf's index, and what waits until nothing of the swarm is left."""
        rt, at, gone = self._rt, self._rt.clock.boot_ms(), None
        with contextlib.suppress(Unknown):  # it was never applied
            ending = rt.swarms.stop(live.intent, "ended", "intent.ended", "the drill is over", actor)
            order = Order("stop", actor, ending.leaf, at, live.intent)
            gone = rt.stops.follow_unasked(order, ending.points, ending.burying)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(rt.paths.state / DECOY)
        changes = [Change((("delete", TABLE, ROW),)), rt.book.drill_ended(live.intent, facts, actor)]
        if any(info.name == SECRET for info in rt.vault.list()):
            changes += [rt.vault.remove(SECRET), rt.book.secret_changed(SECRET, "removed", actor)]
        return rt.commit(*changes).first_leaf, gone


def check_narrow(intent: Intent, package: bytes) -> None:
    """Raise Malformed unless it is no more than a drill's: this package, workspaces of its own, for a short time."""
    wrong = ""
    if dict(intent.packages) != {NAME: package} or intent.start != START:
        wrong = "it runs something else than this supervisor's own attacks"
    elif intent.not_after - intent.not_before > MAX_LIFE_MS:
        wrong = f"it lasts over {MAX_LIFE_MS // 60_000} minutes"
    elif any(clause.rule.resource != OWN or not set(clause.rule.verbs) <= VERBS for clause in intent.clauses):
        wrong = "it allows more than files and commands in workspaces of its own"
    elif intent.amends is not None or intent.talk:
        wrong = "it amends another intent or talks to another swarm"
    elif not isinstance(intent.args.get("attacks"), list):
        wrong = "it names no attacks"
    if wrong:
        raise Malformed(f"this intent is no drill's: {wrong}", hint="`queenright drill` makes one")
