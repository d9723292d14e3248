"""How agents name each other."""

from __future__ import annotations

from queenright.agent.message import Message

__all__ = ["AgentRef"]


class AgentRef(Message):
    """An agent. `id` is the digest of its birth certificate (32 bytes); `name` is a label and proves nothing."""

    id: bytes
    name: str = ""

    def __str__(self) -> str:
        return self.name or f"agent-{self.id.hex()[:12]}"
