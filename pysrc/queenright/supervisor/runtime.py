"""What the parts of the supervisor share: one object that holds them, the one way to commit, and who is told of changes.

The parts know each other through here and nowhere else; each part's rules are in its own file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queenright.clock import Clock
from queenright.errors import LedgerUnwritable
from queenright.ledger.log import SIGN_EVERY_MS
from queenright.store import Change, Receipt, Store
from queenright.supervisor.agents import Agent, Agents
from queenright.supervisor.alarms import Alarms
from queenright.supervisor.births import Births
from queenright.supervisor.logs import AgentLogs, Log
from queenright.supervisor.mail import Mail
from queenright.supervisor.meters import Meters
from queenright.supervisor.post import Post
from queenright.supervisor.reach import Reach
from queenright.supervisor.stops import Point, Stops
from queenright.supervisor.volatile import VolatileMail
from queenright.wire import page

if TYPE_CHECKING:
    from queenright.authority.asks import Asks
    from queenright.authority.grants import Grants
    from queenright.authority.intents import Intents
    from queenright.authority.leases import Leases
    from queenright.authority.timekeeper import Timekeeper
    from queenright.behaviours import Packages
    from queenright.broker.vault import Vault
    from queenright.ledger import Blobs, Evidence, Ledger
    from queenright.paths import Paths
    from queenright.supervisor.acting import Acting
    from queenright.supervisor.book import Book
    from queenright.supervisor.calls import Calls
    from queenright.supervisor.cell_process import CellProcess
    from queenright.supervisor.cells import Cells
    from queenright.supervisor.documents import Documents
    from queenright.supervisor.drills import Drills
    from queenright.supervisor.gate import Gate
    from queenright.supervisor.identity import Identity
    from queenright.supervisor.keyring import Keyring
    from queenright.supervisor.launcher import Launcher
    from queenright.supervisor.lives import Lives
    from queenright.supervisor.master import MasterKey, Passphrase
    from queenright.supervisor.steps import Steps
    from queenright.supervisor.swarms import Swarms
    from queenright.supervisor.timers import Timers
    from queenright.supervisor.turns import Turns

__all__ = ["Incident", "Runtime"]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something a person should see."""

    at_ms: int
    kind: str
    subject: str
    text: str


@dataclass(slots=True, eq=False)
class Runtime:
    """The supervisor's parts. Built by `boot`, in the order in which they need each other."""

    paths: Paths
    clock: Clock
    rand: Callable[[int], bytes]
    log: Log
    launcher: Launcher
    keyring: Keyring
    store: Store
    ledger: Ledger
    evidence: Evidence
    runtime_key: bytes
    version: str
    landlock_abi: int
    own_cells: int  # agents with a cell of their own that have one at the same time
    locked: bool = True
    stopped: bool = False  # an operator stopped everything: nothing new begins until the next start
    closing: bool = False  # the supervisor goes down: nothing begins any more
    stop: Callable[[], None] = lambda: None
    fatal: Callable[[str], None] = lambda why: None
    on_change: Callable[[str, bytes], None] = lambda topic, subject: None
    on_births: Callable[[Callable[[], list[bytes]]], None] = lambda ids: None
    on_incident: Callable[[Incident], None] = lambda incident: None
    copies: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)
    started_boot: int = field(init=False)
    alarms: Alarms = field(init=False)
    births: Births = field(init=False)
    agents: Agents = field(init=False)
    mail: Mail = field(init=False)
    reach: Reach = field(init=False)
    post: Post = field(init=False)
    volatile: VolatileMail = field(init=False)
    logs: AgentLogs = field(init=False)
    meters: Meters = field(init=False)
    stops: Stops = field(init=False)
    # set by `boot`, in the order in which they need each other; the last ones only once there is a master key
    documents: Documents = field(init=False)
    timekeeper: Timekeeper = field(init=False)
    packages: Packages = field(init=False)
    grants: Grants = field(init=False)
    intents: Intents = field(init=False)
    asks: Asks = field(init=False)
    leases: Leases = field(init=False)
    book: Book = field(init=False)
    gate: Gate = field(init=False)
    swarms: Swarms = field(init=False)
    lives: Lives = field(init=False)
    cells: Cells = field(init=False)
    turns: Turns = field(init=False)
    steps: Steps = field(init=False)
    calls: Calls = field(init=False)
    timers: Timers = field(init=False)
    drills: Drills = field(init=False)
    identity: Identity = field(init=False)
    blobs: Blobs = field(init=False)
    signing: asyncio.TimerHandle | None = field(init=False, default=None)
    vault: Vault = field(init=False)
    acting: Acting = field(init=False)
    unlock: Callable[[MasterKey | Passphrase], None] = field(init=False)

    def __post_init__(self) -> None:
        self.started_boot = self.clock.boot_ms()
        self.alarms = Alarms(self.clock, self._alarm_failed)
        self.births = Births(self.store)
        self.agents = Agents(self.store, self.births)
        self.mail = Mail(self.store)
        self.reach = Reach()
        self.post = Post(self.store, self.clock, self.agents, self.mail, self.reach, self.runtime_key)
        self.volatile = VolatileMail(self)
        self.logs = AgentLogs(self.clock)
        self.meters = Meters()
        self.stops = Stops(self)

    def _alarm_failed(self, error: Exception) -> None:
        self.log.error("alarm.failed", error=f"{type(error).__name__}: {error}")

    def commit(self, *changes: Change) -> Receipt:
        """One atomic, durable write. A store that fails in doubt ends the process: memory may no longer be trusted."""
        try:
            receipt = self.store.commit(*changes)
        except Exception as error:
            self.mail.forget_pending()
            if getattr(error, "code", "") in ("store_failed", "memory_behind"):
                self.fatal(f"the store failed: {error}")
            raise
        if receipt.leaves:
            if self.locked:
                return receipt  # no key to sign with: the leaves wait in the store, in their order
            try:
                self.ledger.flush()
            except LedgerUnwritable as error:
                # What was committed stands and its leaves are safe in the store; until the ledger's own file can be
                # written again no action starts (Engine asks `require_writable`).
                self.log.error("ledger.unwritable", error=error.message)
                self.incident("ledger.unwritable", "ledger", error.message)
            self._sign_soon()
            self.on_change("ledger", b"")
        return receipt

    def _sign_soon(self) -> None:
        """What a checkpoint does not cover yet is covered a moment later, whether or not more is written."""
        if self.signing is None and self.ledger.unsigned:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # before and after the loop: unlocking and closing sign
            self.signing = loop.call_later(SIGN_EVERY_MS / 1000, self._sign)

    def _sign(self) -> None:
        self.signing = None
        try:
            self.ledger.flush(sign=True)
        except LedgerUnwritable as error:
            self.log.error("ledger.unwritable", error=error.message)
            self.incident("ledger.unwritable", "ledger", error.message)

    def soon(self, callback: Callable[[], object]) -> None:
        """After the present commit and its callbacks: never inside one."""
        asyncio.get_running_loop().call_soon(callback)

    def changed(self, topic: str, subject: bytes) -> None:
        """Tell watchers that a row is worth reading again."""
        self.on_change(topic, subject)

    def appeared(self, ids: Callable[[], list[bytes]]) -> None:
        """Tell watchers of a batch of births, if there are any."""
        self.on_births(ids)

    def incident(self, kind: str, subject: str, text: str) -> None:
        """Show a person something."""
        self.on_incident(Incident(self.clock.wall_ms(), kind, subject, text))

    # --- parked agents ------------------------------------------------------------------------------------------

    def park(self, agent: Agent, ask: bytes) -> None:
        """The agent's turn waits for a person."""
        agent.waiting_ask = ask
        self.changed("agents", agent.id)
        self.changed("asks", ask)

    def unpark(self, agent: Agent, ask: bytes) -> None:
        if agent.waiting_ask == ask:
            agent.waiting_ask = None
        self.changed("agents", agent.id)

    # --- the page in which a cell notes whose turn is in progress: a hint, written by untrusted hands ---------------

    def page_reader(self, cell: CellProcess) -> bytes | None:
        """The agent in progress by the cell's own note, if it is one of its agents."""
        noted = page.read(cell.page)
        return noted.agent if noted is not None and noted.agent in cell.agents else None

    def page_stuck(self, cell: CellProcess, now_boot: int, limit_ms: int) -> str | None:
        """The agent whose step has held the interpreter since it was first seen, that long ago or longer; by name."""
        noted = page.read(cell.page)
        if noted is None or noted.agent not in cell.agents:
            cell.seen_step = (0, now_boot)
            return None
        step, since = cell.seen_step
        if noted.step != step:
            cell.seen_step = (noted.step, now_boot)
            return None
        return self.agents.get(noted.agent).name if now_boot - since >= limit_ms else None

    def settle(self, ask: bytes) -> None:
        """An ask is no longer open: its turn goes on, watchers are told."""
        self.steps.decided(ask)
        self.changed("asks", ask)

    def may_run(self, agent: Agent) -> bool:
        """Whether anything of the agent may run now: no order holds it, its swarm or the supervisor, and it has not ended."""
        return not self.closing and agent.runnable and self.swarms.may_run(agent.intent)

    def cut(self, agents: Iterable[bytes], why: str, *, hold: bool = False) -> list[Point]:
        """End what these agents have in progress outside their cells: nothing is, while there is no master key."""
        return [] if self.locked else self.acting.cut(agents, why, hold=hold)

    def ledger_ok(self) -> bool:
        """Whether what is done now would be recorded."""
        try:
            self.ledger.require_writable()
        except LedgerUnwritable:
            return False
        return True
