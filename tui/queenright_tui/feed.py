"""What the screens need from the runtime, and the shapes it comes in. Nothing here knows a socket.

`events` never ends by itself: when the connection is lost it says so (`LinkDown`), tries again, and after
`LinkUp` lists everything anew between `Listing` and `Listed`, so that what vanished meanwhile vanishes from the
screen too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from queenright.control.async_client import AsyncClient
from queenright.control.operator_key import AskPassphrase, Signer
from queenright.control.protocol import (
    AgentDetail,
    AskDetail,
    Decided,
    Done,
    LedgerPage,
    LogPage,
    Status,
    UndoPreview,
    UndoResult,
    WhoAmI,
    Why,
)

__all__ = [
    "Approval",
    "Changed",
    "Feed",
    "Heard",
    "LinkDown",
    "LinkUp",
    "Listed",
    "Listing",
    "MakeVerdict",
    "OpenAsk",
    "Rows",
    "SignerFactory",
    "Verified",
    "VerifyLedger",
]

Topic = Literal["agents", "asks", "ledger", "status", "incidents", "intents"]
MakeVerdict = Callable[["Approval", str], bytes]
"""(what to sign, how the key is held) -> the verdict's canonical bytes. Given by whoever composes the program."""
VerifyLedger = Callable[[AsyncClient], Awaitable["Verified"]]
"""Fetch the whole ledger and check it in this process, against the last checkpoint this operator saw."""
SignerFactory = Callable[[AskPassphrase], Signer]
"""Opens the operator's key; called in a thread, because a passphrase or a touch may take its time."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected and proved."""

    whoami: WhoAmI
    status: Status


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Not connected: what is on screen is the past. `why` is our own words."""

    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of `topic` begins: rows not named before its `Listed` are gone."""

    topic: Topic


@dataclass(frozen=True, slots=True)
class Rows:
    """Part of a list."""

    topic: Topic
    rows: list[Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """The list is whole."""

    topic: Topic


@dataclass(frozen=True, slots=True)
class Changed:
    """One event: a row as it is now, or {"id", "gone": True}. `topic` may be `log:<agent>`."""

    topic: str
    data: Any


Heard = LinkUp | LinkDown | Listing | Rows | Listed | Changed


@dataclass(frozen=True, slots=True)
class OpenAsk:
    """A request as it is drawn and signed. All but `detail` was computed in this process, from the members' bytes.

    `digest` is the ask's, or for several equal ones the Merkle root of theirs; `answer_by` and `not_after` are the
    earliest of them (wall ms).
    """

    detail: AskDetail
    body: dict[str, Any]
    digest: bytes
    answer_by: int
    not_after: int

    @property
    def count(self) -> int:
        """How many equal requests one verdict from this card answers."""
        return len(self.detail["members"])


@dataclass(frozen=True, slots=True)
class Approval:
    """What the operator wants to sign: exactly what stood in the SIGN block. Times are wall-clock ms."""

    ask: OpenAsk
    kind: Literal["once", "narrower", "shorter"]
    args: dict[str, Any] | None
    """For `narrower`: all the arguments, with items of lists left out."""
    max_uses: int
    not_after_ms: int
    same_user: bool
    """The operator typed the word that accepts a key which nothing keeps from the supervisor's user."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What verification in this process found. `complete` False: all that was seen is sound, the tail unchecked."""

    ok: bool
    complete: bool
    entries: int
    root: bytes
    words: str
    """The result in our own words; on failure what failed, at which entry."""


class Feed(Protocol):
    """One connection of one operator. Every call raises QueenrightError; a lost connection raises NoSupervisor."""

    def events(self) -> AsyncIterator[Heard]: ...

    def watch_log(self, agent: str | None) -> None:
        """Also hear `log:<agent>`; None stops."""

    async def ask(self, ask: str) -> OpenAsk: ...
    async def agent(self, agent: str) -> AgentDetail: ...
    async def agent_log(self, agent: str) -> LogPage: ...
    async def ledger(self, query: str, after: int | None = None) -> LedgerPage: ...
    async def why(self, target: str) -> Why: ...
    async def verify(self) -> Verified: ...

    # taking away: a session is enough
    async def take(
        self, method: Literal["revoke", "pause", "freeze", "stop"], target: str, reason: str
    ) -> Done: ...
    async def deny(self, ask: str, reason: str) -> Decided: ...

    # giving: signed with the armed key, in this process
    def arm(self, signer: Signer) -> None:
        """Keep the key for giving until `disarm`. Raises NotEntitled if it is not the key of this session."""

    def disarm(self) -> None:
        """Let go of the key and wipe what was held of it."""

    async def approve(self, approval: Approval) -> Decided: ...
    async def give(self, method: Literal["resume", "unfreeze"], target: str) -> Done: ...
    async def undo_preview(self, target: str) -> UndoPreview: ...
    async def undo(self, preview: UndoPreview) -> UndoResult: ...

    async def close(self) -> None: ...
