"""What the supervisor implements so that the control server can serve it.

The server has already checked the frame, the parameters' types, the session and, where `methods` says so,
the order: a `Service` method is called only by somebody who may call it. What a *document* is allowed to
say (an intent's scope, a verdict's ask) is checked by the method, because only the authority room can.
Methods raise `QueenrightError`; anything else is answered as an internal error and logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from queenright.authority.operators import Operators, Signer
from queenright.authority.order import Order
from queenright.control.protocol import (
    AgentDetail,
    AgentPage,
    AskDetail,
    AskPage,
    BehaviourRow,
    CanResult,
    Checkpoint,
    Decided,
    Distance,
    Done,
    DrillBegun,
    Health,
    IntentDetail,
    IntentRow,
    LeaseRow,
    LedgerCopy,
    LedgerExport,
    LedgerPage,
    LogPage,
    OperatorsView,
    Resolved,
    ResourcesView,
    Restored,
    RestorePreview,
    SecretRow,
    Status,
    UndoPreview,
    UndoResult,
    VersionDiff,
    VersionRow,
    Why,
    WorkspaceView,
)

__all__ = ["Caller", "Gate", "Peer", "Service", "SignedOrder", "Violation", "ViolationSink"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who the kernel says is at the other end (SO_PEERCRED).

    It filters and is recorded; it proves nothing.
    """

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order whose signature, runtime, method, parameters, policy revision and time the server checked.

    Already spent.
    """

    order: Order
    document: bytes
    signature: str
    signer: Signer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `operator` is None only for methods that need nothing."""

    connection: int
    peer: Peer
    operator: Signer | None
    level: Literal["none", "key", "token"]
    order: SignedOrder | None


@dataclass(frozen=True, slots=True)
class Violation:
    """A client that broke the protocol: what the ledger says of it. Holds no byte that the client sent."""

    connection: int
    peer: Peer
    operator: str  # "" before a key was proved
    what: str


ViolationSink = Callable[[Violation], Awaitable[None]]


class Gate(Protocol):
    """Who is enrolled, and what has been spent: the authority room's answers, over the store."""

    def operators(self) -> Operators:
        """The operators document in force; readable while the supervisor is locked."""

    def policy_revision(self) -> bytes:
        """Digest of operators, resources and ceiling as they are now; an order names it."""

    def entitle(self, operator: Signer, method: str, params: dict[str, Any], now_ms: int) -> None:
        """Raise NotEntitled unless this person's own row covers the act."""

    async def spend(self, order: SignedOrder, operator: Signer, method: str) -> None:
        """Spend the order's nonce durably, with its leaf, before this returns.

        Raises Conflict if it was spent before.
        """

    def distance(self, operator: Signer) -> Distance:
        """How far this operator's key is from the supervisor."""


class Service(Protocol):
    """One method per entry of `methods.METHODS` that the server does not answer itself (`whoami`, `login`,
    `logout`)."""

    def locked(self) -> bool: ...

    # reading
    async def health(self, caller: Caller) -> Health: ...
    async def status(self, caller: Caller) -> Status: ...
    async def resolve(self, caller: Caller, text: str, kind: str | None = None) -> Resolved: ...
    async def intents(self, caller: Caller) -> list[IntentRow]: ...
    async def intent(self, caller: Caller, intent: str) -> IntentDetail: ...
    async def agents(
        self,
        caller: Caller,
        parent: str | None = None,
        intent: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> AgentPage: ...
    async def agent(self, caller: Caller, agent: str) -> AgentDetail: ...
    async def agent_log(
        self, caller: Caller, agent: str, after: int | None = None, limit: int | None = None
    ) -> LogPage: ...
    async def asks(
        self, caller: Caller, state: str | None = None, after: str | None = None, limit: int | None = None
    ) -> AskPage: ...
    async def ask(self, caller: Caller, ask: str) -> AskDetail: ...
    async def leases(
        self, caller: Caller, agent: str | None = None, state: str | None = None
    ) -> list[LeaseRow]: ...
    async def ledger(
        self,
        caller: Caller,
        query: str | None = None,
        after: int | None = None,
        limit: int | None = None,
        newest: bool | None = None,
    ) -> LedgerPage: ...
    async def ledger_checkpoint(self, caller: Caller, since: int | None = None) -> Checkpoint: ...
    async def ledger_export(self, caller: Caller) -> LedgerExport: ...
    async def ledger_read(self, caller: Caller, name: str, offset: int, limit: int) -> bytes: ...
    async def ledger_copies(self, caller: Caller) -> list[LedgerCopy]: ...
    async def why(self, caller: Caller, id: str) -> Why: ...
    async def can(self, caller: Caller, agent: str, verb: str, resource: str) -> CanResult: ...
    async def who_can(self, caller: Caller, verb: str, resource: str) -> list[CanResult]: ...
    async def undo_preview(self, caller: Caller, target: str, since_ms: int | None = None) -> UndoPreview: ...
    async def workspace_log(
        self, caller: Caller, agent: str, limit: int | None = None
    ) -> list[VersionRow]: ...
    async def workspace_diff(self, caller: Caller, agent: str, version: int) -> VersionDiff: ...
    async def workspace_show(
        self,
        caller: Caller,
        agent: str,
        path: bytes,
        version: int | None = None,
        content: bool | None = None,
    ) -> WorkspaceView: ...
    async def workspace_restore_preview(self, caller: Caller, agent: str, version: int) -> RestorePreview: ...
    async def resources(self, caller: Caller) -> ResourcesView: ...
    async def operators(self, caller: Caller) -> OperatorsView: ...
    async def behaviours(self, caller: Caller) -> list[BehaviourRow]: ...
    async def secret_list(self, caller: Caller) -> list[SecretRow]: ...
    async def logs(self, caller: Caller, after: int | None = None, limit: int | None = None) -> LogPage: ...

    # taking away. `target` is an id (intent-, agent-, grant-, lease-) or "all"; an agent means its subtree
    async def revoke(self, caller: Caller, target: str, reason: str | None = None) -> Done: ...
    async def freeze(self, caller: Caller, target: str, reason: str | None = None) -> Done: ...
    async def pause(self, caller: Caller, target: str, reason: str | None = None) -> Done: ...
    async def stop(self, caller: Caller, target: str, reason: str | None = None) -> Done: ...
    async def ask_deny(
        self, caller: Caller, ask: str, reason: str, freeze: bool | None = None
    ) -> Decided: ...
    async def down(self, caller: Caller) -> Done: ...

    # giving, by a document signed in its own namespace
    async def intent_apply(self, caller: Caller, document: bytes, signature: str) -> IntentRow: ...
    async def intent_amend(self, caller: Caller, document: bytes, signature: str) -> IntentRow: ...
    async def ask_decide(self, caller: Caller, verdict: bytes, signature: str) -> Decided: ...
    async def resources_set(self, caller: Caller, document: bytes, signature: str) -> ResourcesView: ...
    async def operators_set(self, caller: Caller, document: bytes, signature: str) -> OperatorsView: ...

    # giving, by an order (`caller.order`)
    async def unfreeze(self, caller: Caller, target: str) -> Done: ...
    async def resume(self, caller: Caller, target: str) -> Done: ...
    async def lease_extend(self, caller: Caller, lease: str, by_ms: int) -> LeaseRow: ...
    async def undo(
        self, caller: Caller, target: str, preview: bytes, since_ms: int | None = None
    ) -> UndoResult: ...
    async def workspace_restore(
        self, caller: Caller, agent: str, version: int, preview: bytes
    ) -> Restored: ...
    async def drill_begin(
        self, caller: Caller, document: bytes, signature: str, canary: bytes
    ) -> DrillBegun: ...
    async def drill_attack(
        self, caller: Caller, drill: str, attack: str, facts: bytes, fresh: bool
    ) -> Done: ...
    async def drill_end(
        self, caller: Caller, drill: str, report: bytes, stopped: int, escaped: int, not_run: int
    ) -> Done: ...
    async def secret_set(self, caller: Caller, name: str, value: bytes, salt: bytes) -> SecretRow: ...
    async def secret_remove(self, caller: Caller, name: str) -> Done: ...

    async def behaviour_add(self, caller: Caller, files: dict[str, bytes]) -> BehaviourRow: ...
    async def unlock(
        self, caller: Caller, master_key: bytes | None = None, passphrase: bytes | None = None
    ) -> Health: ...
