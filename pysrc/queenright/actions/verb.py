"""What a verb's module gives: a manifest, and functions that run in an executor and touch only its
resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from queenright.actions.manifest import Manifest
from queenright.actions.plan import Draft, Plan
from queenright.actions.resources import Resource
from queenright.actions.world import World
from queenright.errors import QueenrightError

TOUCHING = frozenset({"run", "undo", "keep"})
"""Requests to an executor that may have had an effect when nobody saw their end."""

__all__ = ["TOUCHING", "Action", "ActionFailed", "Effect", "Reach", "Read", "Undone", "Unsure"]


@dataclass(frozen=True, slots=True)
class Reach:
    """The paths an executor may reach for one verb on one resource; nothing else of the file system."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


class ActionFailed(QueenrightError):
    """It did not happen. `began`: something of it may have had an effect already, so its cost stays spent."""

    def __init__(self, code: str, message: str, *, began: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.began = began


class Unsure(QueenrightError):
    """It began and its end is not known."""

    code = "unknown_outcome"


@dataclass(frozen=True, slots=True)
class Effect:
    """What `run` did. `value` goes to the agent; `after` is what the target is now, for the undo to
    recognise.
    """

    value: Any
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did, in words."""

    what: str


class Read(Protocol):
    """A verb of class `read`."""

    manifest: Manifest

    def reach(self, resource: Resource) -> Reach: ...
    def read(self, world: World, args: Mapping[str, Any]) -> Any: ...


class Action(Protocol):
    """A verb that changes something.

    `plan` changes nothing, and its draft's arguments planned again give the same draft while the target is
    the same: an approval is over that draft, so nothing in it may change by itself (no ages, no times of
    day). `run` checks the precondition itself, immediately before it acts. `verify` takes a fresh look and
    raises `ActionFailed(began=True)` when the target is not what it should be. `conflict` says in words why
    an undo would overwrite somebody else's change, or "".
    """

    manifest: Manifest

    def reach(self, resource: Resource) -> Reach: ...
    def plan(self, world: World, args: Mapping[str, Any]) -> Draft: ...
    def run(self, world: World, plan: Plan) -> Effect: ...
    def verify(self, world: World, plan: Plan, effect: Effect) -> None: ...
    def conflict(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> str: ...
    def undo(self, world: World, plan: Plan, after: Mapping[str, Any] | None) -> Undone: ...
