"""What authors of agents import: Agent, Context, messages, rules, and the refusals they may catch.

Runs in a cell, beside untrusted code, and holds no authority: every call on `ctx` is a request that the supervisor checks.
Promises: messages are deeply immutable; an agent's `state` is all that outlives a turn; a step awaited again after a crash
gives what it gave before. May know `wire`, `core`, `errors` and `clock`, nothing of the supervisor's.
"""

from queenright.agent.agent import Agent, handles
from queenright.agent.context import Context, Files
from queenright.agent.events import ChildEnded, Ended, Undelivered
from queenright.agent.message import Message
from queenright.agent.ref import AgentRef
from queenright.agent.results import Found, Shell
from queenright.agent.rules import Allow, Ask, Rule
from queenright.agent.step import Step
from queenright.errors import (
    AskExpired,
    CallCycle,
    CallTooDeep,
    Denied,
    Dimension,
    ForeignAwaitable,
    MailboxFull,
    Malformed,
    Parked,
    QueenrightError,
    StepFailed,
    StepOverlap,
    TimedOut,
    TooManySteps,
    Unknown,
    UnknownOutcome,
    VolatileTurn,
)

__all__ = [
    "Agent",
    "AgentRef",
    "Allow",
    "Ask",
    "AskExpired",
    "CallCycle",
    "CallTooDeep",
    "ChildEnded",
    "Context",
    "Denied",
    "Dimension",
    "Ended",
    "Files",
    "ForeignAwaitable",
    "Found",
    "MailboxFull",
    "Malformed",
    "Message",
    "Parked",
    "QueenrightError",
    "Rule",
    "Shell",
    "Step",
    "StepFailed",
    "StepOverlap",
    "TimedOut",
    "TooManySteps",
    "Undelivered",
    "Unknown",
    "UnknownOutcome",
    "VolatileTurn",
    "handles",
]
