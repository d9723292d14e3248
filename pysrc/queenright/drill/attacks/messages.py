"""The drill's messages."""

from __future__ import annotations

from queenright.agent import Message

__all__ = ["Count", "Counted", "Flood", "Order", "Ping", "Pong", "Whisper"]


class Order(Message):
    """One attack to make: its name, and `facts`, the canonical map of what it may know. `fresh`: by an agent of its own."""

    attack: str
    facts: bytes
    fresh: bool


class Ping(Message):
    """Answered by the neighbour."""


class Pong(Message):
    """The answer."""


class Whisper(Message, volatile=True):
    """What is sent to have a batch to forge, change and replay."""

    n: int


class Flood(Message):
    """One of very many."""

    n: int


class Count(Message):
    """How many of a flood came?"""


class Counted(Message):
    """So many."""

    n: int
