"""One entry of the ledger: what its kind is, who acted, under what, on what, with what outcome.

An entry is ids, digests, words and numbers in clear; bytes and free text are `Blobs`. `leaf` writes its
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from queenright.ledger.blobs import BlobRef
from queenright.wire import ids

__all__ = [
    "KINDS",
    "Action",
    "Actor",
    "Agent",
    "Certificate",
    "Entry",
    "Kind",
    "Operator",
    "Result",
    "Reversibility",
    "Scalar",
    "Signed",
    "State",
    "Supervisor",
]

Kind = Literal[
    "supervisor.started", "supervisor.stopped", "supervisor.recovered", "supervisor.unlocked",
    "operators.changed", "resources.changed", "ceiling.changed", "behaviour.added",
    "intent.applied", "intent.amended", "intent.revoked", "intent.frozen", "intent.unfrozen", "intent.ended",
    "agent.born", "agents.born", "agent.ended", "agents.ended", "agent.paused", "agent.resumed", "agent.frozen", "agent.unfrozen",
    "agent.suspect",
    "incarnation.begun", "incarnation.ended",
    "cell.started", "cell.ended", "cell.killed",
    "stop.reached", "stop.unreached",
    "grant.revoked",
    "lease.issued", "lease.renewed", "lease.extended", "lease.ended",
    "ask.raised", "ask.decided", "ask.expired", "ask.spent", "ask.void",
    "action.denied", "action.rehearsed", "action.started", "action.done", "action.failed", "action.unknown", "action.undone",
    "reads.summary", "undo.conflict",
    "protocol.violation", "control.refused",
    "message.dead", "message.replayed", "message.dropped",
    "ledger.read_mail", "ledger.exported", "ledger.pruned",
    "workspace.removed",
    "secret.changed", "order.spent", "drill.begun", "drill.ended", "break_glass.begun", "break_glass.ended",
]  # fmt: skip
KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))
Reversibility = Literal["read", "exact", "compensate", "none"]
State = Literal["done", "failed", "unknown"]

Scalar = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent acted. `name` is its own choice and proves nothing; in a shared cell any of its agents may
    have acted.
    """

    id: bytes
    name: str
    incarnation: int
    cell: str
    shared: bool


@dataclass(frozen=True, slots=True)
class Operator:
    """A person acted, by the key of this fingerprint (`SHA256:…`)."""

    fingerprint: str
    name: str


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The supervisor acted of itself: a deadline passed, a cell died."""


Actor = Agent | Operator | Supervisor


@dataclass(frozen=True, slots=True)
class Action:
    """What was to be done. `undo` is the digest of the undo plan, or in words why there is none; `cost` is
    in the verb's own unit; digests are 32 bytes."""

    id: bytes
    verb: str
    resource: str
    reversibility: Reversibility
    manifest: bytes
    args: bytes
    plan: bytes | None = None
    undo: bytes | str = "none"
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended: a stable code, and the digest and length of what came back (the bytes are a blob, if
    kept).
    """

    state: State
    code: str = ""
    digest: bytes | None = None
    length: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """An operator's signature: the armoured SSHSIG over the bytes in `Evidence` under `document` (their
    SHA-256).
    """

    namespace: str
    document: bytes
    fingerprint: str
    signature: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """An Ed25519 signature by the runtime key or an agent's, over `message`, both held here in full."""

    public_key: bytes
    message: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Ids are 32-byte digests; `cause` is the id of what led to it; `t_ms` is wall time.

    `facts` are what only this kind says, in clear: words, numbers and digests, never a secret or an agent's
    prose.
    """

    kind: Kind
    t_ms: int
    actor: Actor
    intent: bytes | None = None
    agent: bytes | None = None
    """Whom it is about, where that is not the actor."""
    grant: bytes | None = None
    lease: bytes | None = None
    ask: bytes | None = None
    verdict: bytes | None = None
    action: Action | None = None
    result: Result | None = None
    cause: bytes | None = None
    signed: Signed | None = None
    certificate: Certificate | None = None
    blobs: tuple[BlobRef, ...] = ()
    facts: Mapping[str, Scalar] = field(default_factory=dict)

    def ids(self) -> dict[str, str]:
        """The ids of an entry as text, by what they are: `{"intent": "intent-…64 hex", …}`."""
        found = {
            name: getattr(self, name) for name in ("intent", "grant", "lease", "ask", "verdict", "agent")
        }
        if isinstance(self.actor, Agent):
            found["actor"] = self.actor.id
        if self.action is not None:
            found["act"] = self.action.id
        prefix = {"actor": "agent"}
        return {name: ids.full(prefix.get(name, name), id) for name, id in found.items() if id is not None}
