"""The seam between what authors call and the process that runs them: one turn, as `Context` sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from queenright.agent.agent import Agent
    from queenright.agent.message import Message
    from queenright.agent.ref import AgentRef
    from queenright.agent.step import Step

__all__ = ["Turn"]


class Turn(Protocol):
    """What a cell (or the harness of `queenright.testing`) gives a Context."""

    me: AgentRef
    parent: AgentRef | None
    sender: AgentRef | None
    args: dict[str, Any]
    chain: tuple[bytes, ...]

    def open(self, steps: Sequence[Step[Any]]) -> None:
        """Record these steps, or take what is recorded. Raises StepOverlap, TooManySteps, StepMismatch, VolatileTurn."""

    def close(self, steps: Sequence[Step[Any]]) -> None:
        """Their results were taken; the next step may open."""

    def send(self, to: bytes, message: Message) -> None:
        """Raises MailboxFull for a volatile message to a full mailbox of this cell."""

    def op(self, op: dict[str, Any]) -> None:
        """Something the next record carries. Raises VolatileTurn in a turn that has no records."""

    def name_timer(self) -> bytes:
        """A timer's id, 16 bytes, the same when the turn runs again."""

    def birth(
        self, behaviour: type[Agent] | str, name: str | None, grant: dict[str, Any], args: bytes
    ) -> Step[Any]:
        """The step that asks for a child, its birth certificate signed by this agent's key."""

    def births(
        self,
        behaviour: type[Agent] | str,
        names: list[str] | tuple[str | None, int],
        grant: dict[str, Any],
        args: bytes | list[bytes],
    ) -> Step[Any]:
        """The step that asks for a batch of children, signed once: their own names, or a stem (None: made up) and a count;
        arguments for all, or each one's."""

    def log(self, level: str, text: str) -> None: ...
