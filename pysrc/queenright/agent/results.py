"""What steps give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queenright.agent.ref import AgentRef
from queenright.errors import Malformed

__all__ = ["Found", "Shell"]


@dataclass(frozen=True, slots=True)
class Shell:
    """A command's end. `code` is negative for a signal; `out` and `err` are bounded and may be cut; `changed` are the first
    paths of the workspace that it changed. `dropped` is why nothing it changed was kept (it was ended), or ""."""

    code: int
    out: str
    err: str
    timed_out: bool = False
    changed: tuple[str, ...] = ()
    dropped: str = ""

    @classmethod
    def from_value(cls, value: Any) -> Shell:
        """Raises Malformed if the runtime's answer has another shape."""
        if not isinstance(value, dict) or not isinstance(value.get("code"), int):
            raise Malformed("a shell's result is a map with code, out and err")
        changed = value.get("changed") or []
        return cls(
            value["code"],
            _text(value.get("out", "")),
            _text(value.get("err", "")),
            bool(value.get("timed_out", False)),
            tuple(_text(path) for path in changed),
            _text(value.get("dropped", "")),
        )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True, slots=True)
class Found:
    """An agent within reach. `capabilities` are its package's word, `claimed` its own."""

    agent: AgentRef
    behaviour: str
    capabilities: tuple[str, ...]
    claimed: tuple[str, ...]

    @classmethod
    def from_value(cls, value: Any) -> Found:
        return cls(
            AgentRef(value["agent"], value["name"]),
            value["behaviour"],
            tuple(value["capabilities"]),
            tuple(value["claimed"]),
        )
