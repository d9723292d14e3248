"""What crosses the control socket: greeting, calls, answers, events, and the shape of every payload.

Frames are `wire.frame` (u32 length, at most 4 MiB) around a canonical map (`core.canonical`). A connection:

    server  {"t": "hello", "v": 1, "version": str, "runtime": bytes 32, "nonce": bytes 32, "socket": str,
             "now_ms": int, "locked": bool}
    client  {"t": "prove", "key": key line, "signature": SSHSIG}
         or {"t": "token", "id": bytes 16, "proof": bytes 32}
    server  {"t": "session", "operator": str, "fingerprint": str, "level": "key" | "token",
             "expires_ms": int | None}
    client  {"t": "call", "id": int, "method": str, "params": map, "order": bytes | None,
             "signature": str | None}
    server  {"t": "answer", "id": int, "ok": True, "result": value}
         or {"t": "answer", "id": int, "ok": False,
             "error": {"code": str, "message": str, "hint": str, "facts": map}}
    client  {"t": "watch", "id": int, "topics": [str]}      replaces what was watched
    server  {"t": "answer", "id": int, "ok": True, "result": {"seq": int}}
    server  {"t": "event", "topic": str, "seq": int, "data": map}        `seq` rises by one for each
         or {"t": "event", "topic": "resync", "seq": int, "data": {"topics": [str]}}    list these again

Proving is optional and happens at most once, before the first call but `health`. What is signed is
`session_bytes`. Ids are text with their kind and all 64 hex digits (`agent-…`, `intent-…`, `ask-…`,
`act-…`, `lease-…`, `grant-…`); a parameter takes any unambiguous prefix or, for agents, the name; an order
always names ids in full (`resolve` gives them). Times are wall-clock milliseconds, UTC. Fields marked
*untrusted* hold text that an agent chose: sanitise before showing. Topics: `agents` (data: AgentRow, or
{"id", "gone": True}), `asks` (AskRow), `ledger` (LeafRow), `status` (Status), `incidents` (Incident),
`log:<agent id>` (LogLine).
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from queenright.control.methods import METHODS, Method, Need
from queenright.core import canonical, digest

__all__ = [
    "METHODS",
    "SESSION_NAMESPACE",
    "TOPICS",
    "VERSION",
    "ActionRow",
    "AgentDetail",
    "AgentPage",
    "AgentRow",
    "AskContext",
    "AskDetail",
    "AskPage",
    "AskRow",
    "BehaviourRow",
    "Blast",
    "CanResult",
    "CertificateRow",
    "ChainLink",
    "Checkpoint",
    "Decided",
    "DimensionRow",
    "Distance",
    "Done",
    "DrillBegun",
    "Event",
    "GrantRow",
    "Health",
    "Incident",
    "IntentDetail",
    "IntentRow",
    "LeafRow",
    "LeaseRow",
    "LedgerCopy",
    "LedgerExport",
    "LedgerFile",
    "LedgerPage",
    "LogLine",
    "LogPage",
    "Login",
    "MailboxHead",
    "Memory",
    "Method",
    "Need",
    "OperatorsView",
    "PathChange",
    "PathRow",
    "Reach",
    "Resolved",
    "ResourcesView",
    "RestorePreview",
    "Restored",
    "SecretRow",
    "Similar",
    "Status",
    "Tier",
    "UndoPreview",
    "UndoResult",
    "UndoStep",
    "VersionDiff",
    "VersionRow",
    "WhoAmI",
    "Why",
    "WhyStep",
    "WorkspaceView",
    "order_target",
    "session_bytes",
    "token_bytes",
]

VERSION = 1
SESSION_NAMESPACE = "session@queenright.v1"
TOPICS = frozenset({"agents", "asks", "ledger", "status", "incidents"})  # and `log:<agent id>`

AgentState = Literal["run", "wait", "needs_human", "paused", "frozen", "suspect", "ended"]
AskState = Literal["open", "approved", "denied", "expired", "spent", "void"]
Risk = Literal["LOW", "MED", "HIGH", "CRITICAL"]
Distance = Literal["hardware", "uid", "none"]


def session_bytes(runtime: bytes, nonce: bytes, socket: str) -> bytes:
    """What a client signs to prove its key: bound to this runtime, this connection and the socket it really
    dialled.

    The socket's path (resolved) is in it so that a program which listens elsewhere cannot pass the proof on.
    """
    return canonical({"v": VERSION, "kind": "session", "runtime": runtime, "nonce": nonce, "socket": socket})


def token_bytes(runtime: bytes, nonce: bytes, socket: str) -> bytes:
    """What a login token's HMAC-SHA-256 is taken over; the token itself never crosses the socket again."""
    return canonical({"v": VERSION, "kind": "token", "runtime": runtime, "nonce": nonce, "socket": socket})


def order_target(method: str, params: dict[str, Any]) -> bytes:
    """The target digest of an order: this method with exactly these parameters, and no other."""
    return digest("order-target", canonical({"v": VERSION, "method": method, "params": params}))


# --- anyone -------------------------------------------------------------------------------------------------


# What stands around agents' code: namespaces of our own, bubblewrap's, or Landlock alone (degraded, by an operator's
# word); and who holds their memory: the kernel, a watch that looks each second, or nobody.
Tier = Literal["full", "bwrap", "landlock-strict"]
Memory = Literal["hard", "soft", "none"]


class OwnCellCounts(TypedDict):
    """Cells of one agent each. `waiting` agents have a message and no place; `pool` empty cells are up and nobody's."""

    alive: int
    most: int
    waiting: int
    pool: int
    refused: str  # why the last start of one failed; empty since one succeeded


class Health(TypedDict):
    """Counts and switches only: what may be seen without a key."""

    version: str
    locked: bool
    ledger_ok: bool
    stopped: bool
    tier: Tier
    memory: Memory
    uptime_ms: int
    agents: int
    cells: int
    own_cells: OwnCellCounts
    asks_open: int
    leases: int


# --- sessions and status ------------------------------------------------------------------------------------


class WhoAmI(TypedDict):
    operator: str
    fingerprint: str
    key_kind: str
    level: Literal["key", "token"]
    expires_ms: int | None
    distance: Distance
    owner: bool


class Login(TypedDict):
    """A login token. `secret` is 32 bytes; the client keeps both in a 0600 file."""

    id: bytes
    secret: bytes
    expires_ms: int


class Resolved(TypedDict):
    kind: str
    id: str
    name: str  # untrusted


class Status(TypedDict):
    """The first lines of a screen. A count whose source is not measured is absent."""

    name: str
    version: str
    runtime: bytes
    locked: bool
    stop: Literal["ready", "stopping", "stopped"]
    stop_unacked: int
    stop_late: list[str]  # by name, what an order has not reached in its time and is still there (untrusted)
    uptime_ms: int
    now_ms: int
    distance: Distance
    policy_revision: bytes
    tier: Tier
    memory: Memory
    agents: dict[str, int]  # by AgentState
    swarms: int
    cells: int
    own_cells: OwnCellCounts
    asks_open: int
    oldest_ask_ms: int | None  # when the oldest open ask was raised
    leases: int
    ledger_size: int
    ledger_root: bytes
    ledger_ok: bool
    messages_per_s: NotRequired[float]
    denials_per_min: NotRequired[float]
    mailbox_max: NotRequired[int]
    volatile_dropped: NotRequired[int]  # volatile messages between cells that reached nobody, since the start


# --- intents ------------------------------------------------------------------------------------------------


class IntentRow(TypedDict):
    id: str
    swarm: str
    purpose: str
    revision: int
    operator: str
    state: Literal["live", "frozen", "revoked", "ended", "expired"]
    applied_ms: int
    not_after_ms: int
    agents: int
    max_agents: int
    asks_open: int
    leases: int


class IntentDetail(TypedDict):
    """`document` and `signature` are what the operator signed; draw from these bytes."""

    row: IntentRow
    document: bytes
    signature: str
    budgets: list[dict[str, Any]]  # {"verbs": [str], "resource": str, "used": int, "max": int | None}


# --- agents -------------------------------------------------------------------------------------------------


class AgentRow(TypedDict):
    id: str
    name: str  # untrusted
    behaviour: str
    intent: str
    parent: str | None
    depth: int
    state: AgentState
    mailbox: int
    rate: float  # messages handled a second, over the last 10 s
    leases: int
    ttl_ms: int | None  # of the lease that ends first
    health: list[int]  # errors in each of the last six 10 s, oldest first
    cell: str
    shared: bool
    incarnation: int
    doing: str  # untrusted


class AgentPage(TypedDict):
    rows: list[AgentRow]
    next: str | None


class CertificateRow(TypedDict):
    """One link of the chain, from the intent down. `certificate` is its canonical bytes.

    A birth in a batch comes after its batch, whose certificate is the signed statement; its own `signature` is then the proof
    that it is one of them, the canonical map {"position": int, "path": [hash]} (RFC 9162, over the id).
    """

    kind: Literal["intent", "batch", "birth", "incarnation"]
    id: str
    name: str  # untrusted
    certificate: bytes
    signature: bytes


class GrantRow(TypedDict):
    authority: Literal["exercise", "delegate"]
    mode: Literal["allow", "ask"]
    verbs: list[str]
    resource: str
    max: int | None
    used: int | None


class MailboxHead(TypedDict):
    """Never the body."""

    sender: str
    sender_name: str  # untrusted
    type: str
    bytes: int
    at_ms: int


class ActionRow(TypedDict):
    id: str
    leaf: int
    at_ms: int
    agent: str
    verb: str
    resource: str
    reversibility: Literal["read", "exact", "compensate", "none"]
    outcome: Literal["started", "done", "failed", "unknown", "undone"]
    undo: str  # what would put it back, or why nothing can


class AgentDetail(TypedDict):
    row: AgentRow
    chain: list[CertificateRow]
    born_ms: int
    children: int
    grant: list[GrantRow]
    not_after_ms: int
    leases: list[LeaseRow]
    mailbox: list[MailboxHead]
    actions: list[ActionRow]
    ask: str | None  # what it is parked on
    last_error: str  # untrusted


class LogLine(TypedDict):
    seq: int
    at_ms: int
    stream: Literal["log", "stderr", "runtime"]
    text: str  # untrusted


class LogPage(TypedDict):
    """Lines after the one numbered `after` (absent: from the oldest kept). `next` is the `after` of the next call."""

    lines: list[LogLine]
    next: int
    dropped: int  # lines that were dropped from the bounded log before the first one shown


# --- asks ---------------------------------------------------------------------------------------------------


class AskRow(TypedDict):
    id: str  # of the group's first member
    state: AskState
    agent: str
    agent_name: str  # untrusted
    intent: str
    verb: str
    resource: str
    risk: Risk
    raised_ms: int
    deadline_ms: int
    members: int
    decided_by: str
    verdict: str


class AskPage(TypedDict):
    rows: list[AskRow]
    next: str | None


class ChainLink(TypedDict):
    id: str
    name: str  # untrusted
    behaviour: str


class Blast(TypedDict):
    resources: list[str]
    agents: int  # that would gain it
    budget_used: int | None
    budget_max: int | None


class Similar(TypedDict):
    at_ms: int
    operator: str
    verdict: str
    outcome: str


class AskContext(TypedDict):
    """What stands beside the canonical bytes on the card. Nothing here is signed but the hash of `reason`."""

    chain: list[ChainLink]  # from the intent's first agent down to the asker
    operator: str  # who signed the intent
    purpose: str
    reason: str  # untrusted
    effect: str
    diff: str  # untrusted where it quotes a file
    undo: str
    blast: Blast
    similar: list[Similar]
    same_person: bool  # the intent was signed by the caller
    accept_same_user: bool  # approving needs the word `same-user`
    forbidden: str  # why the caller may not decide this, or ""


class AskDetail(TypedDict):
    """`bytes` is the canonical ask; `members` those of a group (first one included), as their canonical
    bytes."""

    row: AskRow
    bytes: bytes
    members: list[bytes]
    reasons: list[str]  # untrusted: what each member's agent said, in the order of `members`
    more: int  # members beyond those sent, which a verdict cannot cover
    context: AskContext


class Decided(TypedDict):
    ask: str
    state: AskState
    leaf: int


# --- leases, actions, undo ----------------------------------------------------------------------------------


class LeaseRow(TypedDict):
    id: str
    agent: str
    agent_name: str  # untrusted
    intent: str
    resource: str
    secret: str  # its name, never its value
    delivery: str
    state: Literal["requested", "issuing", "active", "renewing", "ended", "cleaning", "clean", "stuck"]
    issued_ms: int
    expires_ms: int
    uses: int


class DimensionRow(TypedDict):
    name: str
    level: str
    detail: str


class CanResult(TypedDict):
    agent: str
    agent_name: str  # untrusted
    verb: str
    resource: str
    outcome: Literal["allow", "ask", "deny"]
    dimensions: list[DimensionRow]
    amendment: str


class WhyStep(TypedDict):
    """One line of the chain, from the act back to the person. `leaf` is None where no leaf holds it."""

    what: str
    who: str
    at_ms: int | None
    leaf: int | None
    detail: str  # untrusted
    checked: bool  # a signature or an inclusion proof was checked for this line


class Why(TypedDict):
    id: str
    kind: str
    steps: list[WhyStep]


class UndoStep(TypedDict):
    action: str
    verb: str
    resource: str
    reversibility: str
    what: str
    diff: str  # untrusted where it quotes a file
    conflict: str  # why it will not be done, or ""


class UndoPreview(TypedDict):
    """`bytes` is the canonical preview; an order covers `digest("undo", bytes)`, computed by the client."""

    target: str
    steps: list[UndoStep]
    skipped: list[UndoStep]  # cannot be undone, with the reason
    bytes: bytes


class UndoResult(TypedDict):
    target: str
    done: list[str]
    failed: list[dict[str, str]]  # {"action", "code", "message"}
    leaf: int


# --- workspaces -----------------------------------------------------------------------------------------------


class VersionRow(TypedDict):
    """One version of a workspace. `of`: the version that was undone or whose state was put back, else None."""

    version: int
    at_ms: int
    act: str
    intent: str
    cause: Literal["act", "undo", "restore"]
    of: int | None
    added: int
    modified: int
    deleted: int
    files: int
    bytes: int


class PathChange(TypedDict):
    """`path` as the agent chose it: any bytes. `before` and `after` are {"kind", "mode", "bytes", "target"} or None."""

    path: bytes
    change: Literal["added", "modified", "deleted"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class VersionDiff(TypedDict):
    """The first paths that a version changed, and how many there are."""

    version: int
    changes: list[PathChange]
    count: int


class PathRow(TypedDict):
    name: bytes  # untrusted, any bytes
    kind: str
    mode: int
    bytes: int


class WorkspaceView(TypedDict):
    """A directory's names, or a file's content, at a version (None: the newest); `cut` when there is more."""

    version: int | None
    entries: list[PathRow]
    data: bytes | None  # untrusted
    cut: bool


class RestorePreview(TypedDict):
    """`bytes` is the canonical plan; an order covers `digest("plan", bytes)`, computed by the client."""

    agent: str
    version: int
    effect: str  # its first line; then untrusted paths, one a line
    bytes: bytes


class Restored(TypedDict):
    agent: str
    act: str
    outcome: Literal["done", "failed", "unknown"]
    message: str
    version: int | None
    changed: int
    leaf: int


# --- ledger -------------------------------------------------------------------------------------------------


class LeafRow(TypedDict):
    """One entry as it stands: `entry` is the leaf's JSON bytes."""

    index: int
    at_ms: int
    kind: str
    who: str
    verb: str
    resource: str
    outcome: str
    undo: str
    hash: bytes
    entry: bytes


class LedgerPage(TypedDict):
    rows: list[LeafRow]
    next: int | None
    size: int


class Checkpoint(TypedDict):
    """A C2SP signed note.

    `proof` shows that the tree of size `since` is a prefix of this one (empty without `since`).
    """

    note: str
    vkey: str
    size: int
    root: bytes
    since: int | None
    proof: list[bytes]


class LedgerFile(TypedDict):
    name: str  # relative, `/` between parts, never `..`
    bytes: int
    sha256: bytes | None  # None: append-only and read up to `bytes`


class LedgerExport(TypedDict):
    files: list[LedgerFile]
    checkpoint: str
    vkey: str


class LedgerCopy(TypedDict):
    """Who was last given which checkpoint: a second reader that can show a cut tail."""

    who: str
    size: int
    root: bytes
    at_ms: int


# --- the rest -----------------------------------------------------------------------------------------------


class ResourcesView(TypedDict):
    document: bytes
    signature: str
    digest: bytes
    signer: str


class OperatorsView(TypedDict):
    document: bytes
    signature: str
    digest: bytes
    version: int


class BehaviourRow(TypedDict):
    name: str
    version: str
    digest: bytes
    classes: list[str]
    cell: str
    cold: str  # why no cell of it comes from the pool of empty ones; empty where own cells do
    added_ms: int
    used_by: list[str]


class SecretRow(TypedDict):
    name: str
    set_ms: int
    resources: list[str]


class Incident(TypedDict):
    """Something a person should see: a cell held, a signature refused, a client that sent rubbish."""

    at_ms: int
    kind: str
    subject: str
    text: str  # untrusted
    leaf: int | None


class Reach(TypedDict):
    """What an order that takes away has reached, `ms` after it was given: each number is of things that are gone.

    Cells, commands and acts by the kernel's word for their processes; turns by the word of the shared cell that ran them, or by
    that cell's end; connections by the word of the proxy that held them. At most 20 of each are named.
    """

    verb: str
    cells: int
    turns: int
    commands: int
    acts: int
    connections: int  # that commands held; by the proxy's word
    processes: int  # at least, in those cells, commands and acts
    ms: int
    unreached: int
    late: list[str]  # what was not gone within 2 s: it is ordered again until it is (untrusted names)
    finishing: list[str]  # acts in their effect, left to their own end by a freeze or a pause
    unknown: list[str]  # acts that were ended in their effect: a person decides


class Done(TypedDict):
    """What a change answers:

    how many things it reached, the ledger leaf that records it, and who has not yet obeyed.
    """

    count: int
    leaf: int
    unacked: int
    reach: NotRequired[Reach]  # of an order that takes away


class DrillBegun(TypedDict):
    """The drill's intent and its swarm's first agent, and the supervisor's process id for the attacks to aim at."""

    drill: str
    warden: str
    pid: int


class Event(TypedDict):
    topic: str
    seq: int
    data: dict[str, Any]
