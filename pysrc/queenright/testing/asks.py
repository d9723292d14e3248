"""An ask of a behaviour under test, answered by the test as a person would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from queenright.errors import AskExpired, Conflict, Denied, QueenrightError

__all__ = ["OpenAsk"]


@dataclass(slots=True)
class OpenAsk:
    """What waits for a person. Answer it once."""

    agent: str
    verb: str
    resource: str
    reason: str
    args: dict[str, Any]
    _finish: Callable[[QueenrightError | None], None]
    open: bool = True

    def approve(self) -> None:
        """The act runs now, with its scripted result."""
        self._answer(None)

    def deny(self, reason: str = "") -> None:
        """The agent gets Denied with the person's words."""
        text = f"a person denied {self.verb} on {self.resource}"
        self._answer(Denied(text, verb=self.verb, resource=self.resource, reason=reason))

    def expire(self) -> None:
        """Nobody answered, which is a denial: the agent gets AskExpired."""
        self._answer(AskExpired(f"nobody answered {self.verb} on {self.resource} in time"))

    def _answer(self, refusal: QueenrightError | None) -> None:
        if not self.open:
            raise Conflict("this ask is answered already")
        self.open = False
        self._finish(refusal)
