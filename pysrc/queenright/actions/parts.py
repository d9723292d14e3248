"""Whom the engine works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from queenright.actions.executors import Executors
from queenright.actions.resources import Resource, ResourceMap
from queenright.actions.world import Place
from queenright.authority.asks import Asks
from queenright.authority.grants import Grants
from queenright.authority.intents import Standing
from queenright.authority.leases import Leases
from queenright.authority.operators import Operators
from queenright.broker.secret import Secrets
from queenright.clock import Clock
from queenright.ledger.blobs import Blobs
from queenright.ledger.log import Ledger
from queenright.store import Receipt, Store
from queenright.workspace.workspaces import Workspaces

__all__ = ["CommandRunner", "Parts", "Policy", "ServiceStarter", "Started"]


class Started(Protocol):
    """A host service that was started; `start_time` is field 22 of /proc/PID/stat."""

    @property
    def pid(self) -> int: ...
    @property
    def start_time(self) -> int: ...


ServiceStarter = Callable[[Resource], Awaitable[Started]]
"""Start the resource's service: it belongs to the host and outlives the supervisor. Raises SandboxRefused."""

CommandRunner = Callable[[Place, str, int, bool], Awaitable[dict[str, Any]]]
"""(workspace, command, timeout in ms, whether to keep what it changes) to the value of `shell.run` and the "digest" of the
version that was made: a command in a sandbox of its own, and what it changed, kept, proposed or dropped.
"""


class Policy(Protocol):
    """What owners signed, as it is in force."""

    @property
    def resources(self) -> ResourceMap: ...
    @property
    def operators(self) -> Operators: ...
    @property
    def policy_revision(self) -> bytes: ...


@dataclass(slots=True)
class Parts:
    """`commit` is the one way to write, and flushes the ledger; `versions` (0700) holds those of workspaces, and what they
    refer to; `held` says why nothing of an agent may begin now, or "".
    """

    commit: Callable[..., Receipt]
    store: Store
    clock: Clock
    ledger: Ledger
    blobs: Blobs
    grants: Grants
    asks: Asks
    leases: Leases
    standing: Callable[[bytes], Standing]
    policy: Policy
    secrets: Secrets
    executors: Executors
    workspaces: Workspaces
    versions: Path
    start_service: ServiceStarter
    run_command: CommandRunner
    held: Callable[[bytes], str] = lambda agent: ""
