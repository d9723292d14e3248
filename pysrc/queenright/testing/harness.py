"""The harness: agents of one test, run by the cell's own code in this process until nobody has anything to do."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from queenright.agent.agent import Agent
from queenright.agent.message import Message, body_of, find_type, message_from, package_of, type_name
from queenright.agent.ref import AgentRef
from queenright.cell.loader import Loaded
from queenright.cell.process import Process
from queenright.cell.state import dump_state, load_state
from queenright.clock import ManualClock
from queenright.core import BirthBatch, decode, digest
from queenright.errors import Malformed, QueenrightError
from queenright.testing.asks import OpenAsk
from queenright.testing.judge import IRREVERSIBLE, Ask, IntentJudge, Judge, NoIntent
from queenright.testing.records import AgentRecord, CellEnd, Pending
from queenright.testing.runtime import Runtime
from queenright.wire.certificate import Birth
from queenright.wire.link import End, Frame

__all__ = ["Act", "Harness", "NoResult"]

A = TypeVar("A", bound=Agent)
Result = Any | Callable[["Act"], Any]
# Turns without end (an agent that sends to itself for ever) must fail a test, not hang it.
MAX_STEPS = 100_000


class NoResult(AssertionError):
    """A behaviour acted and the test had not said what comes of it."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act that was asked for."""

    verb: str
    resource: str
    args: dict[str, Any]
    reason: str


class Harness:
    """Start agents, send them messages, look at what they did. `intent`: a TOML file, or its text; without one every act is
    denied. `irreversible`: verbs that nothing undoes, as their manifests say."""

    def __init__(
        self,
        *,
        intent: Path | str | None = None,
        clock: ManualClock | None = None,
        rand: Callable[[int], bytes] = os.urandom,
        irreversible: frozenset[str] = IRREVERSIBLE,
    ) -> None:
        self.clock = clock if clock is not None else ManualClock()
        self._rand = rand
        self._directory = tempfile.TemporaryDirectory(prefix="queenright-test-")
        self.runtime = Runtime(self, rand, self.clock)
        self.asks: list[OpenAsk] = []
        self._results: list[tuple[str, str, Result]] = []
        self._classes: dict[str, Loaded] = {}
        self._judge: Judge = NoIntent()
        if intent is not None:
            text = intent.read_text() if isinstance(intent, Path) else intent
            self._judge = IntentJudge(
                text,
                Path(self._directory.name),
                self.clock,
                _package,
                self.runtime.identity.public_key,
                irreversible,
            )
            self.runtime.intent = self._judge.intent_id or self.runtime.intent
        self._open_cell()

    def _open_cell(self) -> None:
        self._in: deque[Frame] = deque()
        self._out: deque[Frame] = deque()
        self._process = Process(self._out.append, self.clock, self._rand, lambda _: self._classes)
        self._cell: CellEnd = self.runtime.open_cell(self._in.append, [])
        self.run()

    def close(self) -> None:
        """Let go of the intent's store. The fixture does it."""
        self._judge.close()
        self._directory.cleanup()

    # --- agents --------------------------------------------------------------------------------------------------------

    def start(
        self,
        behaviour: type[Agent],
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        state: object = None,
    ) -> AgentRef:
        """A swarm's first agent; its on_start has run when this returns. `state`: what it begins with."""
        self._learn()
        label = _name_of(behaviour)
        record = self.runtime.first(
            label,
            _package(label.partition(".")[0]),
            name or behaviour.__name__.lower(),
            args or {},
            None if state is None else dump_state(state),
        )
        record.state_version = behaviour.STATE_VERSION
        self._judge.first(record.id, record.name)
        self.runtime.host(record, self._cell)
        self.run()
        return AgentRef(record.id, record.name)

    def send(self, agent: AgentRef, message: Message, *, sender: AgentRef | None = None) -> None:
        """Deliver a message and run until everybody is idle. Without `sender` it comes from the runtime, as timers do."""
        self.runtime.post(agent.id, self._mail(message, sender))
        self.run()

    def call(self, agent: AgentRef, message: Message, *, sender: AgentRef | None = None) -> Message | None:
        """As `ctx.call`: the handler's value. Raises AssertionError with the handler's error, or if it has not ended."""
        answers: list[dict[str, Any] | None] = []
        before = len(self.errors(agent))
        self.runtime.ask(agent.id, self._mail(message, sender), answers.append)
        self.run()
        if not answers:
            errors = self.errors(agent)[before:]
            raise AssertionError(
                errors[-1] if errors else f"{agent} has not answered: it waits for something"
            )
        reply = answers[0]
        if reply is None:
            return None
        cls = find_type(reply["type"])
        if cls is None or reply["body"] is None:
            raise AssertionError(
                "the answer is sealed for an agent that is not of this harness: leave out `sender`"
            )
        return message_from(cls, reply["body"])

    def stop(self, agent: AgentRef) -> None:
        """Its on_stop, and its end."""
        self.runtime.stop(self._record(agent))
        self.run()

    def crash(self) -> None:
        """Kill the cell in the middle of whatever it does, and start another: open turns run again with their records."""
        hosted = [self.runtime.agents[agent] for agent in self._cell.hosted]
        self.runtime.cell_died(self._cell)
        self._open_cell()
        for record in hosted:
            self.runtime.host(record, self._cell)
        self.run()

    def _mail(self, message: Message, sender: AgentRef | None) -> dict[str, Any]:
        mail = self.runtime.runtime_mail(type_name(type(message)), {}) | {"body": body_of(message)}
        if sender is not None:
            mail |= {"sender": sender.id, "sender_name": sender.name}
        return mail

    # --- time ----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everybody work until nobody has anything to do. Time stands still."""
        self._learn()
        steps = 0
        while self._in or self._out or self._process.busy():
            while self._in:
                self._process.receive(self._in.popleft())
            steps += self._process.run(100)
            if steps > MAX_STEPS:
                raise AssertionError(
                    f"still busy after {MAX_STEPS} steps: agents that send to each other without end?"
                )
            while self._out:
                frame = self._out.popleft()
                self.runtime.receive(self._cell, frame)
                if isinstance(frame, End):
                    self._process.forget_object(frame.agent)

    def advance(self, seconds: float) -> None:
        """Let time pass: sleeps, timers and deadlines that fall due happen in their order."""
        end = self.clock.wall_ms() + round(seconds * 1000)
        while (due := self.runtime.next_due()) is not None and due <= end:
            self.clock.advance(max(0, due - self.clock.wall_ms()))
            self.runtime.fire_due()
            self.run()
        self.clock.advance(end - self.clock.wall_ms())

    # --- acts ----------------------------------------------------------------------------------------------------------

    def on(self, verb: str, resource: str | None = None, result: Result = None) -> None:
        """What an act that is allowed comes to: a value, an exception to raise, or a function of the Act. The last `on`
        that fits is used; `resource` None fits all."""
        self._results.append((verb, resource or "", result))

    def birth(self, parent: AgentRecord, child: Birth, request: dict[str, Any]) -> None:
        """For the runtime: may this child be born?"""
        self._judge.birth(parent.id, child, request)

    def births(self, parent: AgentRecord, members: BirthBatch, request: dict[str, Any]) -> None:
        """For the runtime: may all of these be born?"""
        self._judge.births(parent.id, members, request)

    def act(self, agent: AgentRecord, ordinal: int, request: dict[str, Any]) -> Any:
        """For the runtime: judge an act, and do what was scripted."""
        act = Act(**request)
        try:
            self._judge.judge(agent.id, act.verb, act.resource, approved=False)
        except Ask:
            turn = agent.turn.number if agent.turn is not None else 0

            def finish(refusal: QueenrightError | None) -> None:
                value: Any = None
                if refusal is None:
                    try:
                        self._judge.judge(agent.id, act.verb, act.resource, approved=True)
                        value = self._result(act)
                    except QueenrightError as error:
                        refusal = error
                self.runtime.finish(agent, turn, ordinal, value, refusal)
                self.run()

            self.asks.append(OpenAsk(agent.name, act.verb, act.resource, act.reason, act.args, finish))
            raise Pending from None
        return self._result(act)

    def _result(self, act: Act) -> Any:
        for verb, resource, result in reversed(self._results):
            if verb == act.verb and resource in ("", act.resource):
                if isinstance(result, Exception):
                    raise result
                return result(act) if callable(result) else result
        raise NoResult(f"no result for {act.verb} on {act.resource}: harness.on({act.verb!r}, result=...)")

    # --- looking -------------------------------------------------------------------------------------------------------

    def _record(self, agent: AgentRef) -> AgentRecord:
        return self.runtime.agents[agent.id]

    def state(self, agent: AgentRef) -> Any:
        """The state as the last turn left it, from its bytes."""
        record = self._record(agent)
        cls = self._classes[record.behaviour].cls
        return load_state(cls, record.state, record.state_version)

    def acts(self, agent: AgentRef) -> list[Act]:
        """What it asked for, allowed or not."""
        return [Act(**request) for request in self._record(agent).acts]

    def sent(self, agent: AgentRef) -> list[tuple[AgentRef, Message]]:
        """Durable messages and calls it sent, in order."""
        out = []
        for to, kind, body in self._record(agent).sent:
            target, cls = self.runtime.agents.get(to), find_type(kind)
            if cls is None or body is None:
                raise Malformed(f"a message `{kind}` that this test cannot read")
            out.append((AgentRef(to, target.name if target is not None else ""), message_from(cls, body)))
        return out

    def children(self, agent: AgentRef) -> list[AgentRef]:
        """Those it spawned that live, in order of birth."""
        found = [
            record
            for record in self.runtime.agents.values()
            if record.parent == agent.id and not record.ended
        ]
        return [AgentRef(record.id, record.name) for record in found]

    def logs(self, agent: AgentRef) -> list[str]:
        """What it logged or printed."""
        return [text for level, text in self._record(agent).logs if level in ("info", "stdout")]

    def errors(self, agent: AgentRef) -> list[str]:
        """How its turns failed, each try."""
        return list(self._record(agent).errors)

    def ended(self, agent: AgentRef) -> bool:
        return self._record(agent).ended

    def args(self, agent: AgentRef) -> dict[str, Any]:
        """The arguments it was born with."""
        args: dict[str, Any] = decode(self._record(agent).args)
        return args

    def _learn(self) -> None:
        """Every behaviour class that exists in this process can be spawned."""
        stack = [Agent]
        while stack:
            for cls in stack.pop().__subclasses__():
                stack.append(cls)
                name = _name_of(cls)
                self._classes[name] = Loaded(cls, _package(name.partition(".")[0]))


def _name_of(cls: type[Agent]) -> str:
    return f"{package_of(cls.__module__)}.{cls.__name__}"


def _package(name: str) -> bytes:
    return digest("package", name.encode())
