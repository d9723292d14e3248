"""What the runtime itself tells an agent. Handle them like any message; one without a handler is let go."""

from __future__ import annotations

from queenright.agent.message import Message

__all__ = ["BORN", "RUNTIME_TYPES", "ChildEnded", "Ended", "Undelivered"]

# The first message of every agent's life: its turn runs `on_start`.
BORN = "queenright.Born"


class ChildEnded(Message):
    """A child is gone for good. `error` is the last one it had, untrusted text."""

    agent: bytes
    name: str
    reason: str
    error: str = ""


class Ended(Message):
    """An agent this one monitors is gone."""

    agent: bytes
    name: str
    reason: str
    error: str = ""


class Undelivered(Message):
    """A message that could not be delivered comes back. `body` is empty if it was sealed: nobody else can open it."""

    to: bytes
    type: str
    reason: str
    body: bytes = b""


RUNTIME_TYPES: dict[str, type[Message]] = {
    cls.__schema__.name: cls for cls in (ChildEnded, Ended, Undelivered)
}
