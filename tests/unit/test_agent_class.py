"""What an author may write as a behaviour class, and what is refused when the class is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import queenright.agent
from queenright.agent import Agent, Allow, Ask, Context, Message, handles
from queenright.agent.rules import grant_request
from queenright.errors import Malformed


class Look(Message):
    target: str


class See(Message):
    n: int


@dataclass
class Memory:
    n: int = 0


def test_handlers_are_found_by_the_message_they_annotate() -> None:
    class One(Agent):
        @handles
        async def both(self, ctx: Context, message: Look | See) -> None: ...

    class Two(One):
        @handles
        async def see(self, ctx: Context, message: See) -> None: ...

    assert One._handlers == {Look: "both", See: "both"}
    assert Two._handlers == {Look: "both", See: "see"}


def test_only_state_can_be_set_on_an_agent() -> None:
    class Holder(Agent):
        state: Memory

    agent = Holder()
    agent.state = Memory(3)
    with pytest.raises(AttributeError, match="only `state` outlives a turn"):
        agent.cache = {}  # type: ignore[attr-defined]


def _bad_init() -> None:
    class Bad(Agent):
        def __init__(self) -> None: ...


def _bad_cell() -> None:
    class Bad(Agent):
        cell = "mine"


def _state_without_default() -> None:
    @dataclass
    class Needy:
        n: int

    class Bad(Agent):
        __annotations__ = {"state": Needy}


def _state_is_no_dataclass() -> None:
    class Bad(Agent):
        state: dict[str, int]


def _two_handlers() -> None:
    class Bad(Agent):
        @handles
        async def one(self, ctx: Context, message: Look) -> None: ...
        @handles
        async def two(self, ctx: Context, message: Look) -> None: ...


def _handler_of_nothing() -> None:
    class Bad(Agent):
        @handles
        async def one(self, ctx: Context, message: int) -> None: ...


def _handler_without_annotation() -> None:
    class Bad(Agent):
        @handles
        async def one(self, ctx, message) -> None: ...  # type: ignore[no-untyped-def]


def _handler_of_unknown() -> None:
    class Bad(Agent):
        @handles
        async def one(self, ctx: Context, message: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def _plain_handler() -> None:
    class Bad(Agent):
        @handles
        def one(self, ctx: Context, message: Look) -> None: ...


def _short_handler() -> None:
    class Bad(Agent):
        @handles
        async def one(self, message: Look) -> None: ...


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_bad_init, "defines __init__"),
        (_bad_cell, '"shared" or "own"'),
        (_state_without_default, "needs a default"),
        (_state_is_no_dataclass, "annotated with a dataclass"),
        (_two_handlers, "both handle Look"),
        (_handler_of_nothing, "the message class it handles"),
        (_handler_without_annotation, "the message class it handles"),
        (_handler_of_unknown, "`Nowhere` is not known"),
        (_plain_handler, "async def"),
        (_short_handler, "async def"),
    ],
)
def test_a_class_that_could_not_work_is_refused_when_it_is_made(make: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


def test_rules_are_the_canonical_maps_of_the_grant() -> None:
    from queenright.authority.grant_request import GrantRequest

    request = grant_request(
        [
            Allow("svc.restart", "svc:shop/web", max=2, min_gap=60),
            Allow(["logs.read", "metrics.read"], "svc:shop/**"),
        ],
        [Ask("db.write", "pg:shop/*", agent_rate=(5, 1), total_rate=(20, 60))],
        not_after_ms=5,
        depth=1,
        agents=3,
    )
    assert request["exercise"][0] == {
        "mode": "allow",
        "verbs": ["svc.restart"],
        "resource": "svc:shop/web",
        "max": 2,
        "min_gap_ms": 60_000,
        "rate": None,
    }
    assert request["delegate"][0]["rate"] == {"agent": [5, 1000], "all": [20, 60_000]}
    assert GrantRequest.from_wire(request).to_wire() == request


@pytest.mark.parametrize(
    "make",
    [
        lambda: Allow([], "svc:x").to_map(),
        lambda: Allow("a.b", "").to_map(),
        lambda: Allow("a.b", "svc:x", max=-1).to_map(),
        lambda: Allow("a.b", "svc:x", agent_rate=(0, 1)).to_map(),
        lambda: Allow("a.b", "svc:x", total_rate=(1, 0)).to_map(),
        lambda: grant_request([], [], not_after_ms=None, depth=-1, agents=0),
    ],
)
def test_a_rule_that_could_never_hold_is_refused(make: Any) -> None:
    with pytest.raises(Malformed):
        make()


def test_the_names_an_author_imports_are_these_and_no_others() -> None:
    """Removing one is a decision, not an accident."""
    assert set(queenright.agent.__all__) == {
        "Agent", "AgentRef", "Allow", "Ask", "AskExpired", "CallCycle", "CallTooDeep", "ChildEnded", "Context", "Denied",
        "Dimension", "Ended", "Files", "ForeignAwaitable", "Found", "MailboxFull", "Malformed", "Message", "Parked",
        "QueenrightError", "Rule", "Shell", "Step", "StepFailed", "StepOverlap", "TimedOut", "TooManySteps", "Undelivered",
        "Unknown", "UnknownOutcome", "VolatileTurn", "handles",
    }  # fmt: skip
    assert all(hasattr(queenright.agent, name) for name in queenright.agent.__all__)
