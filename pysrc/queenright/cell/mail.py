"""A message as it arrives: the `Mail` map of the link, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.errors import Malformed

__all__ = ["RUNTIME", "Mail"]

RUNTIME = bytes(32)

_SHAPE: dict[str, tuple[type, ...]] = {
    "id": (bytes,), "sender": (bytes,), "sender_name": (str,), "type": (str,), "body": (bytes, type(None)),
    "sealed": (dict, type(None)), "call": (bytes, type(None)), "chain": (list,),
}  # fmt: skip


@dataclass(slots=True)
class Mail:
    """`call` is set when somebody waits for the handler's value; `chain` are the agents of the open calls before it."""

    id: bytes
    sender: bytes
    sender_name: str
    type: str
    body: bytes | None
    sealed: dict[str, Any] | None
    call: bytes | None
    chain: list[bytes]

    @classmethod
    def from_map(cls, mail: dict[str, Any]) -> Mail:
        """Raises Malformed on other fields, other types, or neither or both of body and sealed."""
        if mail.keys() != _SHAPE.keys():
            raise Malformed("a mail has other fields than the link's")
        for name, kinds in _SHAPE.items():
            if type(mail[name]) not in kinds:
                raise Malformed("a mail has other fields than the link's")
        if (mail["body"] is None) == (mail["sealed"] is None) or len(mail["sender"]) != 32:
            raise Malformed("a mail has a 32-byte sender and either a body or a seal")
        if not all(isinstance(agent, bytes) for agent in mail["chain"]):
            raise Malformed("a mail's chain is a list of agents")
        return cls(**mail)
