"""The watcher: always there, looks once a second, and wakes the others only for what lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from queenright.agent import Agent, Allow, Ask, ChildEnded, Context, handles

from .commander import Commander, label
from .detect import BASELINE, Detector, symptoms
from .hypotheses import Runbook
from .measure import thaw_reading, thaw_sample
from .messages import Beat, Open, Report
from .scrape import look

PERIOD = 1.0  # seconds


@dataclass
class Memory:
    before: list[Any] | None = None  # the last reading of the edge
    baseline: list[float] = field(default_factory=list)
    recent: list[bool] = field(default_factory=list)
    evidence: list[Any] = field(default_factory=list)
    incidents: int = 0
    commander: bytes = b""  # whose incident is open, or nobody's
    given_up: bool = False  # the last incident did not end well: wait until the service was healthy once


class Watcher(Agent):
    """Scrapes every target, and opens an incident when the detector confirms one."""

    state: Memory
    STATE_VERSION = 1
    cell = "shared"

    async def on_start(self, ctx: Context) -> None:
        book = Runbook.of(ctx.args)
        ctx.every(PERIOD, Beat())
        ctx.log(f"watching {', '.join(book.targets)}")

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        memory = self.state
        if memory.commander:
            return  # the commander measures now
        book = Runbook.of(ctx.args)
        reading, sample = await look(
            ctx, book.service.edge, book.service.workers, thaw_reading(memory.before)
        )
        memory.before = None if reading is None else list(reading)
        if sample is None:
            return
        detector = Detector(memory.baseline, memory.recent, [thaw_sample(row) for row in memory.evidence])
        state = detector.feed(sample)
        if state == "learning" and len(detector.baseline) == BASELINE:
            ctx.log(f"normal here is a p50 of {detector.normal_p50_ms:.1f} ms")
        elif state == "suspect":
            broken = symptoms(sample, detector.normal_p50_ms, suspicious=True)
            shown = "; ".join(map(str, broken)) or "a good sample"
            ctx.log(
                f"suspicion, {sum(detector.recent)} bad of the last {len(detector.recent)} samples: {shown}"
            )
        elif state == "passed":
            ctx.log("the suspicion passed by itself: nothing was done")
        elif state == "quiet" and memory.given_up:
            memory.given_up = False
            ctx.log("healthy again")
        elif state == "confirmed" and not memory.given_up:
            await self._open(ctx, book, detector)
            detector.reset()
        memory.baseline, memory.recent = detector.baseline, detector.recent
        memory.evidence = [list(row) for row in detector.evidence]

    async def _open(self, ctx: Context, book: Runbook, detector: Detector) -> None:
        """Found a commander with what an incident may take, and no more."""
        memory = self.state
        memory.incidents += 1
        memory.before = None
        shop = [*book.targets, book.release, book.database]
        commander = await ctx.spawn(
            Commander,
            name=f"commander-{memory.incidents}",
            args=dict(ctx.args),
            exercise=[Allow("metrics.read", target) for target in book.targets],
            delegate=[
                *(Allow(verb, target) for verb in ("metrics.read", "logs.read") for target in book.targets),
                *(Allow("svc.restart", worker) for worker in book.service.workers),
                Allow("release.rollback", shop[-2]),
                Allow("config.restore", book.service.edge),
                Allow("db.index.create", book.database),
                Ask("db.session.kill", book.database),
            ],
            depth=1,
            agents=book.agents - 2,
        )
        memory.commander = commander.id
        samples = tuple(
            (one.at_ms, one.sent, one.bad, one.p50_ms, one.p95_ms, one.route, one.down)
            for one in detector.evidence
        )
        onset = detector.evidence[0].at_ms - int(PERIOD * 1000)
        ctx.log(
            f"confirmed by {len(samples)} samples: incident {memory.incidents} goes to {label(commander)}"
        )
        ctx.send(commander, Open(memory.incidents, onset, detector.normal_p50_ms, samples))

    @handles
    async def report(self, ctx: Context, message: Report) -> None:
        if ctx.sender is None or ctx.sender.id != self.state.commander:
            return
        self._close(message.outcome == "healed")
        ctx.log(f"incident {message.number}: {message.outcome}: {message.detail}")

    @handles
    async def child_ended(self, ctx: Context, message: ChildEnded) -> None:
        if message.agent == self.state.commander:
            self._close(well=False)
            ctx.log("the commander ended without a report: not healed")

    def _close(self, well: bool) -> None:
        self.state.commander, self.state.given_up = b"", not well
