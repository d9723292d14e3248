"""An agent while it is awake in this cell: its behaviour, its state as last accepted, and the turn it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from queenright.agent.agent import Agent
from queenright.agent.context import Context
from queenright.agent.message import Message
from queenright.agent.ref import AgentRef
from queenright.cell.state import dump_state, load_state
from queenright.cell.volatile import VolatileRun
from queenright.errors import Malformed

if TYPE_CHECKING:
    from queenright.cell.keys import Keys
    from queenright.cell.process import Process
    from queenright.cell.turn import Turn

__all__ = ["Resident"]


@dataclass(slots=True, eq=False)
class Resident:
    """An awake agent. `state_bytes` is the last state a record carried; the object is only a cache of it."""

    process: Process
    cls: type[Agent]
    me: AgentRef
    parent: AgentRef | None
    args: dict[str, Any]
    intent: bytes
    package: bytes
    state_bytes: bytes | None
    state_version: int
    turn: Turn | None = None
    _behaviour: Agent | None = field(default=None)

    @property
    def keys(self) -> Keys:
        """Its keys in this life of the cell: they stay while it sleeps."""
        return self.process.post.keys(self.me.id)

    def open(self) -> tuple[Agent, Context]:
        """For the core: the object, and the context of its volatile turns. Raises whatever its state's loading raises."""
        return self.behaviour, Context(VolatileRun(self.process, self), self.process.scheduler, self.me.id)

    @property
    def behaviour(self) -> Agent:
        """The object, made when it is needed. Raises whatever its state's loading raises."""
        if self._behaviour is None:
            behaviour = self.cls()
            behaviour.state = load_state(self.cls, self.state_bytes, self.state_version)
            self._behaviour = behaviour
        return self._behaviour

    def forget(self) -> None:
        """Throw the object away: the next turn starts from the last accepted state."""
        self._behaviour = None
        if self.me.id in self.process.scheduler:
            self.process.scheduler.forget(self.me.id)

    def changed_state(self) -> bytes | None:
        """The state's bytes if they differ from the last accepted. Raises Malformed if it cannot be written."""
        if self._behaviour is None or self.cls._state_type is None:
            return None
        state = self._behaviour.__dict__.get("state")
        if type(state) is not self.cls._state_type:
            raise Malformed(f"`state` of {self.cls.__qualname__} is a {type(state).__name__}")
        packed = dump_state(state)
        return None if packed == self.state_bytes and self.state_version == self.cls.STATE_VERSION else packed

    def accepted(self, state: bytes | None) -> None:
        """A record with this state has left."""
        if state is not None:
            self.state_bytes = state
            self.state_version = self.cls.STATE_VERSION

    def handler(self, kind: type[Message]) -> str | None:
        """The name of the method that handles a type."""
        return self.cls._handlers.get(kind)
