"""Turns: one message, one turn, its steps and its end, each record one commit (design section 6, point 6).

Begin: a row with the attempt, committed before the turn runs, so that a turn that kills its process counts. Step: the
request and the sends since the last record; only then does its effect start. End: the message is consumed, the state
written, the remaining sends queued. A re-run gets the recorded results by ordinal and digest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from queenright.core import canonical, decode
from queenright.errors import Malformed, QueenrightError
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.cell_process import CellProcess
from queenright.supervisor.outcome import Outcome
from queenright.supervisor.turn import STEPS, TURNS, OpenTurn, StepRow
from queenright.wire.envelope import generation_of
from queenright.wire.link import Deliver, End, Rest, Result, Step, Stop
from queenright.wire.step import op_digest

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["STATE", "Turns"]

STATE = "agent.state"  # agent -> canonical {"version", "state"}
ATTEMPTS = 5  # then the message is a dead letter
DEATHS = 2  # tries that ended with the process
BACKOFF_MS = 100  # doubled with each attempt
MAX_STEPS = 1000
UNRECORDED_MS = 1000  # until a store that could not be written is tried again
MAX_STATE = 1024 * 1024
MAX_OPS = 10_000


class Turns:
    """All open turns."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.open: dict[bytes, OpenTurn] = {}
        self._tasks: dict[tuple[bytes, int], dict[int, asyncio.Task[None]]] = {}  # of a turn, by ordinal
        self._resting: list[tuple[CellProcess, Change]] = []
        self._touched: set[bytes] = set()  # agents whose row looks different since it was last asked

    # --- beginning ---------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Open turns as the store has them; `resume_all` starts what they wait for."""
        for key, value in self._rt.store.scan(TURNS):
            self.open[key] = OpenTurn.decode(key, value)
        for key, value in self._rt.store.scan(STEPS):
            turn = self.open.get(key[:32])
            if turn is not None and int.from_bytes(key[32:40], "big") == turn.turn:
                row = StepRow.decode(value)
                turn.steps[row.ordinal] = row

    def resume_all(self) -> None:
        """After a start: execute open steps again (each is idempotent by agent, turn and ordinal), wake the rest."""
        for turn in self.open.values():
            agent = self._rt.agents.get(turn.agent)
            for step in turn.steps.values():
                if not step.done:
                    self._execute(agent, turn, step)
        stopping = self._rt.agents.table.of_status("stopping")
        for agent_id in dict.fromkeys((*self.open, *self._rt.mail.waiting(), *stopping)):
            self.pump(agent_id)

    def pump_waiting(self, intent: bytes) -> None:
        """Give every agent of the swarm that has something to do its next work."""
        for agent_id in dict.fromkeys((*self.open, *self._rt.mail.waiting())):
            agent = self._rt.agents.find(agent_id)
            if agent is not None and agent.intent == intent:
                self.pump(agent_id)

    def pump(self, agent_id: bytes) -> None:
        """Give the agent its next work if it may have any. Safe to call at any time."""
        agent = self._rt.agents.find(agent_id)
        if agent is None or not self._rt.may_run(agent):
            return
        self._rt.steps.released(agent_id)
        turn = self.open.get(agent_id)
        if turn is None:
            try:
                self._begin_next(agent)
            except QueenrightError as error:
                # Nothing runs that is not recorded first; what waits is safe in the store. Look again in a moment.
                self._rt.log.error("turn.unrecorded", agent=agent.name, error=error.message)
                self._rt.alarms.after(UNRECORDED_MS, lambda: self.pump(agent_id))
                return
            turn = self.open.get(agent_id)
        if turn is None or turn.delivered or turn.backoff or (turn.parked and not turn.fresh):
            return
        cell = self._rt.cells.home(agent)
        if cell is None:
            return
        turn.delivered = True
        turn.fresh = False
        self._touched.add(agent_id)
        if not turn.key:
            cell.send(Stop(agent.id, turn.turn, agent.reason))
            return
        mail = self._rt.mail.read(turn.key)
        if mail["sealed"] is not None:
            self._rt.cells.give_open_key(cell, agent, generation_of(mail["sealed"]))
        for step in turn.steps.values():
            self._give_reply_key(cell, agent, step)
        agent.doing = f"{mail['type']} from {mail['sender_name']}"
        steps = [turn.steps[ordinal].for_cell() for ordinal in sorted(turn.steps)]
        cell.send(Deliver(agent.id, turn.turn, turn.attempt, mail, steps))

    def wants_cell(self, agent: Agent) -> bool:
        """Whether it has a turn that a cell would act on now, and has no cell."""
        turn = self.open.get(agent.id)
        return (
            self._rt.may_run(agent)
            and agent.cell is None
            and turn is not None
            and not (turn.delivered or turn.backoff or (turn.parked and not turn.fresh))
        )

    def _begin_next(self, agent: Agent) -> None:
        if agent.status == "stopping":
            if self._rt.lives.may_run_last_turn(agent):
                self._begin(agent, b"")
        elif heads := self._rt.mail.heads(agent.id):
            self._begin(agent, heads[0].key)

    def _begin(self, agent: Agent, key: bytes) -> None:
        turn = OpenTurn(agent.id, agent.turn + 1, key, 1, 0)
        self._rt.commit(
            *self._rt.lives.first_word(agent),
            Change(
                (("insert", TURNS, agent.id, turn.encode()),), lambda: self.open.__setitem__(agent.id, turn)
            ),
            self._rt.agents.save(agent, turn=turn.turn),
        )

    def take_touched(self) -> set[bytes]:
        """The agents that began or ended something since this was last asked."""
        touched, self._touched = self._touched, set()
        return touched

    # --- records from a cell ------------------------------------------------------------------------------------

    def _current(self, cell: CellProcess, agent_id: bytes, number: int) -> tuple[Agent, OpenTurn] | None:
        """The agent and turn a record is about; None if it came too late; Malformed if it cannot be this cell's."""
        agent = self._rt.cells.mine(cell, agent_id)
        turn = self.open.get(agent_id)
        if agent is None or turn is None or turn.turn != number or not turn.delivered:
            return None  # evicted or ended while the frame was under way
        return agent, turn

    def _sealed(
        self,
        cell: CellProcess,
        agent_id: bytes,
        ops: list[Any],
        *carried: tuple[bytes | None, dict[str, Any]],
    ) -> list[Change]:
        """Check everything of a record that is sealed. A record that comes too late is a link of its sender's chain all the
        same. Raises Malformed, or InvalidSignature.
        """
        agent = self._rt.cells.mine(cell, agent_id)
        if agent is None:
            return []
        if len(ops) > MAX_OPS:
            raise Malformed(f"{len(ops)} sends in one record are over the limit of {MAX_OPS}")
        sends = [(op.get("to"), op) for op in ops if isinstance(op, dict) and op.get("op") == "send"]
        places = [(to, place) for to, place in [*sends, *carried] if place.get("sealed") is not None]
        return self._rt.post.accept_record(agent, places)

    def on_step(self, cell: CellProcess, frame: Step) -> None:
        """A step opened."""
        request = frame.request
        if frame.kind == "call":
            body = decode(request)
            if not isinstance(body, dict):
                raise Malformed("a step's request is a map")
            sealed = self._sealed(cell, frame.agent, frame.ops, (body.get("to"), body))
            request = canonical(body)
        else:
            sealed = self._sealed(cell, frame.agent, frame.ops)
        current = self._current(cell, frame.agent, frame.turn)
        if current is None:
            return
        agent, turn = current
        if frame.ordinal in turn.steps or not 0 <= frame.ordinal < MAX_STEPS:
            raise Malformed(f"step {frame.ordinal} of this turn is recorded already or out of range")
        now = self._rt.clock.wall_ms()
        changes, wake = self._ops(agent, frame.ops)
        changes += sealed
        row = StepRow(frame.ordinal, frame.kind, request, [op_digest(op) for op in frame.ops], now)
        key = turn.step_key(frame.ordinal)
        turn_steps = turn.steps
        changes.append(
            Change((("insert", STEPS, key, row.encode()),), lambda: turn_steps.__setitem__(row.ordinal, row))
        )
        if not self._commit(cell, changes):
            return
        self._wake(wake)
        self._execute(agent, turn, row)
        self._rt.cells.own.rested()

    def on_end(self, cell: CellProcess, frame: End) -> None:
        """A turn ended, one way or the other."""
        reply = [(None, frame.reply)] if frame.reply is not None else []
        sealed = self._sealed(cell, frame.agent, frame.ops, *reply)
        current = self._current(cell, frame.agent, frame.turn)
        if current is None:
            return
        agent, turn = current
        if not frame.ok:
            self._failed(agent, turn, frame.error)
            return
        if frame.state is not None and len(frame.state) > MAX_STATE:
            self._failed(agent, turn, f"state of {len(frame.state)} bytes is over the limit of {MAX_STATE}")
            return
        changes, wake = self._ops(agent, frame.ops)
        changes += sealed
        if frame.state is not None:
            changes.append(self._state(agent, frame.state_version, frame.state))
        if turn.key:
            mail = self._rt.mail.read(turn.key)
            if mail["call"] is not None:
                more, callers = self._rt.calls.answer(agent, mail["call"], frame.reply)
                changes += more
                wake += callers
            changes.append(self._rt.mail.take(agent.id, turn.key))
        changes.append(self._close(turn))
        if not self._commit(cell, changes):
            return
        self._rt.meters.handled(agent.id, self._rt.clock.boot_ms(), ok=True)
        agent.doing = ""
        self._touched.add(agent.id)
        self._wake(wake)
        if not turn.key:
            self._rt.lives.finished(agent)
        elif any(op.get("op") == "stop" for op in frame.ops):
            self._rt.lives.stop(agent, "stopped itself")
        else:
            self.pump(agent.id)
        self._rt.cells.own.rested()

    def on_rest(self, cell: CellProcess, frame: Rest) -> None:
        """An agent was let go between two turns: what volatile turns had made of its state is durable from here on."""
        agent = self._rt.agents.find(frame.agent)
        if agent is None or agent.incarnation != cell.number:
            raise Malformed("a state of an agent that this cell does not host")
        if agent.id not in cell.agents:
            return  # evicted while the frame was under way
        if len(frame.state) > MAX_STATE:
            text = f"state of {len(frame.state)} bytes is over the limit of {MAX_STATE}: it is not kept"
            self._rt.logs.line(agent.id, "runtime", text, error=True)
            self._rt.cells.evict(agent)
            return
        if not self._resting:
            self._rt.soon(self.keep_resting)  # many fall asleep together: one write for all that came at once
        self._resting.append((cell, self._state(agent, frame.state_version, frame.state)))

    def keep_resting(self) -> None:
        """Write the states of agents that were let go. Called before anything else that reads or writes a state."""
        resting, self._resting = self._resting, []
        if not resting:
            return
        try:
            self._rt.commit(*(change for _, change in resting))
        except Exception as error:
            self._rt.log.error("rest.refused", error=str(error))
            for cell in {cell.id: cell for cell, _ in resting}.values():
                cell.kill(f"the state of an agent that rests could not be written: {error}")

    @staticmethod
    def _state(agent: Agent, version: int, state: bytes) -> Change:
        row = canonical({"v": 1, "version": version, "state": state})
        return Change((("put", STATE, agent.id, row),))

    def _commit(self, cell: CellProcess, changes: list[Change]) -> bool:
        """One record, one commit. A store that refuses to write stops the cell: nothing unrecorded may go on."""
        self.keep_resting()
        try:
            self._rt.commit(*changes)
        except Exception as error:
            self._rt.log.error("record.refused", cell=cell.id, error=str(error))
            cell.kill(f"its record could not be written: {error}")
            return False
        return True

    def _ops(self, agent: Agent, ops: list[Any]) -> tuple[list[Change], list[bytes]]:
        """Everything a record wants sent, set or cancelled."""
        changes: list[Change] = []
        wake: list[bytes] = []
        for op in ops:
            if not isinstance(op, dict):
                raise Malformed("an op is a map")
            kind = op.get("op")
            if kind == "send":
                more, target, _ = self._rt.post.send(agent, op)
                changes += more
                wake.append(target)
            elif kind == "timer":
                changes.append(self._rt.timers.set(agent, op))
            elif kind == "cancel":
                changes.append(self._rt.timers.cancel(agent, op))
            elif kind == "monitor":
                changes.append(self._rt.lives.monitor(agent, op))
            elif kind != "stop":
                raise Malformed(f"unknown op `{str(kind)[:32]}`")
        return changes, wake

    def _wake(self, agents: list[bytes]) -> None:
        for agent in dict.fromkeys(agents):
            self.pump(agent)

    def abandon(self, agent: bytes) -> None:
        """The agent is about to stop: an open turn, its message consumed by nobody, ends now."""
        turn = self.open.get(agent)
        if turn is not None and turn.key:
            self._rt.commit(self._close(turn))

    def close_for(self, agent: bytes) -> list[Change]:
        """The change that ends whatever turn the agent has open."""
        turn = self.open.get(agent)
        return [self._close(turn)] if turn is not None else []

    def _close(self, turn: OpenTurn) -> Change:
        records: list[tuple[Any, ...]] = [("delete", TURNS, turn.agent)]
        records += [("delete", STEPS, turn.step_key(ordinal)) for ordinal in turn.steps]

        def applied() -> None:
            self.open.pop(turn.agent, None)
            for task in list(self._tasks.get((turn.agent, turn.turn), {}).values()):
                task.cancel()

        return Change(tuple(records), applied)

    # --- steps --------------------------------------------------------------------------------------------------

    def _execute(self, agent: Agent, turn: OpenTurn, step: StepRow) -> None:
        key = (agent.id, turn.turn)
        tasks = self._tasks.setdefault(key, {})
        if step.ordinal in tasks:
            return

        async def run() -> None:
            try:
                outcome = await self._rt.steps.execute(agent, turn, step)
            finally:
                tasks.pop(step.ordinal, None)
                if not tasks and self._tasks.get(key) is tasks:
                    del self._tasks[key]
            self.finish_step(agent.id, turn.turn, step.ordinal, outcome)

        name = f"step {agent.name} {turn.turn}.{step.ordinal}"
        tasks[step.ordinal] = asyncio.create_task(run(), name=name)

    def finish_step(
        self, agent_id: bytes, number: int, ordinal: int, outcome: Outcome, *changes: Change
    ) -> None:
        """Record a step's result, then tell the cell if it still has the turn."""
        change = self.step_done(agent_id, number, ordinal, outcome)
        if change is None:
            return
        self._rt.commit(*changes, change)
        self.announce(agent_id, number, ordinal)

    def step_done(self, agent_id: bytes, number: int, ordinal: int, outcome: Outcome) -> Change | None:
        """The change that records a result, or None if nothing waits for it any more."""
        turn = self.open.get(agent_id)
        step = turn.steps.get(ordinal) if turn is not None and turn.turn == number else None
        if turn is None or step is None or step.done:
            return None
        done = StepRow(
            step.ordinal,
            step.kind,
            step.request,
            step.ops,
            step.t_ms,
            True,
            outcome.ok,
            outcome.value,
            outcome.error,
        )
        steps = turn.steps
        return Change(
            (("put", STEPS, turn.step_key(ordinal), done.encode()),), lambda: steps.__setitem__(ordinal, done)
        )

    def announce(self, agent_id: bytes, number: int, ordinal: int) -> None:
        """Hand a recorded result to the cell, or mark the turn worth a cell again."""
        turn = self.open.get(agent_id)
        agent = self._rt.agents.find(agent_id)
        if turn is None or agent is None or turn.turn != number:
            return
        step = turn.steps[ordinal]
        cell = self._rt.cells.of(agent)
        if turn.delivered and cell is not None:
            self._give_reply_key(cell, agent, step)
            cell.send(Result(agent_id, number, ordinal, step.ok, step.value, step.error))
        else:
            turn.fresh = True
            self.pump(agent_id)

    def _give_reply_key(self, cell: CellProcess, agent: Agent, step: StepRow) -> None:
        """A recorded answer that came sealed from another cell needs the key that opens it, before it is handed over."""
        if step.kind == "call" and step.done and step.ok:
            reply = decode(step.value)
            if reply is not None and reply["sealed"] is not None:
                self._rt.cells.give_open_key(cell, agent, generation_of(reply["sealed"]))

    # --- trouble ------------------------------------------------------------------------------------------------

    def _failed(self, agent: Agent, turn: OpenTurn, error: str) -> None:
        """A turn that raised: retried with backoff, then buried. Its recorded steps stay for the next try."""
        self._rt.logs.line(agent.id, "runtime", error, error=True)
        self._rt.meters.handled(agent.id, self._rt.clock.boot_ms(), ok=False)
        turn.delivered = False
        if error.startswith("mismatch") and turn.steps:
            if any(step.kind == "act" for step in turn.steps.values()):
                self._rt.commit(self._rt.agents.save(agent, status="quarantined", reason=error[:300]))
                self._rt.cells.evict(agent)
                return
            records = [("delete", STEPS, turn.step_key(ordinal)) for ordinal in turn.steps]
            self._rt.commit(Change(tuple(records), turn.steps.clear))
        if not turn.key:
            self._rt.commit(self._close(turn))
            self._rt.lives.finished(agent)
            return
        if turn.attempt >= ATTEMPTS or turn.deaths >= DEATHS:
            self.bury(agent, turn, error)
            return
        self._again(agent, turn, turn.attempt + 1, turn.deaths)
        turn.backoff = True
        self._rt.alarms.after(BACKOFF_MS << (turn.attempt - 2), self._retry(agent.id, turn))

    def _retry(self, agent: bytes, turn: OpenTurn) -> Callable[[], None]:
        def due() -> None:
            turn.backoff = False
            turn.fresh = True
            self.pump(agent)

        return due

    def _again(self, agent: Agent, turn: OpenTurn, attempt: int, deaths: int) -> None:
        row = OpenTurn(turn.agent, turn.turn, turn.key, attempt, deaths)

        def applied() -> None:
            turn.attempt, turn.deaths = attempt, deaths

        self._rt.commit(Change((("put", TURNS, agent.id, row.encode()),), applied))

    def bury(self, agent: Agent, turn: OpenTurn, error: str) -> None:
        """Dead letter; the agent goes on with the next message, or as its behaviour says."""
        head = self._rt.mail.head(agent.id, turn.key)
        changes = [
            self._rt.book.dead_letter(agent, head.kind, error),
            self._rt.mail.bury(agent.id, turn.key, error[:1000], self._rt.clock.wall_ms()),
            self._close(turn),
        ]
        self._rt.commit(*changes)
        self._rt.log.warning("message.dead", agent=agent.name, error=error[-300:])
        self._rt.lives.after_failure(agent, error)
        self.pump(agent.id)

    def forget_delivery(self, agent: Agent, *, died: bool) -> None:
        """The agent has no cell any more. `died`: its turn was in progress when the process ended."""
        turn = self.open.get(agent.id)
        if turn is None or not turn.delivered:
            return
        turn.delivered = False
        turn.fresh = not turn.parked  # a parked turn needs no cell until something it waits for has come
        if not died or turn.parked:
            return
        if turn.key and turn.deaths + 1 >= DEATHS:
            self.bury(agent, turn, f"the cell died {turn.deaths + 1} times while handling it")
        else:
            self._again(agent, turn, turn.attempt + 1, turn.deaths + 1)
