"""What each kind of step does. A step is recorded before this runs; what comes back is recorded before the agent sees it.

Every kind may be executed again after a crash for the same (agent, turn, ordinal): each is idempotent by that key, by its
own durable row, or because it changes nothing.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from queenright.actions.act import AskOpened, Done, Failed, Refused, UnknownEnd
from queenright.core import decode
from queenright.errors import AskExpired, Malformed, QueenrightError, UnknownOutcome
from queenright.supervisor.agents import Agent
from queenright.supervisor.outcome import Outcome
from queenright.supervisor.turn import OpenTurn, StepRow

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Steps"]

MAX_SLEEP_MS = 30 * 24 * 3_600_000
MAX_RANDOM = 1024
MAX_COMPUTED = 64 * 1024
STARTED_AT_ONCE = 16  # of a batch of births
MAX_KIN = 1_000  # children that a discovery looks at
MAX_IN_CLASS = MAX_KIN  # agents of one behaviour that it looks at
MAX_DISCOVER = 100  # design section 6, point 7


class Steps:
    """Executes one step to its outcome. Refusals become outcomes; nothing raises but a bug."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._waiting: dict[bytes, asyncio.Event] = {}  # by ask
        self._held: dict[bytes, asyncio.Event] = {}  # by agent
        # One batch of births is made at a time, beside the loop: whoever proposes many waits for their own.
        self._making = asyncio.Semaphore(1)

    async def execute(self, agent: Agent, turn: OpenTurn, step: StepRow) -> Outcome:
        """Run the step. Raises only CancelledError, when the turn is closed under it."""
        try:
            request = decode(step.request)
            if not isinstance(request, dict):
                raise Malformed("a step's request is a map")
            return await self._run(agent, turn, step, request)
        except QueenrightError as error:
            return Outcome.failed(error)
        except Exception as error:  # a fault of ours must not leave the agent waiting for ever
            self._rt.log.error(
                "step.fault", agent=agent.name, kind=step.kind, trace=traceback.format_exc()[-4000:]
            )
            self._rt.incident("step.fault", agent.name, f"{step.kind}: {type(error).__name__}")
            return Outcome.failed(error)

    async def _run(self, agent: Agent, turn: OpenTurn, step: StepRow, request: dict[str, Any]) -> Outcome:
        match step.kind:
            case "act":
                return await self._act(agent, turn, step, request)
            case "call":
                return await self._call(agent, turn, step, request)
            case "spawn":
                return self._spawn(agent, request)
            case "spawn_many":
                return await self._spawn_many(agent, request)
            case "sleep":
                return await self._sleep(step, request)
            case "discover":
                return self._discover(agent, request)
            case "now":
                return Outcome.done(self._rt.clock.wall_ms())
            case "random":
                size = request.get("bytes")
                if type(size) is not int or not 0 < size <= MAX_RANDOM:
                    raise Malformed(f"random gives between 1 and {MAX_RANDOM} bytes")
                return Outcome.done(self._rt.rand(size))
            case "run":
                return self._computed(request)
            case _:
                raise Malformed(f"unknown kind of step `{step.kind[:32]}`")

    @staticmethod
    def _computed(request: dict[str, Any]) -> Outcome:
        """`ctx.run` computed in the cell: recorded as the cell's own word, given back the same on every re-run."""
        shape = {"name": str, "ok": bool, "value": bytes}
        if request.keys() != shape.keys() or any(type(request[k]) is not v for k, v in shape.items()):
            raise Malformed("a computed step has a name, whether it went well, and a value")
        if len(request["value"]) > MAX_COMPUTED:
            raise Malformed(
                f"a computed value of {len(request['value'])} bytes is over the limit of {MAX_COMPUTED}"
            )
        return Outcome.done(request)

    async def _act(self, agent: Agent, turn: OpenTurn, step: StepRow, request: dict[str, Any]) -> Outcome:
        """An action's whole life; parks here while a person is asked, and while an order holds its agent."""
        shape = {"verb": str, "resource": str, "args": dict, "reason": str}
        if request.keys() != shape.keys() or any(type(request[k]) is not v for k, v in shape.items()):
            raise Malformed("an act has a verb, a resource, arguments and a reason")
        while True:
            await self._free(agent)
            act = self._rt.acting.request(agent, turn.turn, step.ordinal, request)
            result = await self._rt.acting.engine.perform(act)
            match result:
                case Failed(act=None, code="held"):
                    continue
                case Failed(act=None) | Refused() if not self._rt.may_run(agent):
                    continue  # the order that holds it came in the middle, before anything began: it is decided again then
                case Done(value=value):
                    return Outcome.done(value)
                case Failed(code=code, message=message):
                    return Outcome(False, error={"code": code, "message": message, "facts": {}})
                case Refused(denied=denied):
                    return Outcome.failed(denied)
                case UnknownEnd() as end:
                    return Outcome.failed(
                        UnknownOutcome(end.message, hint="a person decides; it is not repeated")
                    )
                case AskOpened(ask_id=ask):
                    decided = self._waiting.setdefault(ask, asyncio.Event())
                    self._rt.park(agent, ask)
                    try:
                        await decided.wait()
                    finally:
                        self._waiting.pop(ask, None)
                        self._rt.unpark(agent, ask)
                case _:
                    raise AskExpired("the action ended in no known way")

    async def _free(self, agent: Agent) -> None:
        """Until no order holds the agent."""
        while not self._rt.may_run(agent):
            try:
                await self._held.setdefault(agent.id, asyncio.Event()).wait()
            finally:
                if agent.ended:
                    self._held.pop(agent.id, None)

    def released(self, agent: bytes) -> None:
        """An order that held the agent was taken back: what waits for that looks again."""
        held = self._held.pop(agent, None)
        if held is not None:
            held.set()

    def decided(self, ask: bytes) -> None:
        """An ask was answered, expired or voided: whoever waits for it looks again."""
        waiting = self._waiting.get(ask)
        if waiting is not None:
            waiting.set()

    async def _call(self, agent: Agent, turn: OpenTurn, step: StepRow, request: dict[str, Any]) -> Outcome:
        self._rt.calls.open(agent, turn.turn, step.ordinal, request)
        # The answer, the deadline or the callee's end records the result in its own commit and closes the turn's
        # interest in this task; so wait until cancelled.
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    def _spawn(self, agent: Agent, request: dict[str, Any]) -> Outcome:
        birth, changes = self._rt.lives.spawn(agent, request)
        child = birth.agent
        if changes:
            self._rt.commit(*changes)
            self._rt.changed("agents", child)
        self._rt.turns.pump(child)
        return Outcome.done({"agent": child, "name": birth.name})

    async def _spawn_many(self, agent: Agent, request: dict[str, Any]) -> Outcome:
        """A batch of children. Their certificates are made beside the loop: it goes on meanwhile."""
        rt = self._rt
        async with self._making:
            brood = await rt.lives.propose(agent, request)
        changes = rt.lives.spawn_many(agent, brood)
        if changes:
            rt.commit(*changes)
            rt.changed("agents", agent.id)
            rt.appeared(brood.members.ids)
        self._start_some(rt.lives.started(brood), 0)
        return Outcome.done(brood.result)

    def _start_some(self, agents: list[bytes], at: int) -> None:
        """Their first turns begin a few at a time, each with a commit of its own, and everybody else goes on between."""
        for agent in agents[at : at + STARTED_AT_ONCE]:
            self._rt.turns.pump(agent)
        if at + STARTED_AT_ONCE < len(agents):
            self._rt.soon(lambda: self._start_some(agents, at + STARTED_AT_ONCE))

    async def _sleep(self, step: StepRow, request: dict[str, Any]) -> Outcome:
        """Until the recorded start plus the delay, on whichever life of the supervisor that falls."""
        ms = request.get("ms")
        if type(ms) is not int or not 0 <= ms <= MAX_SLEEP_MS:
            raise Malformed(f"a sleep lasts between 0 and {MAX_SLEEP_MS} ms")
        due = asyncio.Event()
        alarm = self._rt.alarms.at_wall(step.t_ms + ms, due.set)
        try:
            await due.wait()
        finally:
            alarm.cancel()
        return Outcome.done(None)

    def _discover(self, agent: Agent, request: dict[str, Any]) -> Outcome:
        """Only whom the asker may write to; what an agent can do comes from its package's manifest."""
        behaviour, capability = request.get("behaviour"), request.get("capability")
        if not all(value is None or isinstance(value, str) for value in (behaviour, capability)):
            raise Malformed("discover takes a behaviour and a capability, both text or nothing")
        found: list[dict[str, Any]] = []
        for other in self._within_reach(agent):
            capabilities = self._rt.swarms.manifest(other.package, other.behaviour).capabilities
            if behaviour is not None and other.behaviour != behaviour:
                continue
            if capability is not None and capability not in capabilities:
                continue
            found.append(
                {
                    "agent": other.id,
                    "name": other.name,
                    "behaviour": other.behaviour,
                    "capabilities": sorted(capabilities),
                    "claimed": [],
                }
            )
            if len(found) == MAX_DISCOVER:
                break
        return Outcome.done(found)

    def _within_reach(self, agent: Agent) -> Iterator[Agent]:
        """Whom it may write to now, kin first: by what agents have in common, never by looking at all of them."""
        rt, boot = self._rt, self._rt.clock.boot_ms()
        seen = {agent.id}
        kin = [agent.parent, *rt.agents.table.children(agent.id, MAX_KIN), *rt.reach.heard_by(agent.id)]
        talks = rt.reach.clause(agent.intent)
        classes = (
            number
            for number, intent, behaviour, _ in rt.agents.table.classes()
            if intent == agent.intent and talks(agent.behaviour, behaviour)
        )
        others = (id for number in classes for id in rt.agents.table.of_class(number, MAX_IN_CLASS))
        for id in chain(kin, others):
            other = rt.agents.find(id) if id not in seen else None
            if other is None or other.status in ("ended", "stopping"):
                continue
            seen.add(id)
            if rt.reach.allows(agent, other, boot):
                yield other
