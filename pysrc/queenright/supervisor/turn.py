"""The rows of an open turn: which message, which try, and every step it has recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from queenright.core import canonical, decode
from queenright.wire.step import step_digest

__all__ = ["STEPS", "TURNS", "OpenTurn", "StepRow"]

TURNS = "agent.turn"  # agent -> the open turn
STEPS = "agent.step"  # agent + u64 turn + u32 ordinal -> a recorded step


@dataclass(slots=True)
class StepRow:
    """One step: the request, the sends released with it, and its result once there is one."""

    ordinal: int
    kind: str
    request: bytes
    ops: list[bytes]
    t_ms: int
    done: bool = False
    ok: bool = False
    value: bytes = b""
    error: dict[str, Any] | None = None

    @property
    def digest(self) -> bytes:
        return step_digest(self.kind, self.request)

    def encode(self) -> bytes:
        return canonical(
            {
                "v": 1,
                "ordinal": self.ordinal,
                "kind": self.kind,
                "request": self.request,
                "ops": self.ops,
                "t_ms": self.t_ms,
                "done": self.done,
                "ok": self.ok,
                "value": self.value,
                "error": self.error,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> StepRow:
        body = decode(data)
        del body["v"]
        return cls(**body)

    def for_cell(self) -> dict[str, Any]:
        """As `Deliver.steps` carries it."""
        return {
            "ordinal": self.ordinal,
            "kind": self.kind,
            "digest": self.digest,
            "done": self.done,
            "ok": self.ok,
            "value": self.value,
            "error": self.error,
            "ops": self.ops,
        }


@dataclass(slots=True)
class OpenTurn:
    """A turn between its begin row and its end record. `key` is empty for the last turn of an agent that stops."""

    agent: bytes
    turn: int
    key: bytes
    attempt: int
    deaths: int
    steps: dict[int, StepRow] = field(default_factory=dict)
    delivered: bool = False  # a cell has it now
    fresh: bool = True  # something a cell would act on has happened since it last had it
    backoff: bool = False

    def encode(self) -> bytes:
        return canonical(
            {"v": 1, "turn": self.turn, "key": self.key, "attempt": self.attempt, "deaths": self.deaths}
        )

    @classmethod
    def decode(cls, agent: bytes, data: bytes) -> OpenTurn:
        body = decode(data)
        return cls(agent, body["turn"], body["key"], body["attempt"], body["deaths"])

    def step_key(self, ordinal: int) -> bytes:
        return self.agent + self.turn.to_bytes(8, "big") + ordinal.to_bytes(4, "big")

    @property
    def parked(self) -> bool:
        """Every open step waits for somebody else, so no cell is needed for it."""
        return any(not step.done for step in self.steps.values())
