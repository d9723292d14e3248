"""An engine over the real store, ledger, grants, asks, leases and vault; executors are plain subprocesses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import authority_world
from authority_world import World, agent_id

from queenright.actions.act import ActRequest
from queenright.actions.engine import Engine
from queenright.actions.executors import Executors
from queenright.actions.parts import Parts
from queenright.actions.process import start_time
from queenright.actions.resources import OWN_WORKSPACE, Resource, ResourceMap
from queenright.actions.resources_toml import compile_resources
from queenright.actions.undo import Undo
from queenright.actions.world import Place
from queenright.authority.operators import Operators
from queenright.authority.verdict import make_verdict
from queenright.broker.secret import Secrets
from queenright.broker.vault import Vault
from queenright.core import SigningKey, canonical, digest
from queenright.ledger import Blobs, Entry, Ledger
from queenright.ledger import leaf as leaves
from queenright.ledger.entry import Operator
from queenright.store import Change, Receipt
from queenright.supervisor.commands import Commands
from queenright.supervisor.egress import Egress
from queenright.supervisor.launcher import Launcher
from queenright.supervisor.openings import Openings
from queenright.workspace.workspaces import Workspaces

TOKEN = b"canary-token-5f0c2b7e91"
PERSON = Operator("SHA256:ana", "ana")


class Child:
    """A subprocess with the face of a sandbox."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()

    async def wait(self) -> int:
        return await asyncio.to_thread(self.process.wait)


@dataclass(frozen=True)
class Started:
    pid: int
    start_time: int


class Signed:
    """The policy in force, as an owner would have signed it."""

    def __init__(self, resources: ResourceMap, operators: Operators) -> None:
        self.resources = resources
        self.operators = operators

    @property
    def policy_revision(self) -> bytes:
        return digest("policy", canonical([self.operators.digest, self.resources.digest]))


class ActingWorld:
    """`rules`: the intent's clauses. `resources`: the text of resources.toml. One agent, `agent_id(0)`."""

    def __init__(self, base: Path, rules: str, resources: str = "") -> None:
        self.base = base
        self.spawned: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.commands: list[str] = []
        self.failures: list[str] = []
        self.services: list[subprocess.Popen[bytes]] = []
        self.env = dict(os.environ)
        self.authority = World(base / "store")
        self.clock = self.authority.clock
        self.standing = self.authority.apply(authority_world.HEAD + rules)
        self.policy = Signed(compile_resources(resources), self.authority.operators)
        (base / "versions").mkdir(mode=0o700)
        self.launcher = Launcher.start()
        self._open()
        self.store.commit(self.vault.set("shop-admin", TOKEN))

    def _open(self) -> None:
        authority = self.authority
        self.store = authority.store
        self.ledger = Ledger(
            self.base / "ledger", self.store, SigningKey.from_seed(bytes(32)), "test/ledger", self.clock
        )
        self.blobs = Blobs(self.base / "blobs", bytes([3]) * 32)
        self.vault = Vault(self.store, lambda: bytes([4]) * 32, self.clock)
        self.executors = Executors(self._spawn, lambda: os.dup(2))
        parts = Parts(
            commit=self.commit,
            store=self.store,
            clock=self.clock,
            ledger=self.ledger,
            blobs=self.blobs,
            grants=authority.grants,
            asks=authority.asks,
            leases=authority.leases,
            standing=authority.intents.get,
            policy=self.policy,
            secrets=Secrets({"vault": self.vault}),
            executors=self.executors,
            workspaces=Workspaces(self.base / "workspaces", give=lambda path, _: self.launcher.give(path, 2)),
            versions=self.base / "versions",
            start_service=self._start_service,
            run_command=self._run_command,
        )
        self.engine = Engine(parts)
        who = self.request("shell.run", OWN_WORKSPACE)
        openings = Openings(self.base)
        self.egress = Egress(lambda: self.engine.requests, lambda _: who, openings, self.clock, self._failed)
        self.running = Commands(self.launcher, self.executors, lambda _: 2, self.egress)
        self.undo = Undo(self.engine)

    def commit(self, *changes: Change) -> Receipt:
        receipt = self.store.commit(*changes)
        if receipt.leaves:
            self.ledger.flush()
        return receipt

    def restart(self) -> list[Any]:
        """As after kill -9: nothing but the disk is left. What recovery found lost."""
        self.ledger.close()
        self.authority.restart()
        self._open()
        return self.engine.recover()

    async def close(self) -> None:
        await self.engine.close()
        self.egress.close()
        for service in self.services:
            service.kill()
            service.wait()
        self.ledger.close()
        self.store.close()
        self.launcher.close()

    # ---- what the supervisor would do ----

    async def _spawn(self, read: Sequence[str], write: Sequence[str], fds: Sequence[int]) -> Child:
        self.spawned.append((tuple(read), tuple(write)))
        for path in (*read, *write):
            assert os.path.exists(path), f"the launcher would refuse {path}"
        return Child(
            await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, "-c", _BOOT.format(fd=fds[3], upper=fds[4] if len(fds) > 4 else -1)],
                stdin=fds[0],
                stdout=fds[1],
                stderr=fds[2],
                pass_fds=fds[3:],
                env=self.env,
            )
        )

    async def _run_command(self, place: Place, command: str, timeout_ms: int, keep: bool) -> dict[str, Any]:
        self.commands.append(command)
        return await self.running.run(place, command, timeout_ms, keep)

    async def _start_service(self, resource: Resource) -> Started:
        service = subprocess.Popen(resource.start, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.services.append(service)
        Path(resource.pidfile).write_text(f"{service.pid}\n")
        began = start_time(service.pid)
        assert began is not None
        return Started(service.pid, began)

    def _failed(self, event: str, **facts: Any) -> None:
        self.failures.append(f"{event} {facts}")

    # ---- what tests do ----

    def request(
        self, verb: str, resource: str, *, ordinal: int = 0, turn: int = 1, reason: str = "", **args: Any
    ) -> ActRequest:
        return ActRequest(
            agent=agent_id(0),
            agent_name="sre/watcher",
            incarnation=1,
            cell="cell-1",
            shared=False,
            intent=self.standing.intent.id,
            grant=agent_id(0),
            turn=turn,
            ordinal=ordinal,
            verb=verb,
            resource=resource,
            args=args,
            reason=reason,
        )

    async def act(self, verb: str, resource: str, **more: Any) -> Any:
        return await self.engine.perform(self.request(verb, resource, **more))

    def answer(self, ask: bytes, answer: Any = "once", **facts: Any) -> None:
        """A person signs."""
        document, reason = self.authority.asks.document(ask)
        verdict = make_verdict(
            authority_world.RUNTIME, [(document, reason)], answer, rand=self.authority.random, **facts
        )
        self.authority.decide(verdict)

    def entries(self, kind: str = "") -> list[Entry]:
        """The ledger's leaves, oldest first; with `kind`, those whose kind begins so."""
        found = [leaves.decode(self.ledger.leaf(index)) for index in range(self.ledger.size)]
        return [entry for entry in found if entry.kind.startswith(kind)]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries()]


_BOOT = """
import os, socket, sys
from queenright.actions.executor import serve
link = socket.socket(fileno=os.dup({fd}))
if {upper} >= 0:
    os.dup2({upper}, 4)
with link:
    serve(link)
"""
