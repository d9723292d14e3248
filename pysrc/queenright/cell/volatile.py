"""A turn over a volatile message: never recorded, so it may only send volatile messages and change its state in memory.

The state it leaves becomes durable with the agent's next durable turn or when the agent is put to rest, and is lost if the
cell ends before. Handlers are called, and sends inside the cell made, by the core; what is left is answered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from queenright.agent.agent import Agent
from queenright.agent.message import Message
from queenright.agent.step import Step
from queenright.errors import Malformed, VolatileTurn

if TYPE_CHECKING:
    from queenright.cell.process import Process
    from queenright.cell.resident import Resident

__all__ = ["VolatileRun"]


class VolatileRun:
    """The `queenright.agent.turn.Turn` of an agent's volatile messages, one after the other."""

    __slots__ = ("_process", "_resident", "args", "chain", "me", "parent")

    def __init__(self, process: Process, resident: Resident) -> None:
        self._process = process
        self._resident = resident
        self.me = resident.me
        self.parent = resident.parent
        self.args = resident.args
        self.chain: tuple[bytes, ...] = ()

    @property
    def sender(self) -> NoReturn:
        raise Malformed("the core knows who sent a volatile message")

    def _refuse(self, what: str) -> NoReturn:
        raise VolatileTurn(
            f"a turn over a volatile message records nothing, so {what} cannot be done in it",
            hint="make the message durable: drop `volatile=True` from its class",
        )

    def open(self, steps: Sequence[Step[Any]]) -> None:
        if steps:
            self._refuse(f"`{steps[0].kind}`")

    def close(self, steps: Sequence[Step[Any]]) -> None:
        """No step was open."""

    def send(self, to: bytes, message: Message) -> None:
        if not type(message).__volatile__:
            self._refuse("a durable send")
        self._process.send_volatile(self._resident, to, message)

    def op(self, op: dict[str, Any]) -> None:
        self._refuse(f"`{op['op']}`")

    def name_timer(self) -> bytes:
        self._refuse("a timer")

    def birth(
        self, behaviour: type[Agent] | str, name: str | None, grant: dict[str, Any], args: bytes
    ) -> Step[Any]:
        self._refuse("`spawn`")

    def births(
        self,
        behaviour: type[Agent] | str,
        names: list[str] | tuple[str | None, int],
        grant: dict[str, Any],
        args: bytes | list[bytes],
    ) -> Step[Any]:
        self._refuse("`spawn_many`")

    def log(self, level: str, text: str) -> None:
        self._process.log(self.me.id, level, text)
