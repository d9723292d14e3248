"""Swarms: an applied intent and everything that lives under it, from apply to the last agent's end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from queenright.authority.intent import Intent
from queenright.authority.reach import Reach as Talk
from queenright.authority.reach import reach
from queenright.behaviours import Package
from queenright.core import canonical, decode
from queenright.errors import Conflict, Malformed, NotEntitled, QueenrightError, Unknown
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.wire.ids import short

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["TABLE", "State", "Swarm", "Swarms"]

TABLE = "intent"
State = Literal["live", "frozen", "revoked", "ended", "expired"]


@dataclass(slots=True)
class Swarm:
    """One intent in force or past: the bytes an operator signed, and what became of it."""

    intent: Intent
    document: bytes
    signature: str
    fingerprint: str
    operator: str
    applied_ms: int
    state: State = "live"
    ended_ms: int = 0

    def encode(self) -> bytes:
        return canonical(
            {
                "v": 1,
                "document": self.document,
                "signature": self.signature,
                "fingerprint": self.fingerprint,
                "operator": self.operator,
                "applied_ms": self.applied_ms,
                "state": self.state,
                "ended_ms": self.ended_ms,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Swarm:
        body = decode(data)
        del body["v"]
        return cls(intent=Intent.decode(body["document"]), **body)

    @property
    def over(self) -> bool:
        return self.state in ("revoked", "ended", "expired")


class Swarms:
    """All intents this state directory ever applied, by id."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._swarms: dict[bytes, Swarm] = {}
        self._talk: dict[bytes, Talk] = {}

    def load(self) -> None:
        for key, value in self._rt.store.scan(TABLE):
            self._swarms[key] = Swarm.decode(value)
            if not self._swarms[key].over:
                self._begin(key)

    def _begin(self, intent: bytes) -> None:
        swarm = self._swarms[intent]
        self._talk[intent] = reach(swarm.intent)
        self._rt.reach.set_intent(intent, self._talk[intent].allows)
        self._rt.alarms.at_wall(swarm.intent.not_after, lambda: self.expire(intent))

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(list(self._swarms.values()))

    def __len__(self) -> int:
        return sum(1 for swarm in self._swarms.values() if not swarm.over)

    def get(self, intent: bytes) -> Swarm:
        found = self._swarms.get(intent)
        if found is None:
            raise Unknown(
                f"no intent `{short('intent', intent)}` is known here", hint="queenright intent list"
            )
        return found

    # --- applying -------------------------------------------------------------------------------------------------

    def apply(
        self, intent: Intent, document: bytes, signature: str, fingerprint: str, operator: str
    ) -> Swarm:
        """Found the swarm of a verified intent and give birth to its first agent: one commit. Once for ever per id."""
        if intent.amends is not None:
            raise Malformed("this is an amendment", hint="queenright intent amend")
        if intent.id in self._swarms:
            raise Conflict(
                f"{short('intent', intent.id)} was applied before",
                hint="sign it anew: each signing has its own id",
            )
        for name, pinned in intent.packages.items():
            package = self._rt.packages.get(pinned)
            if package.name != name:
                raise Malformed(
                    f"package digest {pinned.hex()[:12]} is `{package.name}`, the intent calls it `{name}`"
                )
        package = self._package_of(intent, intent.start)
        self._check_class(package, intent.start)
        swarm = Swarm(intent, document, signature, fingerprint, operator, self._rt.clock.wall_ms())
        founded = self._rt.grants.found(intent)
        first, born = self._rt.lives.first(intent, package.digest)

        def applied() -> None:
            self._swarms[intent.id] = swarm
            self._begin(intent.id)

        row = Change((("insert", TABLE, intent.id, swarm.encode()),), applied)
        self._rt.commit(founded, row, self._rt.book.intent_applied(swarm), *born)
        self._rt.changed("agents", first.id)
        self._rt.turns.pump(first.id)
        return swarm

    def _package_of(self, intent: Intent, behaviour: str) -> Package:
        name = behaviour.split(".")[0]
        pinned = intent.packages.get(name)
        if pinned is None:
            raise Unknown(f"the intent pins no package `{name}`")
        return self._rt.packages.get(pinned)

    @staticmethod
    def _check_class(package: Package, behaviour: str) -> None:
        if behaviour.split(".", 1)[1] not in package.classes:
            raise Unknown(
                f"package `{package.name}` has no behaviour `{behaviour}`",
                hint=f"its manifest lists {', '.join(sorted(package.classes))}",
            )

    # --- what a package's manifest says ---------------------------------------------------------------------------

    def check_behaviour(self, intent: bytes, behaviour: str, package: bytes) -> None:
        """A child's code must be a package the intent pins. Raises NotEntitled or Unknown."""
        swarm = self.get(intent)
        if swarm.state != "live":
            raise NotEntitled(f"the swarm is {swarm.state}: nobody is born in it")
        if "." not in behaviour or swarm.intent.packages.get(behaviour.split(".")[0]) != package:
            raise NotEntitled(
                f"the intent pins no package with the behaviour `{behaviour[:64]}`",
                hint="new code needs an amendment that names its digest",
            )
        self._check_class(self._rt.packages.get(package), behaviour)

    def wants_own_cell(self, package: bytes, behaviour: str) -> bool:
        return self._rt.packages.get(package).classes[behaviour.split(".", 1)[1]].cell == "own"

    def on_failure(self, package: bytes, behaviour: str) -> str:
        return self._rt.packages.get(package).classes[behaviour.split(".", 1)[1]].on_failure

    def capabilities(self, package: bytes, behaviour: str) -> frozenset[str]:
        return self._rt.packages.get(package).classes[behaviour.split(".", 1)[1]].capabilities

    # --- ending ---------------------------------------------------------------------------------------------------

    def end_authority(self, agent: Agent, why: str) -> list[Change]:
        """What an ended agent held: its grant, its leases, its open asks."""
        return [
            self._rt.grants.end(agent.id),
            *self._rt.leases.end_agent(agent.id, why),
            *self._rt.asks.void_agent(agent.id, why),
        ]

    def agent_ended(self, agent: Agent) -> None:
        """The last agent's end is the swarm's."""
        swarm = self._swarms.get(agent.intent)
        if swarm is None or swarm.over:
            return
        if all(member.ended for member in self._rt.agents.of_intent(agent.intent)):
            self._close(agent.intent, "ended", "its last agent ended")

    def expire(self, intent: bytes) -> None:
        """The time the operator gave is over."""
        if not self._swarms[intent].over:
            self.stop(intent, "expired", "the intent's time is over")

    def stop(self, intent: bytes, state: State, why: str) -> int:
        """Revoke the whole swarm's authority in one durable write, then end cells and agents. Returns how many agents."""
        swarm = self.get(intent)
        if swarm.over:
            return 0
        self._rt.commit(self._rt.grants.revoke(intent), *self._close_changes(intent, state, why))
        self._rt.cells.kill_intent(intent, why)
        count = 0
        for agent in self._rt.agents.of_intent(intent):
            if not agent.ended:
                count += 1
                self._rt.lives.finished(agent, why)
        return count

    def _close(self, intent: bytes, state: State, why: str) -> None:
        self._rt.commit(*self._close_changes(intent, state, why))
        self._rt.cells.kill_intent(intent, why)

    def _close_changes(self, intent: bytes, state: State, why: str) -> list[Change]:
        swarm = self._swarms[intent]
        now = self._rt.clock.wall_ms()
        after = Swarm(
            swarm.intent,
            swarm.document,
            swarm.signature,
            swarm.fingerprint,
            swarm.operator,
            swarm.applied_ms,
            state,
            now,
        )

        def applied() -> None:
            swarm.state, swarm.ended_ms = state, now

        return [
            Change((("put", TABLE, intent, after.encode()),), applied),
            *self._rt.leases.end_intent(intent, why),
            self._rt.book.intent_ended(swarm, state, why),
        ]

    def set_frozen(self, intent: bytes, frozen: bool) -> None:
        """Hold or release the whole swarm: grants say no, agents get no messages."""
        swarm = self.get(intent)
        if swarm.over:
            raise Conflict(f"the swarm is {swarm.state}")
        state: State = "frozen" if frozen else "live"
        change = self._rt.grants.freeze(intent) if frozen else self._rt.grants.unfreeze(intent)
        after = Swarm(
            swarm.intent,
            swarm.document,
            swarm.signature,
            swarm.fingerprint,
            swarm.operator,
            swarm.applied_ms,
            state,
        )

        def applied() -> None:
            swarm.state = state

        self._rt.commit(change, Change((("put", TABLE, intent, after.encode()),), applied))

    def cell_refused(self, agent: Agent, error: QueenrightError) -> None:
        """No cell could be started: the agents wait, a person is told why."""
        self._rt.incident("cell.refused", agent.name, f"{error.message} {error.hint}".strip())
        self._rt.logs.line(agent.id, "runtime", f"no cell can be started: {error.message}")
