"""What the test's runtime knows: agents, their open turns, the cells they live in, and who decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from queenright.core import BirthBatch
from queenright.wire.certificate import Birth
from queenright.wire.link import Frame, Ready

__all__ = ["AgentRecord", "Authority", "CellEnd", "OpenTurn", "Pending"]


class Pending(Exception):
    """Raised by an act's script: nothing yet; `Runtime.answer` settles the step later, as a verdict would."""


class Authority(Protocol):
    """What decides births and acts. Raises Denied (or any refusal) to refuse, Pending to park."""

    def birth(self, parent: AgentRecord, child: Birth, request: dict[str, Any]) -> None: ...
    def births(self, parent: AgentRecord, members: BirthBatch, request: dict[str, Any]) -> None: ...
    def act(self, agent: AgentRecord, ordinal: int, request: dict[str, Any]) -> Any: ...


@dataclass(slots=True)
class OpenTurn:
    number: int
    attempt: int
    mail: dict[str, Any] | None
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: dict[int, dict[str, Any]] = field(default_factory=dict)
    delivered: bool = False


@dataclass(slots=True)
class AgentRecord:
    """What the supervisor knows of an agent, and what a test wants to see of it."""

    id: bytes
    name: str
    behaviour: str
    package: bytes
    parent: bytes
    args: bytes
    birth: bytes
    cell: CellEnd | None = None
    state: bytes | None = None
    state_version: int = 1
    mailbox: deque[dict[str, Any]] = field(default_factory=deque)
    turn: OpenTurn | None = None
    turns: int = 0
    ended: bool = False
    certificate: bytes = b""
    certified: bytes = b""
    batch: bytes = bytes(32)  # digest of the last batch this incarnation signed
    signed: int = 0  # messages this incarnation signed
    incarnation: int = 0
    generation: int = 0
    timers: dict[bytes, int] = field(default_factory=dict)
    monitors: set[bytes] = field(default_factory=set)
    sent: list[tuple[bytes, str, bytes | None]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    logs: list[tuple[str, str]] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class CellEnd:
    """The supervisor's end of one cell."""

    id: str
    number: int
    nonce: bytes
    send: Callable[[Frame], None]
    ready: Ready | None = None
    fault: str = ""
    hosted: set[bytes] = field(default_factory=set)
    open_keys: set[tuple[bytes, int]] = field(default_factory=set)
    peers: set[tuple[bytes, int]] = field(default_factory=set)
