"""What a sleeping agent is in its cell: a few dozen bytes from which its resident is made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queenright.core import canonical, decode

if TYPE_CHECKING:
    from queenright.cell.resident import Resident
    from queenright.wire.link import Host

__all__ = ["Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """`behaviour` and `intent` are numbers of the process: few, and shared by many agents."""

    name: str
    behaviour: int
    intent: int
    parent: bytes
    args: bytes
    state: bytes | None
    state_version: int

    @classmethod
    def of_host(cls, host: Host, behaviour: int, intent: int) -> Record:
        return cls(host.name, behaviour, intent, host.parent, host.args, host.state, host.state_version)

    def after(self, resident: Resident) -> Record:
        """The record of the same agent with the state its resident last had accepted."""
        state, version = resident.state_bytes, resident.state_version
        return Record(self.name, self.behaviour, self.intent, self.parent, self.args, state, version)

    def encode(self) -> bytes:
        return canonical([getattr(self, name) for name in self.__slots__])

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Of what this process wrote itself."""
        return cls(*decode(data))
