"""Reading through actions: the only way an agent sees anything."""

from __future__ import annotations

from queenright.agent import Context, QueenrightError

from .measure import Reading, Sample, Series, read_edge, sample

SILENT = frozenset({"unreachable", "timed_out"})  # how an action says that the target did not answer


async def scrape(ctx: Context, target: str) -> list[Series] | None:
    """The target's metrics, or None if it does not answer. A denial is no measurement: it is raised."""
    try:
        value = await ctx.act("metrics.read", target)
    except QueenrightError as error:
        if error.code not in SILENT:
            raise
        return None
    return [
        Series(name, labels, number)
        for name, labels, number in value["samples"]
        if not isinstance(number, str)
    ]


async def look(
    ctx: Context, edge: str, workers: tuple[str, ...], before: Reading | None
) -> tuple[Reading | None, Sample | None]:
    """One round over all targets: the edge's reading, and the sample since the one before."""
    at_ms = await ctx.now()
    scraped = await scrape(ctx, edge)
    down = [] if scraped is not None else [edge]
    for worker in workers:
        if await scrape(ctx, worker) is None:
            down.append(worker)
    if scraped is None:
        return None, Sample(at_ms, down=tuple(down))
    reading = read_edge(scraped, at_ms)
    return reading, None if before is None else sample(before, reading, tuple(down))
