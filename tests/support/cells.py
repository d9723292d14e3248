"""A swarm over cells of this process: the test's runtime, and as many `Process` objects as the test wants."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

from queenright.agent import Agent, Message
from queenright.agent.message import body_of, type_name
from queenright.cell.loader import Loaded
from queenright.cell.process import Process
from queenright.clock import ManualClock
from queenright.errors import QueenrightError
from queenright.testing.records import AgentRecord, CellEnd, Pending
from queenright.testing.runtime import Runtime
from queenright.wire.link import Frame

PACKAGE = b"p" * 32
CALLER = bytes(range(32))  # a sender that is no agent of the runtime


class Allowing:
    """An authority that allows everything; `result` gives what acts come to (an exception is raised)."""

    def __init__(self) -> None:
        self.result: Any = None
        self.pending = False

    def birth(self, parent: AgentRecord, child: Any, request: dict[str, Any]) -> None:
        return

    def births(self, parent: AgentRecord, members: Any, request: dict[str, Any]) -> None:
        return

    def act(self, agent: AgentRecord, ordinal: int, request: dict[str, Any]) -> Any:
        if self.pending:
            raise Pending
        if isinstance(self.result, Exception):
            raise self.result
        return self.result(request) if callable(self.result) else self.result


class Swarm:
    """`classes` are the behaviours of the package "pkg"."""

    def __init__(self, *classes: type[Agent]) -> None:
        self.authority = Allowing()
        self.clock = ManualClock()
        self.runtime = Runtime(self.authority, os.urandom, self.clock)
        self.classes = {f"pkg.{cls.__name__}": Loaded(cls, PACKAGE) for cls in classes}
        self.cells: list[tuple[CellEnd, Process, deque[Frame], deque[Frame]]] = []
        self.tamper: Callable[[Frame], Frame | None] = lambda frame: frame
        self.answers: list[Any] = []

    def cell(self) -> CellEnd:
        """One more cell."""
        to_cell: deque[Frame] = deque()
        from_cell: deque[Frame] = deque()
        process = Process(from_cell.append, self.clock, os.urandom, lambda _: self.classes)
        cell = self.runtime.open_cell(to_cell.append, [])
        self.cells.append((cell, process, to_cell, from_cell))
        self.run()
        return cell

    def process(self, cell: CellEnd) -> Process:
        return next(process for end, process, *_ in self.cells if end is cell)

    def run(self) -> None:
        """Until nobody has anything to do. `tamper` may change or drop what goes to a cell."""
        busy = True
        while busy:
            busy = False
            for cell, process, to_cell, from_cell in list(self.cells):
                while to_cell:
                    busy = True
                    frame = self.tamper(to_cell.popleft())
                    if frame is not None:
                        process.receive(frame)
                busy |= process.run() > 0
                while from_cell:
                    busy = True
                    self.runtime.receive(cell, from_cell.popleft())

    def start(
        self, cls: type[Agent], cell: CellEnd | None = None, *, name: str = "", **args: Any
    ) -> AgentRecord:
        """A first agent, hosted and started."""
        record = self.runtime.first(f"pkg.{cls.__name__}", PACKAGE, name or cls.__name__.lower(), args)
        self.runtime.host(record, cell or (self.cells[0][0] if self.cells else self.cell()))
        self.run()
        return record

    def send(self, agent: AgentRecord, message: Message, sender: AgentRecord | None = None) -> None:
        self.runtime.post(agent.id, self.mail(message, sender))
        self.run()

    def call(self, agent: AgentRecord, message: Message) -> Any:
        """The reply map, or None; not answered: AssertionError."""
        before = len(self.answers)
        self.runtime.ask(agent.id, self.mail(message, None), self.answers.append)
        self.run()
        assert len(self.answers) == before + 1, agent.errors
        return self.answers[-1]

    def mail(self, message: Message, sender: AgentRecord | None) -> dict[str, Any]:
        mail = self.runtime.runtime_mail(type_name(type(message)), {}) | {"body": body_of(message)}
        if sender is not None:
            mail |= {"sender": sender.id, "sender_name": sender.name}
        return mail

    def crash(self, cell: CellEnd) -> CellEnd:
        """The cell dies; its agents go on in a new one."""
        hosted = [self.runtime.agents[agent] for agent in cell.hosted]
        self.runtime.cell_died(cell)
        self.cells = [row for row in self.cells if row[0] is not cell]
        fresh = self.cell()
        for record in hosted:
            self.runtime.host(record, fresh)
        self.run()
        return fresh

    def advance(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1000))
        self.runtime.fire_due()
        self.run()

    def answer(
        self, agent: AgentRecord, ordinal: int, value: Any, error: QueenrightError | None = None
    ) -> None:
        """Settle an open step by hand."""
        assert agent.turn is not None
        self.runtime.finish(agent, agent.turn.number, ordinal, value, error)
        self.run()
