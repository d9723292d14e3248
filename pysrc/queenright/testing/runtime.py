"""A supervisor small enough to hold in a test: mailboxes, turns, steps, births and keys, in memory and by hand.

It speaks the cell link as the real one does and checks what a cell sends as strictly, so a behaviour, or a cell, that passes
here has met every frame. It keeps no journal and enforces no reach between agents of one swarm.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from queenright.clock import ManualClock
from queenright.core import canonical, decode, digest
from queenright.core.host import Packet
from queenright.errors import Malformed, QueenrightError, TimedOut, Unknown
from queenright.testing.identity import Identity
from queenright.testing.records import AgentRecord, Authority, CellEnd, OpenTurn, Pending
from queenright.wire.certificate import NO_PARENT, Birth
from queenright.wire.envelope import generation_of
from queenright.wire.link import (
    Batch,
    Credit,
    Deliver,
    End,
    Evict,
    Fault,
    Frame,
    Host,
    Incarnation,
    Log,
    NeedSealKey,
    Peer,
    Ready,
    Rest,
    Result,
    Start,
    Step,
    Stop,
    Taken,
    Up,
)
from queenright.wire.refusal import encode_refusal
from queenright.wire.step import op_digest, step_digest

__all__ = ["ATTEMPTS", "Runtime"]

ATTEMPTS = 5
RUNTIME = bytes(32)


class Runtime:
    """See the module. What `authority.act` leaves pending, `finish` settles."""

    def __init__(self, authority: Authority, rand: Callable[[int], bytes], clock: ManualClock) -> None:
        self.clock = clock
        self.rand = rand
        self.identity = Identity(rand)
        self.intent = rand(32)
        self.authority = authority
        self.agents: dict[bytes, AgentRecord] = {}
        self.cells: list[CellEnd] = []
        self.frames: list[Frame] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = itertools.count(1)
        self._calls: dict[bytes, Callable[[dict[str, Any] | None], None]] = {}
        self._done_soon: deque[Callable[[], None]] = deque()

    # --- cells -------------------------------------------------------------------------------------------------------

    def open_cell(
        self, send: Callable[[Frame], None], packages: list[dict[str, Any]], *, shared: bool = True
    ) -> CellEnd:
        """Start a cell behind `send`."""
        number = len(self.cells) + 1
        cell = CellEnd(f"cell-{number}", number, self.rand(32), send)
        self.cells.append(cell)
        send(
            Start(
                cell=cell.id,
                number=number,
                shared=shared,
                runtime_key=self.identity.public_key,
                nonce=cell.nonce,
                packages=packages,
                turn_ms=1000,
                now_ms=self.clock.wall_ms(),
            )
        )
        return cell

    def cell_died(self, cell: CellEnd) -> None:
        """Its agents live nowhere; what they were in the middle of is an attempt."""
        self.cells[cell.number - 1] = cell
        for agent in list(cell.hosted):
            self._leave(self.agents[agent])

    def _leave(self, agent: AgentRecord) -> None:
        if agent.cell is not None:
            agent.cell.hosted.discard(agent.id)
        agent.cell = None
        agent.certificate = agent.certified = b""
        agent.batch, agent.signed = bytes(32), 0
        if agent.turn is not None and agent.turn.delivered:
            agent.turn.delivered = False
            agent.turn.attempt += 1

    def host(self, agent: AgentRecord, cell: CellEnd) -> None:
        """Put the agent there and give it its work."""
        agent.cell, agent.incarnation = cell, cell.number
        cell.hosted.add(agent.id)
        kin = [other.id for other in self.agents.values() if other.parent == agent.id]
        cell.send(
            Host(
                agent=agent.id,
                name=agent.name,
                behaviour=agent.behaviour,
                args=agent.args,
                parent=agent.parent,
                intent=self.intent,
                package=agent.package,
                state=agent.state,
                state_version=agent.state_version,
                kin=kin,
            )
        )
        self.pump(agent)

    def evict(self, agent: AgentRecord) -> None:
        if agent.cell is not None:
            agent.cell.send(Evict(agent.id))
        self._leave(agent)

    # --- births and mail -----------------------------------------------------------------------------------------------

    def first(
        self, behaviour: str, package: bytes, name: str, args: dict[str, Any], state: bytes | None = None
    ) -> AgentRecord:
        """The swarm's first agent."""
        packed = canonical(args)
        birth = Birth(
            runtime=self.identity.public_key, intent=self.intent, parent=NO_PARENT, name=name, behaviour=behaviour,
            package=package, grant=digest("grant", b""), args=digest("args", packed), born_ms=self.clock.wall_ms(),
            nonce=self.rand(16),
        )  # fmt: skip
        return self._born(birth, packed, state)

    def _born(self, birth: Birth, args: bytes, state: bytes | None = None) -> AgentRecord:
        agent = AgentRecord(
            id=birth.agent, name=birth.name, behaviour=birth.behaviour, package=birth.package, parent=birth.parent,
            args=args, birth=birth.encode(), state=state,
        )  # fmt: skip
        self.agents[agent.id] = agent
        agent.mailbox.append(self.runtime_mail("queenright.Born", {}))
        return agent

    def ask(self, to: bytes, mail: dict[str, Any], answered: Callable[[dict[str, Any] | None], None]) -> None:
        """Queue a call that the test itself makes; `answered` gets the reply."""
        call = self.rand(16)
        self._calls[call] = answered
        self.post(to, mail | {"call": call})

    def runtime_mail(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": b"", "sender": RUNTIME, "sender_name": "runtime", "type": kind, "body": canonical(body),
            "sealed": None, "call": None, "chain": [],
        }  # fmt: skip

    def post(self, to: bytes, mail: dict[str, Any], *, front: bool = False) -> None:
        """Queue mail for an agent and wake it."""
        agent = self.agents[to]
        if front:
            agent.mailbox.appendleft(mail)
        else:
            agent.mailbox.append(mail)
        self.pump(agent)

    def pump(self, agent: AgentRecord) -> None:
        """Hand the agent its open turn, or the next message."""
        if agent.ended or agent.cell is None:
            return
        if agent.turn is None:
            if not agent.mailbox:
                return
            agent.turns += 1
            agent.turn = OpenTurn(agent.turns, 1, agent.mailbox.popleft())
        turn = agent.turn
        if turn.delivered or turn.mail is None:
            return
        turn.delivered = True
        if turn.mail["sealed"] is not None:
            self._give_open_key(agent, generation_of(turn.mail["sealed"]))
        steps = [turn.steps[ordinal] for ordinal in sorted(turn.steps)]
        agent.cell.send(Deliver(agent.id, turn.number, turn.attempt, turn.mail, steps))

    def stop(self, agent: AgentRecord, reason: str = "stopped") -> None:
        """Its last turn."""
        agent.turns += 1
        agent.turn = OpenTurn(agent.turns, 1, None, delivered=True)
        if agent.cell is None:
            self._ended(agent, reason)
        else:
            agent.cell.send(Stop(agent.id, agent.turn.number, reason))

    def _ended(self, agent: AgentRecord, reason: str) -> None:
        agent.ended, agent.turn = True, None
        self._leave(agent)
        facts = {"agent": agent.id, "name": agent.name, "reason": reason, "error": ""}
        if agent.parent in self.agents:
            self.post(agent.parent, self.runtime_mail("queenright.ChildEnded", facts), front=True)
        for watcher in agent.monitors:
            self.post(watcher, self.runtime_mail("queenright.Ended", facts), front=True)

    # --- frames from cells ---------------------------------------------------------------------------------------------

    def receive(self, cell: CellEnd, frame: Frame) -> None:
        """Take a frame of a cell. Raises Malformed or InvalidSignature where the real supervisor would end the cell."""
        self.frames.append(frame)
        if isinstance(frame, Up):
            return
        if isinstance(frame, Ready):
            cell.ready = frame
        elif isinstance(frame, Fault):
            cell.fault = frame.text
        elif isinstance(frame, Log):
            self.agents[frame.agent].logs.append((frame.level, frame.text))
        elif isinstance(frame, Taken):
            self._on_taken(frame)
        else:
            agent = self.agents.get(getattr(frame, "agent", b""))
            if agent is None or agent.cell is not cell:
                return  # evicted or ended while the frame was under way
            doer = {
                Step: self._on_step, End: self._on_end, Incarnation: self._on_incarnation,
                NeedSealKey: self._on_need_seal_key, Batch: self._on_batch, Rest: self._on_rest,
            }.get(type(frame))  # fmt: skip
            if doer is None:
                raise Malformed(f"`{frame.t}` is a frame that the supervisor sends")
            doer(agent, frame)  # type: ignore[operator]
        while self._done_soon:
            self._done_soon.popleft()()

    def _on_incarnation(self, agent: AgentRecord, frame: Incarnation) -> None:
        assert agent.cell is not None
        agent.cell.send(self.identity.certify(agent, agent.cell, frame))

    def _on_rest(self, agent: AgentRecord, frame: Rest) -> None:
        agent.state, agent.state_version = frame.state, frame.state_version

    def _on_need_seal_key(self, agent: AgentRecord, frame: NeedSealKey) -> None:
        receiver = self.agents.get(frame.receiver)
        generation = receiver.generation if receiver is not None else 0
        assert agent.cell is not None
        agent.cell.send(self.identity.seal_key(agent.id, frame.receiver, generation))

    def _give_open_key(self, agent: AgentRecord, generation: int) -> None:
        assert agent.cell is not None
        if (agent.id, generation) not in agent.cell.open_keys:
            agent.cell.open_keys.add((agent.id, generation))
            agent.cell.send(self.identity.open_key(agent.id, generation))

    def _route(
        self,
        sender: AgentRecord,
        op: dict[str, Any],
        call: bytes | None = None,
        chain: list[bytes] | None = None,
    ) -> tuple[AgentRecord | None, dict[str, Any]]:
        to, kind, body, sealed = op["to"], op["type"], op["body"], op["sealed"]
        if (body is None) == (sealed is None):
            raise Malformed("a send has a body or a seal, not both or none")
        target = self.agents.get(to)
        if body is not None and target is not None and target.cell not in (None, sender.cell):
            raise Malformed("a message for another cell must be sealed")
        sender.sent.append((to, kind, body))
        mail = {
            "id": self.rand(16), "sender": sender.id, "sender_name": sender.name, "type": kind, "body": body,
            "sealed": sealed, "call": call, "chain": chain or [],
        }  # fmt: skip
        return (None if target is None or target.ended else target), mail

    def _ops(self, agent: AgentRecord, ops: list[dict[str, Any]]) -> None:
        for op in ops:
            kind = op["op"]
            if kind == "send":
                target, mail = self._route(agent, op)
                if target is None:
                    back = {
                        "to": op["to"],
                        "type": op["type"],
                        "body": op["body"] or b"",
                        "reason": "no such agent",
                    }
                    self._soon_post(agent.id, self.runtime_mail("queenright.Undelivered", back))
                else:
                    self._soon_post(target.id, mail)
            elif kind == "timer":
                self._set_timer(agent, op, op["after_ms"])
            elif kind == "cancel":
                agent.timers.pop(op["id"], None)
            elif kind == "monitor":
                self.agents[op["agent"]].monitors.add(agent.id)
            elif kind != "stop":
                raise Malformed(f"unknown op `{kind}`")

    def _soon_post(self, to: bytes, mail: dict[str, Any]) -> None:
        self._done_soon.append(lambda: self.post(to, mail))

    def _set_timer(self, agent: AgentRecord, op: dict[str, Any], after_ms: int) -> None:
        serial = next(self._serial)
        agent.timers[op["id"]] = serial

        def fire() -> None:
            if agent.timers.get(op["id"]) != serial or agent.ended:
                return
            del agent.timers[op["id"]]
            mail = self.runtime_mail(op["type"], {}) | {
                "id": op["id"],
                "sender_name": "timer",
                "body": op["body"],
            }
            self.post(agent.id, mail, front=True)
            if op["every_ms"] is not None:
                self._set_timer(agent, op, op["every_ms"])

        self.at(self.clock.wall_ms() + after_ms, fire)

    def at(self, due_ms: int, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (due_ms, next(self._serial), do))

    def next_due(self) -> int | None:
        """When the next timer, sleep or deadline falls due, in wall ms."""
        return self._due[0][0] if self._due else None

    def fire_due(self) -> None:
        """Everything that is due by the clock."""
        while self._due and self._due[0][0] <= self.clock.wall_ms():
            heapq.heappop(self._due)[2]()
            while self._done_soon:
                self._done_soon.popleft()()

    # --- steps -------------------------------------------------------------------------------------------------------

    def _current(self, agent: AgentRecord, number: int) -> OpenTurn | None:
        turn = agent.turn
        return turn if turn is not None and turn.number == number and turn.delivered else None

    def _on_step(self, agent: AgentRecord, frame: Step) -> None:
        request = decode(frame.request)
        self._accept(agent, frame.ops, *([(request["to"], request)] if frame.kind == "call" else []))
        turn = self._current(agent, frame.turn)
        if turn is None:
            return
        if frame.ordinal in turn.steps:
            raise Malformed(f"step {frame.ordinal} is recorded already")
        turn.requests[frame.ordinal] = request
        turn.steps[frame.ordinal] = {
            "ordinal": frame.ordinal, "kind": frame.kind, "digest": step_digest(frame.kind, frame.request),
            "done": False, "ok": False, "value": b"", "error": None, "ops": [op_digest(op) for op in frame.ops],
        }  # fmt: skip
        self._ops(agent, frame.ops)
        self._execute(agent, frame.turn, frame.ordinal, frame.kind, request, frame.request)

    def _execute(
        self, agent: AgentRecord, turn: int, ordinal: int, kind: str, request: dict[str, Any], raw: bytes
    ) -> None:
        try:
            if kind == "act":
                agent.acts.append(request)
                self.finish(agent, turn, ordinal, self.authority.act(agent, ordinal, request))
            elif kind == "call":
                self._call(agent, turn, ordinal, request)
            elif kind == "spawn":
                child = self._spawn(agent, request)
                self.finish(agent, turn, ordinal, {"agent": child.id, "name": child.name})
            elif kind == "spawn_many":
                self.finish(agent, turn, ordinal, self._spawn_many(agent, request))
            elif kind == "sleep":
                self.at(self.clock.wall_ms() + request["ms"], lambda: self.finish(agent, turn, ordinal, None))
            elif kind == "discover":
                self.finish(agent, turn, ordinal, self._discover(agent, request))
            elif kind == "now":
                self.finish(agent, turn, ordinal, self.clock.wall_ms())
            elif kind == "random":
                self.finish(agent, turn, ordinal, self.rand(request["bytes"]))
            elif kind == "run":
                self.finish(agent, turn, ordinal, decode(raw))
            else:
                raise Malformed(f"unknown kind of step `{kind}`")
        except Pending:
            return
        except QueenrightError as error:
            self.finish(agent, turn, ordinal, None, error)

    def _discover(self, agent: AgentRecord, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "agent": other.id,
                "name": other.name,
                "behaviour": other.behaviour,
                "capabilities": [],
                "claimed": [],
            }
            for other in self.agents.values()
            if other.id != agent.id and not other.ended and request["behaviour"] in (None, other.behaviour)
        ]

    def _spawn(self, parent: AgentRecord, request: dict[str, Any]) -> AgentRecord:
        birth = self.identity.check_birth(parent, self.intent, request)
        self.authority.birth(parent, birth, request)
        child = self._born(birth, request["args"])
        cell = parent.cell
        assert cell is not None
        self._done_soon.append(lambda: self.host(child, cell))
        return child

    def _spawn_many(self, parent: AgentRecord, request: dict[str, Any]) -> dict[str, Any]:
        members = self.identity.check_births(parent, self.intent, request)
        self.authority.births(parent, members, request)
        cell = parent.cell
        assert cell is not None
        each = request["args"]
        for position in range(len(members)):
            birth = Birth.decode(members.certificate(position))
            child = self._born(birth, each if isinstance(each, bytes) else each[position])
            self._done_soon.append(partial(self.host, child, cell))
        facts = {name: request[name] for name in ("root", "born_ms", "seed")}
        return facts | {"count": len(members)}

    def _call(self, agent: AgentRecord, turn: int, ordinal: int, request: dict[str, Any]) -> None:
        call = self.rand(16)
        open_turn = agent.turn
        chain = [*(open_turn.mail or {}).get("chain", []), agent.id] if open_turn is not None else [agent.id]
        target, mail = self._route(agent, request, call, chain)
        if target is None:
            raise Unknown("the call cannot be delivered: no such agent")
        self._calls[call] = lambda reply: self.finish(agent, turn, ordinal, reply)
        self._soon_post(target.id, mail)

        def expired() -> None:
            if self._calls.pop(call, None) is not None:
                self.finish(agent, turn, ordinal, None, TimedOut("nobody answered the call by its deadline"))

        self.at(self.clock.wall_ms() + request["timeout_ms"], expired)

    def finish(
        self, agent: AgentRecord, turn: int, ordinal: int, value: Any, error: QueenrightError | None = None
    ) -> None:
        """Record a step's result and tell the cell."""
        open_turn = agent.turn
        step = open_turn.steps.get(ordinal) if open_turn is not None and open_turn.number == turn else None
        if open_turn is None or step is None or step["done"]:
            return
        step |= {"done": True, "ok": error is None, "value": b"" if error else canonical(value)}
        step["error"] = encode_refusal(error) if error else None
        if open_turn.delivered and agent.cell is not None:
            if step["kind"] == "call" and isinstance(value, dict) and value["sealed"] is not None:
                self._give_open_key(agent, generation_of(value["sealed"]))
            agent.cell.send(Result(agent.id, turn, ordinal, step["ok"], step["value"], step["error"]))

    def _on_end(self, agent: AgentRecord, frame: End) -> None:
        self._accept(agent, frame.ops, *([(None, frame.reply)] if frame.reply is not None else []))
        turn = self._current(agent, frame.turn)
        if turn is None:
            return
        if not frame.ok:
            self._failed(agent, turn, frame.error)
            return
        if frame.state is not None:
            agent.state, agent.state_version = frame.state, frame.state_version
        self._ops(agent, frame.ops)
        mail = turn.mail
        if mail is not None and mail["call"] is not None:
            answered = self._calls.pop(mail["call"], None)
            if answered is not None:
                reply = frame.reply
                if reply is not None:
                    reply = reply | {"sender": agent.id}
                self._done_soon.append(partial(answered, reply))
        agent.turn = None
        if mail is None:
            self._ended(agent, "stopped")
        elif any(op["op"] == "stop" for op in frame.ops):
            self.stop(agent, "stopped itself")
        else:
            self._done_soon.append(lambda: self.pump(agent))

    def _failed(self, agent: AgentRecord, turn: OpenTurn, error: str) -> None:
        agent.errors.append(error)
        turn.delivered = False
        if turn.mail is None:
            self._ended(agent, "stopped")
            return
        if error.startswith("mismatch"):
            turn.steps.clear()
        if turn.attempt >= ATTEMPTS:
            agent.dead.append(turn.mail)
            agent.turn = None
        else:
            turn.attempt += 1
        self._done_soon.append(lambda: self.pump(agent))

    def _accept(
        self, agent: AgentRecord, ops: list[dict[str, Any]], *carried: tuple[bytes | None, dict[str, Any]]
    ) -> None:
        """Check everything of a record that is sealed."""
        sends = [(op["to"], op) for op in ops if op["op"] == "send"]
        places = [(to, place) for to, place in [*sends, *carried] if place.get("sealed") is not None]
        self.identity.check_record(agent, places)

    def _on_batch(self, agent: AgentRecord, frame: Batch) -> None:
        packet = Packet.parse(frame.packet)
        self.identity.check_packet(agent, packet)
        homes: dict[int, tuple[CellEnd, list[bytes]]] = {}
        for receiver, generation, messages, size, _, _ in packet.pairs:
            target = self.agents.get(receiver)
            if target is None or target.ended or target.cell is None:
                assert agent.cell is not None
                agent.cell.send(Credit(agent.id, messages, size, messages))
                continue
            self._give_open_key(target, generation)
            homes.setdefault(target.cell.number, (target.cell, []))[1].append(receiver)
        for home, receivers in homes.values():
            if (agent.id, agent.incarnation) not in home.peers:
                home.peers.add((agent.id, agent.incarnation))
                home.send(Peer(agent.id, agent.certificate, agent.certified))
            home.send(Batch(agent.id, packet.only(receivers)))

    def _on_taken(self, frame: Taken) -> None:
        for sender, life, _, messages, size in frame.counts:
            agent = self.agents[sender]
            if agent.cell is not None and agent.incarnation == life:
                agent.cell.send(Credit(sender, messages, size, 0))
