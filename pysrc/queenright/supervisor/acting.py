"""The supervisor's side of actions: builds the engine from the runtime's parts and says what screens ask
of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queenright.actions.act import ActRequest
from queenright.actions.engine import Engine
from queenright.actions.executors import Executors
from queenright.actions.parts import Parts
from queenright.actions.registry import VERBS, find_manifest
from queenright.actions.resources import Resource
from queenright.actions.undo import Undo
from queenright.broker.secret import Secrets
from queenright.control.protocol import ActionRow
from queenright.errors import QueenrightError
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.commands import Commands
from queenright.supervisor.launcher import Sandbox, ServiceProcess
from queenright.supervisor.sandbox_spec import SLOTS, executor_spec
from queenright.wire.ids import full
from queenright.workspace.workspaces import Workspaces

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Acting", "Card"]

FLUSH_MS = 10_000
"""How often the leaves of minutes that are over are looked for."""

OBSERVE_MS = 60_000
"""How often releases and configs are looked at, so that a restore knows what was there before."""

SLOT = "workspace.slot"


@dataclass(frozen=True, slots=True)
class Card:
    """What an ask's card shows besides its bytes; made by the supervisor's adapter, never by an agent."""

    effect: str
    diff: str
    undo: str


class Acting:
    """The engine, its undo, and their timers."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        for folder in (rt.paths.versions, rt.paths.workspaces):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.workspaces = Workspaces(rt.paths.workspaces, give=self._give)
        commands = Commands(rt.launcher, self.workspaces, self.slot)
        parts = Parts(
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
            executors=Executors(self._spawn, self._stderr),
            workspaces=self.workspaces,
            keep=rt.paths.versions,
            start_service=self._start_service,
            run_command=commands.run,
        )
        self.engine = Engine(parts)
        self.undo = Undo(self.engine, rt.rand)
        self._looking: asyncio.Task[None] | None = None

    def recover(self) -> None:
        """Read the acts; what was in progress when the last supervisor died is UNKNOWN, and a person is
        told.
        """
        for row in self.engine.recover():
            text = (
                f"{row.verb} on {row.resource} was in progress when the supervisor died: look at the target"
            )
            self._rt.incident("action.unknown", full("act", row.id), text)
        self._flush()
        self._rt.alarms.after(0, self._observe)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self.engine.close()

    # ---- what agents and screens ask ----

    def request(self, agent: Agent, turn: int, ordinal: int, request: dict[str, Any]) -> ActRequest:
        """A step's act, with who asks as the supervisor knows it."""
        return ActRequest(
            agent=agent.id,
            agent_name=agent.name,
            incarnation=agent.incarnation,
            cell=agent.cell or "none",
            shared=not agent.own_cell,
            intent=agent.intent,
            grant=agent.id,
            turn=turn,
            ordinal=ordinal,
            verb=request["verb"],
            resource=request["resource"],
            args=request["args"],
            reason=request["reason"],
        )

    def card(self, ask: bytes) -> Card:
        """Empty texts for an ask that no act raised."""
        shown = self.engine.acts.shown(ask)
        effect, _, diff = shown["effect"].partition("\n")
        return Card(effect, diff, shown["undo"])

    def irreversible(self, verb: str) -> bool:
        """Is the verb's class `none`? An unknown verb counts as that."""
        return verb not in VERBS or find_manifest(verb).klass == "none"

    def rows(self, agent: bytes) -> list[ActionRow]:
        """An agent's acts, newest first."""
        mine = [row for row in reversed(self.engine.acts.all()) if row.agent == agent and not row.undo_of]
        return [
            {
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
            for row in mine[:200]
        ]

    def acts(self) -> Iterable[bytes]:
        return (row.id for row in self.engine.acts.all())

    # ---- what the engine asks ----

    async def _spawn(self, read: Sequence[str], write: Sequence[str], fds: Sequence[int]) -> Sandbox:
        spec = executor_spec(module="queenright.actions.executor", read=tuple(read), write=tuple(write))
        return await self._rt.launcher.spawn(spec, tuple(fds))

    def _stderr(self) -> int:
        path = self._rt.paths.logs / "executors.log"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    async def _start_service(self, resource: Resource) -> ServiceProcess:
        """Exactly what the owner mapped; nothing of it comes from an executor."""
        return await self._rt.launcher.start_service(
            argv=resource.start,
            env=resource.env,
            cwd=resource.cwd,
            output=resource.output,
            pidfile=resource.pidfile,
        )

    def slot(self, agent: bytes) -> int:
        """The agent's kernel uid slot, its own for good. Cells take theirs from the lower half."""
        stored = self._rt.store.get(SLOT, agent)
        if stored is None:
            number = self._rt.store.counter(SLOT, b"next")
            stored = number.to_bytes(8, "big")
            self._rt.commit(Change((("count", SLOT, b"next", 1, 2**63), ("insert", SLOT, agent, stored))))
        return SLOTS // 2 + int.from_bytes(stored, "big") % (SLOTS // 2)

    def _give(self, path: Path, agent: bytes) -> None:
        self._rt.launcher.give(path, self.slot(agent))

    # ---- timers ----

    def _flush(self) -> None:
        try:
            self.engine.flush()
        except QueenrightError as error:
            self._rt.log.error("actions.flush", error=error.message)
        self._rt.alarms.after(FLUSH_MS, self._flush)

    def _observe(self) -> None:
        self._rt.alarms.after(OBSERVE_MS, self._observe)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="observe")

    async def _look(self) -> None:
        try:
            await self.engine.observe()
        except (QueenrightError, OSError) as error:
            self._rt.log.error("actions.observe", error=str(error))
