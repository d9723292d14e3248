"""What the agents of the swarm say to each other."""

from __future__ import annotations

from queenright.agent import AgentRef, Context, Message


def from_parent(ctx: Context) -> AgentRef | None:
    """The parent, if it was the sender: an agent obeys it alone, whatever others are called."""
    parent, sender = ctx.parent, ctx.sender
    return parent if parent is not None and sender is not None and sender.id == parent.id else None


class Beat(Message):
    """A second has passed."""


class Open(Message):
    """To a commander: an incident, with the samples that confirmed it (rows of `measure.Sample`)."""

    number: int
    onset_ms: int
    normal_p50_ms: float
    samples: tuple[tuple[int, int, int, float, float, str, tuple[str, ...]], ...]


class Investigate(Message):
    """To a metric or log agent: its piece (`pieces.Piece`)."""

    source: str
    signal: str
    target: str
    from_ms: int
    to_ms: int


class Finding(Message):
    """To the commander: what one piece showed. `read`: series or lines seen; `evidence`: rows of Evidence."""

    signal: str
    target: str
    read: int
    evidence: tuple[tuple[str, str, float], ...]
    trouble: str = ""


class Late(Message):
    """To the commander, from itself: who has not answered by now is not waited for."""


class Act(Message):
    """To a remedy agent: the one thing it was made for. `args`: pairs of name and value."""

    verb: str
    resource: str
    args: tuple[tuple[str, str | int | tuple[str, ...]], ...]
    reason: str


class Acted(Message):
    """To the commander: how the act ended: done, denied, expired, failed or unknown."""

    outcome: str
    detail: str


class Report(Message):
    """To the watcher: how the incident ended: healed, not healed, denied, expired, failed or unexplained."""

    number: int
    outcome: str
    detail: str
