"""An agent while it lives in this cell: its behaviour, its state as last accepted, and the turn it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from queenright.agent.agent import Agent
from queenright.agent.message import Message
from queenright.agent.ref import AgentRef
from queenright.cell.keys import Keys
from queenright.cell.state import dump_state, load_state
from queenright.core import decode
from queenright.errors import Malformed
from queenright.wire.certificate import NO_PARENT
from queenright.wire.link import Host

if TYPE_CHECKING:
    from queenright.cell.turn import Turn

__all__ = ["Resident"]


@dataclass(slots=True, eq=False)
class Resident:
    """One agent of this cell. `state_bytes` is the last state a record carried; the object is only a cache of it."""

    cls: type[Agent]
    me: AgentRef
    parent: AgentRef | None
    args: dict[str, Any]
    intent: bytes
    package: bytes
    state_bytes: bytes | None
    state_version: int
    keys: Keys
    reach: set[bytes]
    turn: Turn | None = None
    leaving: bool = False
    _behaviour: Agent | None = field(default=None)

    @classmethod
    def from_host(cls, host: Host, behaviour: type[Agent], keys: Keys) -> Resident:
        """Raises Malformed if the arguments are not a canonical map."""
        args = decode(host.args)
        if not isinstance(args, dict):
            raise Malformed("an agent's arguments are a map")
        parent = None
        if host.parent != NO_PARENT:
            parent = AgentRef(host.parent, host.name.rpartition("/")[0])
        return cls(
            cls=behaviour,
            me=AgentRef(host.agent, host.name),
            parent=parent,
            args=args,
            intent=host.intent,
            package=host.package,
            state_bytes=host.state,
            state_version=host.state_version,
            keys=keys,
            reach={host.agent, host.parent, *host.kin},
        )

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
