"""The engine of actions, put to work: its processes, its commands, its rows for the screen.

Executors and commands are started by the launcher; a service that an action starts belongs to the host. An agent's
workspace and its commands run under a kernel uid of their own where the supervisor is root.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queenright.actions.act import ActRequest
from queenright.actions.egress import EGRESS
from queenright.actions.engine import Engine
from queenright.actions.executors import Executors, Process
from queenright.actions.hands import Cut
from queenright.actions.parts import Parts
from queenright.actions.record import ActRow
from queenright.actions.registry import find_manifest
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.restore import RESTORE, Restore
from queenright.actions.undo import Undo
from queenright.broker.secret import Secrets
from queenright.control.protocol import ActionRow
from queenright.errors import Denied, QueenrightError
from queenright.ledger import Supervisor
from queenright.ledger.entry import Entry, Scalar
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.commands import Command, Commands
from queenright.supervisor.egress import Egress, Exchange
from queenright.supervisor.launcher import ServiceProcess
from queenright.supervisor.openings import Openings
from queenright.supervisor.sandbox_spec import executor_spec
from queenright.supervisor.stops import Point
from queenright.wire.ids import full
from queenright.workspace import Workspaces
from queenright.workspace.versions import has_proposals

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Acting", "Card"]

EXECUTOR = "queenright.actions.executor"
FLUSH_MS = 60_000
OBSERVE_MS = 30_000
COLLECT_MS = 60 * 60_000
KEPT_MS = 30 * 24 * 60 * 60_000
"""How long the workspace of an ended agent and its versions are kept, to look at and to put back."""
_SLOTS = "agent.slot"
_COUNTER = b"slot"


@dataclass(frozen=True, slots=True)
class Card:
    """What an ask's card shows beside the canonical bytes."""

    effect: str
    diff: str
    undo: str


class Acting:
    """Actions of agents, from request to row."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.workspaces = Workspaces(rt.paths.workspaces, give=self._give)
        self.executors = Executors(self._spawn)
        self.egress = Egress(
            lambda: self.engine.requests, self._connecting, Openings(rt.paths.run), rt.clock, rt.log.error
        )
        self.commands = Commands(rt.launcher, self.executors, self._slot, self.egress, self._held)
        self.engine = Engine(
            Parts(
                commit=rt.commit,
                store=rt.store,
                clock=rt.clock,
                ledger=rt.ledger,
                blobs=rt.blobs,
                grants=rt.grants,
                asks=rt.asks,
                leases=rt.leases,
                standing=rt.intents.get,
                policy=rt.documents,
                secrets=Secrets({"vault": rt.vault}),
                executors=self.executors,
                workspaces=self.workspaces,
                versions=rt.paths.versions,
                start_service=self._start_service,
                run_command=self.commands.run,
                held=self._held,
            )
        )
        self.undo = Undo(self.engine, rt.rand)
        self.restore = Restore(self.engine, rt.rand)
        self._observing: asyncio.Task[None] | None = None
        self._collecting: asyncio.Task[None] | None = None

    def recover(self) -> None:
        """Read every act; one that was under way when the last supervisor died is UNKNOWN, and a person is told."""
        for row in self.engine.recover():
            self._rt.incident(
                "action.unknown", row.verb, f"{row.verb} on {row.resource}: nobody saw how it ended"
            )
        self._flush()
        self._observe()
        self._rt.alarms.after(COLLECT_MS, self._collect)

    def _flush(self) -> None:
        with contextlib.suppress(QueenrightError):
            self.engine.flush()
        self._rt.alarms.after(FLUSH_MS, self._flush)

    def _observe(self) -> None:
        """What releases and configs are now is what a later act calls "previous"."""
        if self._observing is None or self._observing.done():
            self.observe_now()
        self._rt.alarms.after(OBSERVE_MS, self._observe)

    def _collect(self) -> None:
        """Contents that no version refers to any more go; what is being committed meanwhile is left for the next time."""
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.create_task(self._collected(), name="collect contents")
        self._rt.alarms.after(COLLECT_MS, self._collect)

    async def _collected(self) -> None:
        agents = self.workspaces.agents()
        for agent in agents:
            with contextlib.suppress(QueenrightError):
                await self._tidy(agent)
        if not agents:
            return
        with contextlib.suppress(QueenrightError):
            await self.engine.hands.keep(agents[0], "collect")

    async def _tidy(self, agent: bytes) -> None:
        """Drop what was shown for acts that no person can release any more, and all of who ended long ago."""
        now = self._rt.clock.wall_ms()
        found = self._rt.agents.get(agent)
        if found.ended and now >= found.ended_ms + KEPT_MS:
            facts: dict[str, Scalar] = {"agent": full("agent", agent), "ended_ms": found.ended_ms}
            self._rt.commit(
                self._rt.ledger.entry(
                    Entry("workspace.removed", now, Supervisor(), intent=found.intent, facts=facts)
                )
            )
            await self.engine.remove_workspace(agent)
        elif has_proposals(self._rt.paths.versions, agent):
            await self.engine.hands.keep(agent, "drop_old", keep=self.engine.waiting(agent), before_ms=now)

    def observe_now(self) -> None:
        """Look at once: at the start, in turn, and when an owner changed the map of resources."""
        if self._observing is not None:
            self._observing.cancel()
        self._observing = asyncio.create_task(self.engine.observe(), name="observe resources")

    async def close(self) -> None:
        if self._observing is not None:
            self._observing.cancel()
        if self._collecting is not None:
            self._collecting.cancel()
        self.end_all("it was ended with the supervisor")
        await self.engine.close()
        self.egress.close()

    def cut(self, agents: Iterable[bytes], why: str, *, hold: bool = False) -> list[Point]:
        """What these agents have in progress outside their cells ends now: the one place that reaches all of it. `hold`: their
        authority stays, so an act in its effect goes on to its end.
        """
        family = frozenset(agents)
        commands = self.commands.cut(family, f"it was cut off: {why}")
        acts = self.engine.cut(family, why, hold=hold)
        return self._points(commands, acts, self.egress.cut(family), why)

    def cut_lease(self, agent: bytes, lease: bytes, why: str) -> list[Point]:
        """The act, or the connections, that work with this lease's credential end now."""
        connections = self.egress.cut_lease(lease)
        return self._points([], self.engine.cut(frozenset({agent}), why, lease=lease), connections, why)

    def end_all(self, why: str) -> list[Point]:
        """Every command, executor and connection ends now, with the supervisor."""
        commands, acts = self.commands.cut(None, why), self.engine.hands.cut(None, f"was ended: {why}")
        return self._points(commands, acts, self.egress.cut(None), why)

    def _points(
        self, commands: list[Command], acts: list[Cut], connections: list[Exchange], why: str
    ) -> list[Point]:
        points = [self._command_point(command) for command in commands]
        running = {command.agent for command in commands}
        for act in acts:
            # The executor of a command that runs says how the act ended once the command is gone: the command is the point.
            if not (act.left and act.session.asked == "command" and act.agent in running):
                points.append(self._act_point(act, why))
        return points + [self._connection_point(exchange) for exchange in connections]

    def _command_point(self, command: Command) -> Point:
        pid = f", pid {command.sandbox.pid}" if command.sandbox is not None else ""
        name = f"command of {self._rt.agents.name(command.agent)}{pid}"
        return Point("command", name, command.gone, command.kill)

    def _connection_point(self, exchange: Exchange) -> Point:
        async def gone() -> int:
            await exchange.over.wait()
            return 0

        def again() -> None:
            self.egress.cut(frozenset({request.agent}))

        request = exchange.request
        name = f"{request.verb} on {request.resource} by {self._rt.agents.name(request.agent)}"
        return Point("connection", name, gone, again)

    def _act_point(self, act: Cut, why: str) -> Point:
        async def gone() -> int:
            await act.session.gone()
            return 1

        name = f"{act.what} by {self._rt.agents.name(act.agent)}"
        return Point("act", name, gone, lambda: act.session.kill(why), unknown=act.unknown, left=act.left)

    def _held(self, agent: bytes) -> str:
        """Why nothing of the agent may begin now, or "". Who is not an agent (an operator's restore) is not held."""
        found = self._rt.agents.find(agent)
        if found is None or self._rt.may_run(found):
            return ""
        if self._rt.closing:
            return "the supervisor goes down"
        return f"its agent is {'frozen' if found.runnable else found.status}"

    # --- processes --------------------------------------------------------------------------------------------------

    async def _spawn(self, read: Sequence[str], write: Sequence[str], fds: Sequence[int]) -> Process:
        spec = executor_spec(module=EXECUTOR, read=read, write=write, descriptors=range(4, len(fds)))
        return await self._rt.launcher.spawn(spec, list(fds))

    async def _start_service(self, resource: Resource) -> ServiceProcess:
        return await self._rt.launcher.start_service(
            argv=resource.start,
            env=resource.env,
            cwd=resource.cwd,
            output=resource.output,
            pidfile=resource.pidfile,
        )

    def _slot(self, agent: bytes) -> int:
        """The agent's own number, given once."""
        kept = self._rt.store.get(_SLOTS, agent)
        if kept is not None:
            return int.from_bytes(kept, "big")
        slot = 2 * (self._rt.store.counter("meta", _COUNTER) + 1)
        self._rt.commit(
            Change(
                (("count", "meta", _COUNTER, 1, 2**62), ("insert", _SLOTS, agent, slot.to_bytes(8, "big")))
            )
        )
        return slot

    def _give(self, path: Path, agent: bytes) -> None:
        """A new workspace belongs to its agent's kernel uid."""
        self._rt.launcher.give(path, self._slot(agent))

    # --- what the rest of the supervisor asks -------------------------------------------------------------------------

    def request(self, agent: Agent, turn: int, ordinal: int, request: Mapping[str, Any]) -> ActRequest:
        """An act step as the engine takes it. A grant has its agent's id."""
        cell = self._rt.cells.of(agent)
        return ActRequest(
            agent=agent.id,
            agent_name=agent.name,
            incarnation=agent.incarnation,
            cell=agent.cell or "none",
            shared=cell.shared if cell is not None else not agent.own_cell,
            intent=agent.intent,
            grant=agent.id,
            turn=turn,
            ordinal=ordinal,
            verb=request["verb"],
            resource=request["resource"],
            args=request["args"],
            reason=request["reason"],
        )

    def _connecting(self, agent: bytes) -> ActRequest:
        """Whom the connections of an agent's command are attributed to."""
        facts = {"verb": "shell.run", "resource": OWN_WORKSPACE, "args": {}, "reason": ""}
        return self.request(self._rt.agents.get(agent), 0, 0, facts)

    def restoring(self, agent: Agent, version: int) -> ActRequest:
        """An operator's restore of an agent's workspace, as the engine takes it."""
        request = {"verb": RESTORE, "resource": OWN_WORKSPACE, "args": {"version": version}, "reason": ""}
        return self.request(agent, 0, 0, request)

    def card(self, ask: bytes) -> Card:
        shown = self.engine.acts.shown(ask)
        return Card(shown["effect"], shown["diff"], shown["undo"])

    def irreversible(self, verb: str) -> bool:
        """Whether the verb's own manifest says that nothing undoes it."""
        if verb in EGRESS:
            return EGRESS[verb].klass == "none"
        try:
            return find_manifest(verb).klass == "none"
        except Denied:
            return True

    def acts(self) -> Iterable[bytes]:
        return (row.id for row in self.engine.acts.all())

    def rows(self, agent: bytes) -> list[ActionRow]:
        """The agent's acts, newest first."""
        return [self._row(row) for row in reversed(self.engine.acts.all()) if row.agent == agent][:50]

    def _row(self, row: ActRow) -> ActionRow:
        return {
            "id": full("act", row.id),
            "leaf": self.engine.acts.leaf_of(row),
            "at_ms": row.started_ms,
            "agent": full("agent", row.agent),
            "verb": row.verb,
            "resource": row.resource,
            "reversibility": row.klass,
            "outcome": "undone" if row.undone_by else row.state,
            "undo": self.engine.acts.shown(row.id)["undo"],
        }
