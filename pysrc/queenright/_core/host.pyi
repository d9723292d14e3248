"""Contract; its engineers keep it equal to the Rust face (stubtest checks)."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, final

from queenright._core.shared import BirthBatch, Letter

_Record = tuple[Any, ...]

class Refused(Exception):
    index: int
    reason: str

def harden_process() -> None: ...
def verify_record(letters: Sequence[Letter], runtime_key: bytes, public_key: bytes) -> bytes:
    """Check that these are exactly one batch in its order, under one signature; its digest."""

def restrict_self(read: Sequence[str], write: Sequence[str]) -> int: ...
def collect_contents(store: int) -> tuple[int, int]:
    """Remove every content that no version refers to: (contents, bytes). Raises Conflict while an action is committed."""

def forget_versions(store: int, agent: bytes) -> None:
    """Remove an agent's versions. Their contents go with the next `collect_contents`."""

def sealing_keypair(subkey: bytes, agent: bytes, generation: int) -> tuple[bytes, bytes]: ...

@final
class EgressAuthority:
    """A certificate authority for opening TLS of one swarm's commands. Its key is in it and nowhere else; its certificate is
    good for 3 days.
    """

    def __new__(cls, name: str) -> EgressAuthority:
        """Raises SandboxRefused when none can be made."""

    @property
    def pem(self) -> str: ...
    @property
    def trusted(self) -> list[bytes]:
        """The roots that this machine trusts, as DER."""

def check_roots(pem: str) -> None:
    """Raises Malformed unless these are certificates that can verify a host."""

@final
class EgressProxy:
    """Serves the listening sockets of commands' network namespaces, on a thread of its own.

    Events, as maps with `event`: "asked" {id, door, verb, resource, method, host, port, path, headers: [(name, value)],
    has_body, tls: whether it came inside an opened tunnel}, to be answered by `resolve` or `refuse`,
    or `open` for a tunnel; "resolved" {id, addresses: [(resource, what it is if not of the public
    network)], body: bytes | None}, answered by `go`, `go_with` or `refuse`; "ended" {id, code, began, status, up, down}, once
    for each asked; "refused" {door, reason, count}: so many times nothing was asked. Its thread ends with the object.
    """

    def __new__(cls, *, idle_ms: int | None = None, head_ms: int | None = None) -> EgressProxy:
        """Raises SandboxRefused when there is no thread to be had."""

    def fileno(self) -> int:
        """Readable while `take` has something to give."""

    def take(self) -> list[dict[str, Any]]: ...
    def listen(self, listener: int) -> int:
        """Serve a listening socket, of which it keeps a copy; the door's number. Raises Malformed."""

    def resolve(self, id: int, hold: bool) -> None:
        """Find the addresses; `hold` reads the body whole first."""

    def open(self, id: int, authority: EgressAuthority, header: str, roots: str | None = None) -> None:
        """End the tunnel's TLS here, as its host; what comes inside is asked about under the same number, without the headers
        that are read as `header`. `roots`: PEM that verifies the upstream, None for the machine's. Raises Malformed.
        """

    def go(self, id: int) -> None: ...
    def go_with(self, id: int, header: str, value: bytes, shapes: list[bytes]) -> None:
        """Go, with this header, which the command never sees: only inside an opened tunnel. `shapes`: what is taken out of the
        answer. Raises Malformed for what is not one header.
        """

    def refuse(self, id: int, status: int, body: str) -> None: ...
    def close_door(self, door: int) -> None:
        """Accept nothing more and cut what is open; each exchange still has its end."""

    def cut(self, id: int) -> None: ...

_Mark = tuple[str, int, int, bytes]
_Row = tuple[bytes, str, _Mark | None, _Mark | None]

@final
class Space:
    """One agent's workspace and its versions. `store` and `live` are descriptors of directories, `boot` the machine's boot
    id. Holds the workspace until it is closed; another process waits.

    A row of changes is (path, "added" | "modified" | "deleted", before, after); before and after are None or
    (kind, mode, bytes, a link's target). A commit is {"version", "digest", "changed": how many, "changes": rows,
    "left_out": [(path, kind)], "left_out_count"}; its version is the one before when nothing changed.
    """

    def __new__(cls, store: int, agent: bytes, live: int, boot: str) -> Space: ...
    def close(self) -> None: ...
    def settle(self) -> int:
        """Bring the workspace to its newest version; its number."""

    def head(self) -> int:
        """The newest version's number, 0 for none."""

    def commit_upper(
        self,
        upper: int,
        act: bytes,
        intent: bytes,
        at_ms: int,
        max_bytes: int,
        max_files: int,
        listed: int,
    ) -> dict[str, Any]:
        """Commit what an action left in the upper layer of its overlay; at most `listed` rows are given back.

        Raises WorkspaceFull past the quota, Malformed for what no version may hold. Nothing was kept then.
        """

    def commit_file(
        self,
        path: bytes,
        data: bytes,
        mode: int,
        act: bytes,
        intent: bytes,
        at_ms: int,
        max_bytes: int,
        max_files: int,
    ) -> dict[str, Any]:
        """Commit one file, written whole, with the directories it needs. Raises as `commit_upper`."""

    def propose_upper(
        self,
        upper: int,
        act: bytes,
        intent: bytes,
        at_ms: int,
        max_bytes: int,
        max_files: int,
        note: bytes,
        listed: int,
    ) -> dict[str, Any]:
        """Keep what an action left in `upper` as a proposal of `act`, as `proposal` gives it; the workspace stays as it is.

        Raises as `commit_upper`.
        """

    def proposal(self, act: bytes, listed: int) -> dict[str, Any] | None:
        """{"digest", "base": the version it was made over, "note", "changes": at most `listed` rows, "changed": how many,
        "left_out": [(path, kind)]} of what is proposed for an act, or None.
        """

    def proposed_contents(self, act: bytes, path: bytes, most: int) -> tuple[bytes | None, bytes | None]:
        """(before, after) of a file that an act's proposal changes, at most `most` bytes each; None for no file. Raises
        Unknown.
        """

    def commit_proposal(
        self, act: bytes, digest: bytes, max_bytes: int, max_files: int, listed: int
    ) -> dict[str, Any]:
        """Make the proposal with this digest the next version. Raises Unknown when it is not kept, Conflict when the
        workspace is no longer what it was made over, WorkspaceFull.
        """

    def drop_proposal(self, act: bytes) -> None: ...
    def drop_proposals(self, keep: list[bytes], before_ms: int) -> int:
        """Drop what was proposed before `before_ms` for any act but these; how many."""

    def undo(self, version: int, act: bytes, intent: bytes, at_ms: int) -> dict[str, Any]:
        """Put back what a version changed, as a new version. Raises Conflict for what was changed since, Unknown."""

    def restore(self, version: int, act: bytes, intent: bytes, at_ms: int) -> dict[str, Any]:
        """Put the state of a version back, as a new version. Raises Conflict, Unknown."""

    def would_undo(self, version: int, most: int) -> tuple[list[_Row], int]:
        """At most `most` rows of what `undo` would change, and how many there are. Raises as it would."""

    def would_restore(self, version: int, most: int) -> tuple[list[_Row], int]:
        """At most `most` rows of what `restore` would change, and how many there are. Raises as it would."""

    def changes(self, version: int, most: int) -> tuple[list[_Row], int]:
        """At most `most` rows of what a version changed, and how many there are. Raises Unknown."""

    def log(self, most: int) -> list[dict[str, Any]]:
        """The newest versions, newest first: {"version", "at_ms", "act", "intent", "cause": "act" | "undo" | "restore",
        "of", "files", "bytes", "added", "modified", "deleted"}."""

    def version_of(self, act: bytes) -> int | None:
        """The version that an act made, or None."""

    def list(self, path: bytes, version: int, most: int) -> tuple[list[tuple[bytes, str, int, int]], bool]:
        """(name, kind, mode, bytes) of a directory at a version, and whether there are more. Raises Unknown."""

    def read(self, path: bytes, version: int, most: int) -> bytes:
        """A file's content at a version, at most `most` bytes. Raises Unknown."""

@final
class Store:
    @staticmethod
    def open(path: str) -> Store: ...
    def submit(self, records: Sequence[_Record]) -> tuple[int, int]: ...
    def get(self, table: str, key: bytes) -> bytes | None: ...
    def scan(
        self, table: str, prefix: bytes = b"", after: bytes | None = None, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]: ...
    def count(self, table: str, prefix: bytes = b"") -> int: ...
    def leaves(self, start: int, limit: int) -> list[bytes]: ...
    def leaf_count(self) -> int: ...
    def drop_leaves_below(self, index: int) -> None: ...
    def backup(self, path: str) -> None: ...
    def close(self) -> None: ...

@final
class Packet:
    """A batch of volatile mail. Well formed, and worth nothing before `verify`."""

    @staticmethod
    def parse(data: bytes) -> Packet: ...
    def verify(self, runtime_key: bytes, public_key: bytes) -> bytes:
        """Check the one signature; the batch's digest. Raises InvalidSignature, or Malformed for a key that is none."""

    def only(self, receivers: Sequence[bytes]) -> bytes:
        """The packet with these receivers' messages, and of the others the leaves' hashes."""

    @property
    def sender(self) -> bytes: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def previous(self) -> bytes: ...
    @property
    def pairs(self) -> list[tuple[bytes, int, int, int, int, int]]:
        """(receiver, generation, messages, bytes of ciphertext, first sequence, last sequence)"""

    def __len__(self) -> int: ...

_Use = tuple[bytes, int]
"""(agent, wall ms)"""
_Charge = tuple[bytes, int, int, int | None, int, list[_Use]]
"""(grant, rule id, cost, maximum, least gap in ms, recent uses)"""
_Decided = tuple[str, list[dict[str, Any]], list[tuple[int, bytes, int | None, int | None]]]
"""("allow" | "ask" | "deny", failing dimensions, (level, grant, rule id, clause) of each level that asks)"""

class GrantRefused(Exception):
    reasons: list[dict[str, Any]]

def verb_covers(outer: str, inner: str) -> bool: ...
def verb_overlaps(one: str, other: str) -> bool: ...
def resource_covers(outer: str, inner: str) -> bool: ...
def resource_overlaps(one: str, other: str) -> bool: ...
def check_names(verb: str, resource: str) -> None: ...

@final
class GrantTree:
    """A spec is {rules, never, not_before_ms, not_after_ms, depth, max_agents, agents_ever}; a rule {verbs, on, mode,
    exercise, delegate, max, min_gap_ms, rate_agent, rate_all, clause}; level 0 is the acting grant, the last the intent."""

    def __new__(cls) -> GrantTree: ...
    def __len__(self) -> int: ...
    def __contains__(self, grant: bytes, /) -> bool: ...
    def found(self, grant: bytes, spec: Mapping[str, Any]) -> None: ...
    def derive(self, parent: bytes, grant: bytes, spec: Mapping[str, Any], now_ms: int) -> None: ...
    def derive_batch(
        self, parent: bytes, batch: BirthBatch, spec: Mapping[str, Any], now_ms: int
    ) -> None: ...
    def batch_never_was(self, batch: BirthBatch) -> None: ...
    def remove_many(self, grants: Sequence[bytes]) -> None: ...
    def load_batch(
        self, parent: bytes, batch: BirthBatch, spec: Mapping[str, Any], without: AbstractSet[bytes]
    ) -> list[bytes]: ...
    def load(
        self,
        grant: bytes,
        parent: bytes | None,
        spec: Mapping[str, Any],
        rules: Sequence[tuple[int, int, Sequence[_Use]]],
        ever: int,
        revoked_ms: int | None,
        frozen: bool,
    ) -> None: ...
    def amend(self, grant: bytes, spec: Mapping[str, Any]) -> list[tuple[int, int, list[_Use]]]: ...
    def check(
        self,
        grant: bytes,
        verb: str,
        resource: str,
        *,
        now_ms: int,
        irreversible: bool = False,
        approved: bool = False,
        cost: int = 1,
    ) -> _Decided: ...
    def reserve(
        self,
        grant: bytes,
        verb: str,
        resource: str,
        *,
        now_ms: int,
        irreversible: bool = False,
        approved: bool = False,
        cost: int = 1,
    ) -> tuple[_Decided, tuple[int, list[_Charge]] | None]: ...
    def commit(self, reservation: int) -> None: ...
    def release(self, reservation: int) -> list[_Charge]: ...
    def settle(self, reservation: int) -> None: ...
    def revoke(self, grant: bytes, at_ms: int) -> bool: ...
    def set_frozen(self, grant: bytes, frozen: bool) -> bool: ...
    def remove(self, grant: bytes, *, never_was: bool = False) -> None: ...
    def path(self, grant: bytes) -> list[bytes]: ...
    def child_count(self, grant: bytes) -> int: ...
    def children(self, grant: bytes) -> list[bytes]: ...
    def subtree(self, grant: bytes) -> list[bytes]: ...
    def spec(self, grant: bytes) -> dict[str, Any]: ...
    def spending(self, grant: bytes) -> list[tuple[int, int, int, int, list[_Use]]]: ...
    def state(self, grant: bytes) -> tuple[int, int, int | None, bool]: ...
    def dead(self, grant: bytes, now_ms: int) -> list[dict[str, Any]]: ...

@final
class AgentTable:
    """Every agent by its 32-byte id; a cell is its start number. Raises Unknown for an id that is not there."""

    def __new__(cls) -> AgentTable: ...
    def __len__(self) -> int: ...
    def __contains__(self, agent: bytes, /) -> bool: ...
    def add(
        self,
        agent: bytes,
        *,
        parent: bytes | None,
        name: str,
        intent: bytes,
        package: bytes,
        behaviour: str,
        own_cell: bool,
        status: str,
        turn: int,
    ) -> None:
        """Raises Conflict if the id is there, Unknown if the parent is not."""
    def add_batch(self, batch: BirthBatch, own_cell: bool) -> None:
        """All members of a whole batch or none. Raises Conflict if one is there."""
    def taken(self, batch: BirthBatch) -> bytes | None:
        """The first member whose id is there."""
    def record(
        self, agent: bytes
    ) -> (
        tuple[str, str, bytes, bytes, bytes | None, bool, str, int, int, bool, tuple[bytes, int] | None]
        | None
    ):
        """(name, behaviour, package, intent, parent, own cell, status, turn, incarnation, in a cell, (batch, position))."""
    def set_status(self, agent: bytes, status: str) -> None: ...
    def set_turn(self, agent: bytes, turn: int) -> None: ...
    def host(self, agent: bytes, cell: int) -> None:
        """Begin its incarnation in that cell."""
    def unhost(self, agent: bytes) -> bool:
        """False if it was in no cell."""
    def in_cell(self, agent: bytes, cell: int) -> bool: ...
    def cell_count(self, cell: int) -> int: ...
    def cell_members(self, cell: int, limit: int) -> list[bytes]: ...
    def end_sleepers(self, root: bytes) -> list[bytes]:
        """End the members of that batch that never had a turn and are in no cell; who that was."""
    def sleepers(self, root: bytes) -> int:
        """How many `end_sleepers` would end."""
    def batches_below(self, agent: bytes) -> list[bytes]:
        """Roots of the batches born to this agent or to one below it."""
    def batches_of_intent(self, intent: bytes) -> list[bytes]: ...
    def woken(self, intent: bytes) -> list[bytes]:
        """Those of an intent that have not ended and ever had a turn."""
    def live_children(self, agent: bytes) -> int:
        """How many children have not ended."""
    def children(self, agent: bytes, limit: int) -> list[bytes]:
        """The last born first."""
    def subtree(self, agent: bytes, living: bool) -> list[bytes]:
        """The agent and everything below it, children before parents; `living`: without those that ended."""
    def chain(self, agent: bytes) -> list[bytes]:
        """From the swarm's first agent down to this one; empty for one that is not there."""
    def depth(self, agent: bytes) -> int: ...
    def of_intent(self, intent: bytes, living: bool) -> list[bytes]: ...
    def roots(self, intent: bytes) -> list[bytes]: ...
    def intent_counts(self, intent: bytes) -> tuple[int, int]:
        """(living, ever born)."""
    def counts(self) -> dict[str, int]:
        """How many agents are of each status."""
    def of_status(self, status: str) -> list[bytes]: ...
    def page(
        self, *, parent: bytes | None, intent: bytes | None, after: bytes | None, limit: int
    ) -> list[bytes]:
        """Living agents whose ids follow `after`, in the order of their ids. Looks at every row."""
    def by_prefix(self, digits: str, limit: int) -> list[bytes]:
        """Ids that begin with these lower-case digits. Looks at every row."""
    def by_name(self, name: str, limit: int) -> list[bytes]:
        """Agents of exactly this name, living ones first. Looks at every row."""
    def classes(self) -> list[tuple[int, bytes, str, bytes]]:
        """(number, intent, behaviour, package) of each class that has living agents."""
    def of_class(self, number: int, limit: int) -> list[bytes]:
        """Agents of a class that neither ended nor are stopping."""
