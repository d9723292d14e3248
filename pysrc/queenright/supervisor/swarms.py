"""Swarms: an applied intent and everything that lives under it, from apply to the last agent's end."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from queenright.authority.intent import Intent
from queenright.authority.intents import IntentState, Standing
from queenright.authority.reach import reach
from queenright.behaviours import BehaviourClass, Package
from queenright.errors import Conflict, NotEntitled, QueenrightError, Unknown
from queenright.ledger.entry import Kind, Operator, Supervisor
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.stops import Order, Point

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Ending", "Swarms"]


@dataclass(frozen=True, slots=True)
class Ending:
    """A swarm that ends: how many agents, where the order stands, what has to obey, and what writes down each agent's end."""

    count: int
    leaf: int
    points: list[Point]
    burying: Coroutine[Any, Any, None]


class Swarms:
    """What happens to whole swarms."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    def load(self) -> None:
        for standing in self._rt.intents:
            if standing.state in ("live", "frozen"):
                self._begin(standing.intent)
            elif self._rt.agents.table.intent_counts(standing.intent.id)[0]:
                # The last supervisor died between the end of the swarm and that of its last agent.
                self._rt.stops.also(self._bury(standing.intent.id, f"the swarm was {standing.state}"))

    def _begin(self, intent: Intent) -> None:
        self._rt.reach.set_intent(intent.id, reach(intent).allows)
        self._rt.alarms.at_wall(intent.not_after, lambda: self.expire(intent.id))

    def live(self) -> list[Standing]:
        now = self._rt.clock.wall_ms()
        return [standing for standing in self._rt.intents if standing.state_at(now) in ("live", "frozen")]

    # --- applying -------------------------------------------------------------------------------------------------

    def apply(self, document: bytes, signature: str, spawner: str) -> Standing:
        """Check a signed intent, found its swarm, give birth to its first agent: one commit. Raises as `Intents.verify`."""
        rt = self._rt
        operators = rt.documents.operators
        packages = self._installed(document)
        intent, _ = rt.intents.verify(document, signature, operators, packages)
        package = self.package(intent, intent.start)
        founded = rt.grants.found(intent)
        try:
            first, born = rt.lives.first(intent, package.digest)
            standing, applied = rt.intents.apply(document, signature, operators, packages, spawner, first)
        except QueenrightError:
            founded.refused()
            raise
        rt.commit(applied, founded, rt.book.intent_applied(standing, "intent.applied"), *born)
        self._begin(intent)
        rt.changed("agents", first)
        rt.turns.pump(first)
        return standing

    def amend(self, document: bytes, signature: str) -> Standing:
        """The next revision of an intent, in force at once for grants, reach and deadline."""
        rt = self._rt
        after, change = rt.intents.amend(
            document, signature, rt.documents.operators, self._installed(document)
        )
        first = after.first if after.first is not None and not rt.agents.get(after.first).ended else None
        rt.commit(
            change, rt.grants.amend(after.intent, first), rt.book.intent_applied(after, "intent.amended")
        )
        self._begin(after.intent)
        for cell in rt.cells.of_intent(after.intent.id):
            if cell.begun:  # otherwise it is told at its start
                rt.cells.tell_talk(cell)
        return after

    def _installed(self, document: bytes) -> dict[str, bytes]:
        """Of the packages this document pins, those that are installed: an older version counts as long as it is here."""
        found = {}
        for name, pinned in Intent.decode(document).packages.items():
            with contextlib.suppress(Unknown):
                if self._rt.packages.get(pinned).name == name:
                    found[name] = pinned
        return found

    # --- what a package's manifest says ---------------------------------------------------------------------------

    def package(self, intent: Intent, behaviour: str) -> Package:
        """The pinned package that has this behaviour. Raises Unknown."""
        name, _, cls = behaviour.partition(".")
        pinned = intent.packages.get(name)
        if pinned is None:
            raise Unknown(f"the intent pins no package `{name[:64]}`")
        package = self._rt.packages.get(pinned)
        if cls not in package.classes:
            known = ", ".join(sorted(package.classes))
            raise Unknown(
                f"package `{package.name}` has no behaviour `{cls[:64]}`", hint=f"its manifest lists {known}"
            )
        return package

    def check_behaviour(self, intent: bytes, behaviour: str, package: bytes) -> None:
        """A child's code must be a package the intent pins. Raises NotEntitled or Unknown."""
        standing = self._rt.intents.get(intent)
        state = standing.state_at(self._rt.clock.wall_ms())
        if state != "live":
            raise NotEntitled(f"the swarm is {state}: nobody is born in it")
        if self.package(standing.intent, behaviour).digest != package:
            raise NotEntitled(
                f"the intent pins another package for the behaviour `{behaviour[:64]}`",
                hint="new code needs an amendment that names its digest",
            )

    def manifest(self, package: bytes, behaviour: str) -> BehaviourClass:
        """What the package's manifest says of one class."""
        return self._rt.packages.get(package).classes[behaviour.partition(".")[2]]

    # --- ending ---------------------------------------------------------------------------------------------------

    def end_authority(self, agent: Agent, why: str) -> list[Change]:
        """What an ended agent held: its grant, its leases, its open asks."""
        rt = self._rt
        changes = [rt.grants.end(agent.id)]
        for lease in rt.leases.of_agent(agent.id):
            changes += [
                rt.leases.end(lease.id, "released"),
                rt.book.lease("lease.ended", lease, why, Supervisor()),
            ]
        for head in rt.asks.of_agents(frozenset({agent.id})):
            changes += [rt.asks.void(head.id, why), rt.book.ask("ask.void", head, Supervisor())]
        return changes

    def agent_ended(self, agent: Agent) -> None:
        """The last agent's end is the swarm's."""
        if self._rt.intents.get(agent.intent).state not in ("live", "frozen"):
            return
        if self._rt.agents.table.intent_counts(agent.intent)[0] == 0:
            self._close(agent.intent, "ended", "intent.ended", "its last agent ended", Supervisor())

    def expire(self, intent: bytes) -> None:
        """The time the operator gave is over. An amendment may have given more meanwhile."""
        standing = self._rt.intents.get(intent)
        if standing.state in ("live", "frozen") and standing.state_at(self._rt.clock.wall_ms()) == "expired":
            at = self._rt.clock.boot_ms()
            why = "the intent's time is over"
            ending = self.stop(intent, "ended", "intent.ended", why, Supervisor())
            order = Order("expire", Supervisor(), ending.leaf, at, intent=intent)
            self._rt.stops.follow_unasked(order, ending.points, ending.burying)

    def stop(
        self, intent: bytes, state: IntentState, kind: Kind, why: str, actor: Operator | Supervisor
    ) -> Ending:
        """End a swarm: its authority in one durable write, then its cells, commands and acts, then its agents. From here on none
        of them runs."""
        rt = self._rt
        if rt.intents.get(intent).state not in ("live", "frozen"):
            return Ending(0, rt.ledger.size - 1, [], rt.lives.bury([], why))
        count = rt.agents.table.intent_counts(intent)[0]
        leaf, points = self._close(intent, state, kind, why, actor)
        return Ending(count, leaf, points, self._bury(intent, why))

    def _inside(self, intent: bytes) -> list[Agent]:
        """Everybody of the swarm who is in a cell."""
        cells = self._rt.cells.of_intent(intent)
        return [self._rt.agents.get(agent) for cell in cells for agent in cell.agents]

    async def _bury(self, intent: bytes, why: str) -> None:
        """Write down the end of every agent of a swarm that is over, those that never did anything a batch at a time."""
        table = self._rt.agents.table
        try:
            self._rt.lives.end_sleepers(table.batches_of_intent(intent), why)
        except QueenrightError as error:
            self._rt.incident("agents.not_buried", "supervisor", f"{error.message}; the next start ends them")
            return
        await self._rt.lives.bury(table.of_intent(intent, True), why)

    def _close(
        self, intent: bytes, state: IntentState, kind: Kind, why: str, actor: Operator | Supervisor
    ) -> tuple[int, list[Point]]:
        rt = self._rt
        receipt = rt.commit(
            rt.grants.revoke(intent),
            rt.intents.set_state(intent, state),
            rt.book.intent_state(kind, intent, why, actor),
        )
        with rt.launcher.together():
            points = [*rt.cut(rt.agents.table.woken(intent), why), *rt.cells.kill_intent(intent, why)]
        return receipt.first_leaf, points + rt.cells.evict_all(self._inside(intent))

    def set_frozen(self, intent: bytes, frozen: bool, why: str, actor: Operator | Supervisor) -> list[Point]:
        """Hold or release a whole swarm: grants deny, agents get no messages, its cells and commands end. What has to obey."""
        rt = self._rt
        standing = rt.intents.get(intent)
        if standing.state not in ("live", "frozen"):
            raise Conflict(f"the swarm is {standing.state}")
        kind: Kind = "intent.frozen" if frozen else "intent.unfrozen"
        rt.commit(
            rt.grants.freeze(intent) if frozen else rt.grants.unfreeze(intent),
            rt.intents.set_state(intent, "frozen" if frozen else "live"),
            rt.book.intent_state(kind, intent, why, actor),
        )
        if not frozen:
            rt.turns.pump_waiting(intent)
            return []
        with rt.launcher.together():
            points = rt.cut(rt.agents.table.woken(intent), why, hold=True)
            points += rt.cells.kill_intent(intent, why)
        return points + rt.cells.evict_all(self._inside(intent))

    def may_run(self, intent: bytes) -> bool:
        """Whether the swarm is neither held nor over."""
        return self._rt.intents.get(intent).state == "live"

    def cell_refused(self, agent: Agent, error: QueenrightError) -> None:
        """No cell could be started: the agents wait, a person is told why."""
        self._rt.incident("cell.refused", agent.name, f"{error.message} {error.hint}".strip())
        self._rt.logs.line(agent.id, "runtime", f"no cell can be started: {error.message}")
