"""Metric and log agents: one piece each, read with their own eyes, reported as a few facts."""

from __future__ import annotations

from queenright.agent import Agent, AgentRef, Context, QueenrightError, handles

from .evidence import Evidence, from_logs, from_metrics, parse
from .messages import Finding, Investigate, from_parent
from .pieces import Piece, Source
from .scrape import scrape

PAGES = 16  # log pages one agent reads at most


def _piece(message: Investigate) -> Piece:
    source: Source = "metrics" if message.source == "metrics" else "logs"
    return Piece(source, message.signal, message.target, message.from_ms, message.to_ms)


def _report(
    ctx: Context, parent: AgentRef, piece: Piece, read: int, evidence: tuple[Evidence, ...], trouble: str = ""
) -> None:
    facts = ", ".join(f"{e.kind} {e.subject} {e.value:.6g}" for e in evidence) or "nothing odd"
    # One form for all, so that anyone can check from the logs who looked at what, and that they did.
    window = f"{piece.from_ms}..{piece.to_ms}"
    ctx.log(f"piece {piece.source} {piece.signal} {piece.target} {window} read {read}: {trouble or facts}")
    ctx.send(
        parent,
        Finding(
            piece.signal, piece.target, read, tuple((e.kind, e.subject, e.value) for e in evidence), trouble
        ),
    )


class MetricAgent(Agent):
    """Scrapes one target at both ends of its window."""

    cell = "shared"

    @handles
    async def investigate(self, ctx: Context, message: Investigate) -> None:
        parent, piece = from_parent(ctx), _piece(message)
        if parent is None:
            return
        try:
            before = await scrape(ctx, piece.target)
            await ctx.sleep(max(0, piece.to_ms - await ctx.now()) / 1000)
            after = await scrape(ctx, piece.target)
        except QueenrightError as error:
            return _report(ctx, parent, piece, 0, (), f"cannot scrape: {error.message}")
        if before is None or after is None:
            return _report(ctx, parent, piece, 0, (), "the target does not answer a scrape")
        _report(ctx, parent, piece, len(before) + len(after), from_metrics(piece, before, after))


class LogAgent(Agent):
    """Reads one target's log and keeps what lies in its window."""

    cell = "shared"

    @handles
    async def investigate(self, ctx: Context, message: Investigate) -> None:
        parent, piece = from_parent(ctx), _piece(message)
        if parent is None:
            return
        offset, text = 0, ""
        try:
            for _ in range(PAGES):
                page = await ctx.act("logs.read", piece.target, offset=offset)
                text += page["text"]
                if page["next"] in (offset, page["size"]):
                    break
                offset = page["next"]
        except QueenrightError as error:
            return _report(ctx, parent, piece, 0, (), f"cannot read: {error.message}")
        lines = parse(text)
        _report(ctx, parent, piece, len(lines), from_logs(piece, lines))
