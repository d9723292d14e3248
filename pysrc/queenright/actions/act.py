"""What an agent asks for, and the ways it can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from queenright.core import canonical, digest
from queenright.errors import Denied

__all__ = [
    "ActRequest",
    "ActResult",
    "AskOpened",
    "Class",
    "Done",
    "Failed",
    "Refused",
    "Risk",
    "UnknownEnd",
]

Class = Literal["read", "exact", "compensate", "none"]
"""How an act is undone; see design section 7."""

Risk = Literal["LOW", "MED", "HIGH", "CRITICAL"]


@dataclass(frozen=True, slots=True)
class ActRequest:
    """One act of one agent. `(agent, turn, ordinal)` names it: performing it again continues or replays,
    never repeats.

    `reason` is the agent's own text: shown quoted, and never looked at. `cell` and `shared` go into the leaf.
    """

    agent: bytes
    agent_name: str
    incarnation: int
    cell: str
    shared: bool
    intent: bytes
    grant: bytes
    turn: int
    ordinal: int
    verb: str
    resource: str
    args: Mapping[str, Any]
    reason: str = ""

    @property
    def id(self) -> bytes:
        """The act's id, the same for every attempt of this step."""
        return digest("act", canonical({"v": 1, "agent": self.agent, "turn": self.turn, "n": self.ordinal}))

    @property
    def waits(self) -> bytes:
        """The name under which it waits for a person."""
        return self.id


@dataclass(frozen=True, slots=True)
class Done:
    """It happened and was verified. `value` is canonical; `act` is None for a read."""

    value: Any
    act: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It ended without doing what was asked, and that is known. `code` is stable."""

    code: str
    message: str
    act: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing happened: no grant allows it, or a person said no."""

    denied: Denied


@dataclass(frozen=True, slots=True)
class AskOpened:
    """A person must decide. Perform the same request again when they have."""

    ask_id: bytes


@dataclass(frozen=True, slots=True)
class UnknownEnd:
    """It began and nobody saw its end. A person decides; it is never repeated."""

    message: str
    act: bytes


ActResult = Done | Failed | Refused | AskOpened | UnknownEnd
