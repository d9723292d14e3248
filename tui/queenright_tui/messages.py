"""What screens wish for. The app is the only one that hears them and the only one that calls the feed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from textual.message import Message

from queenright.control.protocol import UndoPreview
from queenright_tui.feed import Approval

__all__ = [
    "Approve",
    "Deny",
    "Give",
    "GiveMethod",
    "NeedAgent",
    "NeedAsk",
    "NeedLedger",
    "NeedUndo",
    "NeedVerify",
    "NeedWhy",
    "Take",
    "TakeMethod",
    "Undo",
]

TakeMethod: TypeAlias = Literal["revoke", "pause", "freeze", "stop"]
GiveMethod: TypeAlias = Literal["resume", "unfreeze"]


@dataclass
class NeedAsk(Message):
    ask: str


@dataclass
class NeedAgent(Message):
    agent: str


@dataclass
class NeedLedger(Message):
    query: str


@dataclass
class NeedVerify(Message):
    pass


@dataclass
class NeedWhy(Message):
    target: str


@dataclass
class NeedUndo(Message):
    """The preview of undoing `target`."""

    target: str


@dataclass
class Approve(Message):
    approval: Approval


@dataclass
class Deny(Message):
    ask: str
    reason: str


@dataclass
class Take(Message):
    method: TakeMethod
    target: str
    reason: str
    what: str
    """The target as a person knows it, for the line that tells what came of it."""


@dataclass
class Give(Message):
    method: GiveMethod
    target: str
    what: str


@dataclass
class Undo(Message):
    preview: UndoPreview
