"""Putting the supervisor together, in two stages: what works while LOCKED, and everything else once there is a master key.

Locked: the store's clear rows, documents, grants, asks' heads, leases; reading health, denying and revoking. Unlocked:
private rows, the ledger's signature, the vault, actions, cells. Nothing is served before its stage is complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from queenright.authority.asks import Asks
from queenright.authority.grants import Grants
from queenright.authority.intents import Intents
from queenright.authority.leases import Leases
from queenright.authority.timekeeper import SAVE_MS, Timekeeper
from queenright.behaviours import Packages
from queenright.broker.vault import Vault
from queenright.clock import Clock
from queenright.control.hub import Hub
from queenright.control.server import Server
from queenright.control.service import Violation
from queenright.core import SigningKey
from queenright.errors import QueenrightError
from queenright.ledger import Blobs, Evidence, Ledger, Supervisor
from queenright.ledger.export import EVIDENCE
from queenright.paths import Paths
from queenright.store import Change, Store
from queenright.supervisor.acting import Acting
from queenright.supervisor.book import Book
from queenright.supervisor.calls import Calls
from queenright.supervisor.cells import Cells
from queenright.supervisor.documents import Documents
from queenright.supervisor.drills import Drills
from queenright.supervisor.founding import Pinned
from queenright.supervisor.gate import Gate
from queenright.supervisor.identity import Identity
from queenright.supervisor.keyring import Keyring
from queenright.supervisor.launcher import Launcher
from queenright.supervisor.lives import Lives
from queenright.supervisor.logs import Log
from queenright.supervisor.master import MasterKey, Passphrase
from queenright.supervisor.publish import Publisher
from queenright.supervisor.runtime import Runtime
from queenright.supervisor.service import Service
from queenright.supervisor.steps import Steps
from queenright.supervisor.swarms import Swarms
from queenright.supervisor.timers import Timers
from queenright.supervisor.turns import Turns

__all__ = ["Booted", "boot"]

# How often due asks and leases are looked for; their deadlines are also checked whenever they are used.
SWEEP_MS = 250
RUNNING = b"running"  # in "meta" while a supervisor runs: found at a start, the last one was killed


@dataclass(slots=True)
class Booted:
    """A serving supervisor."""

    rt: Runtime
    server: Server
    tasks: list[asyncio.Task[None]]

    async def close(self) -> None:
        """Stop serving, end every process, write the last leaf."""
        rt = self.rt
        rt.closing = True
        await self.server.close()
        if not rt.locked:
            await rt.cells.close()
            await rt.acting.close()
        await rt.stops.close()
        for task in self.tasks:
            task.cancel()
        with contextlib.suppress(QueenrightError):
            rt.commit(rt.book.stopped("down"), Change((("delete", "meta", RUNNING),)))
        if rt.signing is not None:
            rt.signing.cancel()
        rt.ledger.close()
        rt.store.close()


async def boot(
    *,
    paths: Paths,
    pinned: Pinned,
    keyring: Keyring,
    launcher: Launcher,
    log: Log,
    clock: Clock,
    rand: Callable[[int], bytes],
    landlock_abi: int,
    own_cells: int,
    stop: Callable[[], None],
    fatal: Callable[[str], None],
) -> Booted:
    """Open everything under `paths` and serve. Raises QueenrightError for a state that must not be served."""
    store = Store.open(paths.store, None if keyring.locked else keyring.subkey("journal"), rand=rand)
    origin = f"queenright/{pinned.runtime.hex()[:16]}/ledger"
    ledger = Ledger(paths.ledger, store, None, origin, clock)
    rt = Runtime(
        paths=paths,
        clock=clock,
        rand=rand,
        log=log,
        launcher=launcher,
        keyring=keyring,
        store=store,
        ledger=ledger,
        evidence=Evidence(paths.ledger / EVIDENCE),
        runtime_key=pinned.runtime,
        version=version("queenright"),
        landlock_abi=landlock_abi,
        own_cells=own_cells,
        stop=stop,
        fatal=fatal,
    )
    rt.timekeeper = Timekeeper(clock, store)
    rt.documents = Documents(store, paths, pinned, clock)
    rt.documents.load()
    rt.evidence.put(rt.documents.operators_signed.document)
    rt.packages = Packages(paths.behaviours, clock)
    batches = list(rt.births.load())
    rt.agents.load((head.statement.parent, batch, head.own_cell) for head, batch in batches)
    rt.grants = Grants(store, rt.timekeeper.now_ms, rt.agents.name)
    rt.grants.load((batch for _, batch in batches), rt.agents.ended_with)
    del batches  # the ids are in the table and the tree now
    rt.intents = Intents(store, rt.timekeeper.now_ms, pinned.runtime)
    rt.intents.load()
    rt.asks = Asks(store, rt.grants, rt.timekeeper.now_ms, rand, pinned.runtime)
    rt.asks.load()
    rt.leases = Leases(store, rt.grants, rt.timekeeper.now_ms, rand)
    store.commit(rt.leases.load())
    rt.book = Book(ledger, clock, pinned.runtime)
    rt.gate = Gate(rt)
    rt.swarms = Swarms(rt)
    rt.lives = Lives(rt)
    rt.cells = Cells(rt)
    rt.turns = Turns(rt)
    rt.steps = Steps(rt)
    rt.calls = Calls(rt)
    rt.timers = Timers(rt)
    rt.drills = Drills(rt)
    hub = Hub()
    service = Service(rt, os.uname().nodename)
    publisher = Publisher(rt, hub, service)
    rt.on_change = publisher.changed
    rt.on_births = publisher.births
    rt.on_incident = publisher.incident
    rt.logs.on_line = publisher.line
    rt.unlock = lambda master: _unlock(rt, master)
    if not keyring.locked:
        _open_private(rt)

    async def violated(violation: Violation) -> None:
        rt.commit(rt.book.control_refused(violation))

    server = Server(
        paths.socket,
        service=service,
        gate=rt.gate,
        hub=hub,
        runtime=pinned.runtime,
        version=rt.version,
        clock=clock,
        rand=rand,
        violated=violated,
    )
    await server.start()
    tasks = [
        asyncio.create_task(rt.alarms.run(), name="alarms"),
        asyncio.create_task(publisher.run(), name="publisher"),
    ]
    _sweep(rt)
    _keep_time(rt)
    return Booted(rt, server, tasks)


def _unlock(rt: Runtime, master: MasterKey | Passphrase) -> None:
    rt.keyring.unlock(master)
    rt.store.unlock(rt.keyring.subkey("journal"))
    _open_private(rt)


def _open_private(rt: Runtime) -> None:
    """The second stage: keys in hand, read what was sealed, then let the agents go on."""
    keyring = rt.keyring
    runtime = SigningKey.from_seed(keyring.runtime_seed)
    if runtime.public_key != rt.runtime_key:
        raise QueenrightError(
            "the keyring's runtime key is not the one this directory was founded with", hint="restore it"
        )
    rt.ledger.unlock(SigningKey.from_seed(keyring.log_seed))
    rt.identity = Identity(runtime, keyring.subkey("sealing"))
    rt.blobs = Blobs(rt.paths.blobs, keyring.subkey("blob"), rand=rt.rand)
    rt.vault = Vault(rt.store, lambda: keyring.subkey("vault"), rt.clock, rand=rt.rand)
    rt.acting = Acting(rt)
    recovered = rt.store.get("meta", RUNNING) is not None
    rt.locked = False
    rt.commit(
        rt.book.started(rt.version, recovered, rt.landlock_abi, rt.launcher.tier, rt.launcher.memory),
        Change((("put", "meta", RUNNING, b"1"),)),
    )
    rt.mail.load()
    rt.turns.load()
    rt.calls.load()
    rt.timers.load()
    rt.swarms.load()
    rt.drills.clear("the supervisor ended meanwhile")
    rt.acting.recover()
    rt.turns.resume_all()
    rt.alarms.after(0, rt.cells.watch)


def _sweep(rt: Runtime) -> None:
    """End asks and leases whose time is over. No answer is a no."""
    try:
        for head in rt.asks.due():
            after, change = rt.asks.expire(head.id)
            rt.commit(change, rt.book.ask("ask.expired", after, Supervisor()))
            rt.settle(head.id)
        for lease in rt.leases.due():
            rt.commit(
                rt.leases.end(lease.id, "expired"),
                rt.book.lease("lease.ended", lease, "expired", Supervisor()),
            )
            rt.changed("agents", lease.agent)
        for lease in rt.leases.to_clean(16):
            rt.commit(rt.leases.cleaned(lease.id))  # the HTTP broker keeps nothing at a provider
    except QueenrightError as error:
        rt.log.error("sweep.failed", error=error.message)
    rt.alarms.after(SWEEP_MS, lambda: _sweep(rt))


def _keep_time(rt: Runtime) -> None:
    with contextlib.suppress(QueenrightError):
        rt.commit(rt.timekeeper.save())
    rt.alarms.after(SAVE_MS, lambda: _keep_time(rt))
