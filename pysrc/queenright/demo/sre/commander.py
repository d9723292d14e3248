"""The commander of one incident: sizes the swarm, hears it, has one remedy applied, and measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queenright.agent import Agent, AgentRef, Allow, Ask, ChildEnded, Context, handles

from .detect import Recovery, leading
from .evidence import Evidence
from .hypotheses import Hypothesis, Runbook, Witness, hypotheses
from .investigators import LogAgent, MetricAgent
from .measure import Sample, thaw_reading, thaw_sample
from .messages import Act, Acted, Beat, Finding, Investigate, Late, Open, Report, from_parent
from .pieces import STAFF, Piece, pieces
from .remedy import Remedy
from .scrape import look
from .severity import severity

PATIENCE = 15.0  # seconds an investigation may take
IRREVERSIBLE = frozenset({"db.session.kill"})  # what a person decides


@dataclass
class Case:
    number: int = 0
    onset_ms: int = 0
    normal_p50_ms: float = 0.0
    samples: list[Any] = field(default_factory=list)
    level: str = ""
    agents: int = 0  # investigators so far
    waiting: dict[str, str] = field(
        default_factory=dict
    )  # id in hex and name of those that have not answered
    remedy: bytes = b""
    witnesses: list[Any] = field(default_factory=list)  # [who, kind, subject, value]
    phase: str = "new"  # investigating, acting, verifying, done
    cause: str = ""
    before: list[Any] | None = None
    good: int = 0
    seen: int = 0


class Commander(Agent):
    """Lives for one incident."""

    state: Case
    STATE_VERSION = 1
    cell = "shared"

    # --- investigate ---

    @handles
    async def open(self, ctx: Context, message: Open) -> None:
        case, book = self.state, Runbook.of(ctx.args)
        if from_parent(ctx) is None or case.phase != "new":
            return
        case.number, case.onset_ms = message.number, message.onset_ms
        case.normal_p50_ms = message.normal_p50_ms
        case.samples = [list(row) for row in message.samples]
        judged = severity(self._samples())
        case.level = judged.level
        case.witnesses = [["watcher", "target_down", target, 1.0] for target in judged.down]
        ctx.log(f"incident {case.number}: severity {judged.level}: {judged.why}")
        await self._investigate(ctx, book)

    async def _investigate(self, ctx: Context, book: Runbook) -> None:
        """Give every piece to an agent of its own, which may read that one target and nothing else."""
        case = self.state
        samples = self._samples()
        chosen = pieces(
            "severe" if case.level == "severe" else "small",
            leading(samples, case.normal_p50_ms).rule,
            book.service,
            down=samples[-1].down,
            onset_ms=case.onset_ms,
            now_ms=await ctx.now(),
            cap=book.agents - case.agents,
        )
        first = case.agents + 1
        case.agents += len(chosen)
        case.phase = "investigating"
        agents = await ctx.gather(*(self._staff(ctx, n, piece) for n, piece in enumerate(chosen, first)))
        for agent, piece in zip(agents, chosen, strict=True):
            case.waiting[agent.id.hex()] = label(agent)
            ctx.send(agent, Investigate(*piece))
        ctx.log(f"{case.agents + STAFF} agents in all: {len(chosen)} pieces, no two alike")
        ctx.after(PATIENCE, Late())
        if not chosen:
            await self._decide(ctx)

    def _staff(self, ctx: Context, number: int, piece: Piece) -> Any:
        kind, verb = (MetricAgent, "metrics.read") if piece.source == "metrics" else (LogAgent, "logs.read")
        return ctx.spawn(kind, name=f"{piece.source}-{number:02}", exercise=[Allow(verb, piece.target)])

    @handles
    async def finding(self, ctx: Context, message: Finding) -> None:
        case = self.state
        who = case.waiting.pop(ctx.sender.id.hex(), None) if ctx.sender is not None else None
        if who is None:
            return
        if message.read == 0:
            ctx.log(f"{who} read nothing: {message.trouble or 'no reason given'}")
        case.witnesses += [[who, *row] for row in message.evidence]
        if not case.waiting:
            await self._decide(ctx)

    @handles
    async def late(self, ctx: Context, message: Late) -> None:
        if self.state.phase == "investigating":
            ctx.log(f"no finding within {PATIENCE:.0f} s from {', '.join(self.state.waiting.values())}")
            self.state.waiting = {}
            await self._decide(ctx)

    @handles
    async def child_ended(self, ctx: Context, message: ChildEnded) -> None:
        case = self.state
        if case.waiting.pop(message.agent.hex(), None) is not None and not case.waiting:
            await self._decide(ctx)
        elif case.phase == "acting" and message.agent == case.remedy:
            self._end(ctx, "failed", f"{message.name} ended without a word: {message.reason}")

    # --- act ---

    async def _decide(self, ctx: Context) -> None:
        """One cause, if at least two speak for it. None on a small fault: look wider once, then say so."""
        case, book = self.state, Runbook.of(ctx.args)
        witnesses = [
            Witness(who, Evidence(kind, subject, value)) for who, kind, subject, value in case.witnesses
        ]
        found = hypotheses(witnesses, book)
        if found:
            await self._apply(ctx, found[0])
        elif case.level == "small":
            ctx.log("no cause that two agents speak for: looking wider")
            case.level = "severe"
            await self._investigate(ctx, book)
        else:
            self._end(ctx, "unexplained", "no known cause that two agents speak for: a person is needed")

    async def _apply(self, ctx: Context, best: Hypothesis) -> None:
        case = self.state
        case.cause, case.phase = best.cause, "acting"
        names = list(dict.fromkeys(witness.who for witness in best.witnesses))
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        ctx.log(f"cause {best.cause}: {best.because} (say {shown})")
        asks = best.remedy.verb in IRREVERSIBLE
        rule = (Ask if asks else Allow)(best.remedy.verb, best.remedy.resource)
        remedy = await ctx.spawn(Remedy, name="remedy", exercise=[rule])
        case.remedy = remedy.id
        ctx.log(f"{'asks for' if asks else 'does'} {best.remedy.verb} on {best.remedy.resource}")
        ctx.send(remedy, Act(best.remedy.verb, best.remedy.resource, _pairs(best.remedy.args), best.because))

    @handles
    async def acted(self, ctx: Context, message: Acted) -> None:
        if self.state.phase != "acting" or ctx.sender is None or ctx.sender.id != self.state.remedy:
            return
        if message.outcome != "done":
            return self._end(ctx, message.outcome, f"{message.detail}: not healed")
        self.state.phase = "verifying"
        ctx.log("done; now the service must be healthy by measurement")
        ctx.every(1.0, Beat())

    # --- verify ---

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        case, book = self.state, Runbook.of(ctx.args)
        if case.phase != "verifying":
            return
        reading, sample = await look(ctx, book.service.edge, book.service.workers, thaw_reading(case.before))
        case.before = None if reading is None else list(reading)
        if sample is None:
            return
        recovery = Recovery(case.normal_p50_ms, case.good, case.seen)
        verdict = recovery.feed(sample)
        case.good, case.seen = recovery.good, recovery.seen
        numbers = f"{sample.bad} of {sample.sent} failed, p95 {sample.p95_ms:.0f} ms, {len(sample.down)} down"
        if verdict == "healthy":
            self._end(
                ctx, "healed", f"{case.cause}: {recovery.good} good samples in a row, the last: {numbers}"
            )
        elif verdict == "not healed":
            self._end(ctx, "not healed", f"{case.cause}: after {recovery.seen} samples: {numbers}")

    def _end(self, ctx: Context, outcome: str, detail: str) -> None:
        """Report and stop; with a commander its whole swarm ends, back to the watcher."""
        self.state.phase = "done"
        ctx.log(f"incident {self.state.number}: {outcome}: {detail}")
        if ctx.parent is not None:
            ctx.send(ctx.parent, Report(self.state.number, outcome, detail))
        ctx.stop()

    def _samples(self) -> tuple[Sample, ...]:
        return tuple(thaw_sample(row) for row in self.state.samples)


def label(agent: AgentRef) -> str:
    """The last part of its name, for people."""
    return agent.name.rpartition("/")[2]


def _pairs(args: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in args.items())
