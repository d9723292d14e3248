"""The lease: a live, expiring right of one agent to use one credential through a broker, and its states.

REQUESTED, ISSUING, ACTIVE, RENEWING, ENDED, CLEANING, CLEAN, STUCK. ENDED is what the promise is about: from that moment
nothing passes any broker. What follows is hygiene at the provider, with states and an alarm of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from queenright.core import canonical, decode
from queenright.errors import Conflict

__all__ = ["Delivery", "Lease", "LeaseState"]

LeaseState = Literal["requested", "issuing", "active", "renewing", "ended", "cleaning", "clean", "stuck"]
Delivery = Literal["act", "inject"]
"""The classes that never show an agent the value."""

_NEXT: dict[LeaseState, frozenset[LeaseState]] = {
    "requested": frozenset({"issuing", "ended"}),
    "issuing": frozenset({"active", "ended"}),
    "active": frozenset({"renewing", "active", "ended"}),
    "renewing": frozenset({"active", "ended"}),
    "ended": frozenset({"cleaning", "clean"}),
    "cleaning": frozenset({"ended", "clean", "stuck"}),
    "stuck": frozenset({"cleaning", "clean"}),
    "clean": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Lease:
    """Times are of `Timekeeper`. `max_ms`: no renewal and no operator goes past it. `attempts`: clean-ups that failed."""

    id: bytes
    agent: bytes
    intent: bytes
    resource: str
    secret: str
    delivery: Delivery
    provider: str
    state: LeaseState
    issued_ms: int
    expires_ms: int
    max_ms: int
    ttl_ms: int
    parent: bytes | None = None
    ended_ms: int = 0
    reason: str = ""
    attempts: int = 0
    try_ms: int = 0

    @property
    def live(self) -> bool:
        """Does it, or may it soon, let anything pass?"""
        return self.state in ("requested", "issuing", "active", "renewing")

    @property
    def provider_name(self) -> str:
        """What the provider knows it by: the same before and after a crash, so that a sweep finds what was left."""
        return f"qr_{self.id.hex()}"

    def may_become(self, state: LeaseState) -> None:
        """Raises Conflict for a step that the state machine does not have."""
        if state not in _NEXT[self.state]:
            raise Conflict(f"lease-{self.id.hex()[:12]} is {self.state} and cannot become {state}")

    def encode(self) -> bytes:
        return canonical({field.name: getattr(self, field.name) for field in fields(self)} | {"v": 1})

    @classmethod
    def decode(cls, data: bytes) -> Lease:
        body = decode(data)
        del body["v"]
        return cls(**body)
