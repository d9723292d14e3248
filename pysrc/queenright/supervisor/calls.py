"""Open calls: one agent's turn waits for another agent's answer, with a durable deadline (design section 6, point 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queenright.core import Letter, canonical, decode
from queenright.errors import CallCycle, CallTooDeep, Malformed, Parked, TimedOut, Unknown
from queenright.store import Change
from queenright.supervisor.agents import Agent
from queenright.supervisor.outcome import Outcome
from queenright.wire.envelope import check_sealed
from queenright.wire.ids import short

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["MAX_DEPTH", "TABLE", "Calls"]

TABLE = "call"  # 16-byte call id
MAX_DEPTH = 16
MAX_TIMEOUT_MS = 24 * 3_600_000


class Calls:
    """Who waits for whose answer."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._open: dict[bytes, dict[str, Any]] = {}

    def load(self) -> None:
        for key, value in self._rt.store.scan(TABLE):
            self._open[key] = decode(value)
            self._arm(key)

    def _arm(self, call: bytes) -> None:
        self._rt.alarms.at_wall(self._open[call]["deadline_ms"], lambda: self._expired(call))

    def open(self, agent: Agent, turn: int, ordinal: int, request: dict[str, Any]) -> None:
        """Queue the call's message. Raises CallCycle, CallTooDeep, Malformed, Unknown (out of reach, gone, full)."""
        for row in self._open.values():
            if (row["agent"], row["turn"], row["ordinal"]) == (agent.id, turn, ordinal):
                return  # a restart found the row: the message was queued then, and its deadline runs on
        timeout = request.get("timeout_ms")
        if type(timeout) is not int or not 0 < timeout <= MAX_TIMEOUT_MS:
            raise Malformed(f"a call's timeout is between 1 ms and {MAX_TIMEOUT_MS} ms")
        to = request.get("to")
        chain = [*self._chain_of(agent), agent.id]
        if to in chain:
            raise CallCycle(
                f"agent {short('agent', to)} is already waiting in this chain of calls",
                hint="send it a message instead",
            )
        if len(chain) > MAX_DEPTH:
            raise CallTooDeep(f"this chain of calls is {len(chain)} deep; the limit is {MAX_DEPTH}")
        call = self._rt.rand(16)
        changes, target, why = self._rt.post.send(agent, request, call=call, chain=chain)
        if why:
            raise Unknown(f"the call cannot be delivered: {why}", hint="discover who is within reach")
        row = {
            "v": 1,
            "agent": agent.id,
            "turn": turn,
            "ordinal": ordinal,
            "callee": to,
            "deadline_ms": self._rt.clock.wall_ms() + timeout,
        }

        def applied() -> None:
            self._open[call] = row
            self._arm(call)

        self._rt.commit(*changes, Change((("insert", TABLE, call, canonical(row)),), applied))
        self._rt.turns.pump(target)

    def _chain_of(self, agent: Agent) -> list[bytes]:
        turn = self._rt.turns.open.get(agent.id)
        if turn is None or not turn.key:
            return []
        return list(self._rt.mail.read(turn.key)["chain"])

    def answer(
        self, callee: Agent, call: bytes, reply: dict[str, Any] | None
    ) -> tuple[list[Change], list[bytes]]:
        """The callee's turn ended: its value becomes the caller's step result, in the same commit."""
        row = self._open.get(call)
        if row is None or row["callee"] != callee.id:
            return [], []
        value: dict[str, Any] | None = None
        if reply is not None:
            if not isinstance(reply.get("type"), str) or (reply.get("body") is None) == (
                reply.get("sealed") is None
            ):
                raise Malformed("a reply has a type and a body or a seal")
            sealed = reply.get("sealed")
            if sealed is not None and Letter.parse(check_sealed(sealed)["letter"]).receiver != row["agent"]:
                raise Malformed("a reply is sealed for another agent than the caller")
            value = {"type": reply["type"], "body": reply.get("body"), "sealed": sealed, "sender": callee.id}
        return self._close(call, Outcome.done(value)), []

    def _close(self, call: bytes, outcome: Outcome) -> list[Change]:
        row = self._open[call]
        done = self._rt.turns.step_done(row["agent"], row["turn"], row["ordinal"], outcome)

        def applied() -> None:
            self._open.pop(call, None)
            if done is not None:
                self._rt.soon(lambda: self._rt.turns.announce(row["agent"], row["turn"], row["ordinal"]))

        changes: list[Change] = []
        if done is not None:
            changes.append(done)
        changes.append(Change((("delete", TABLE, call),), applied))
        return changes

    def _expired(self, call: bytes) -> None:
        row = self._open.get(call)
        if row is None:
            return
        callee = self._rt.agents.find(row["callee"])
        error: Exception
        if callee is not None and callee.waiting_ask is not None:
            error = Parked(f"{callee.name} waits for a person", ask=short("ask", callee.waiting_ask))
        else:
            error = TimedOut(
                "nobody answered the call by its deadline", hint="raise the timeout or send a message"
            )
        self._rt.commit(*self._close(call, Outcome.failed(error)))

    def callee_ended(self, callee: bytes) -> list[Change]:
        """Open calls to an agent that has ended fail at once."""
        gone = Outcome.failed(Unknown("the called agent has ended"))
        return [
            change
            for call, row in list(self._open.items())
            if row["callee"] == callee
            for change in self._close(call, gone)
        ]

    def caller_ended(self, caller: bytes) -> list[Change]:
        """The caller is gone; whoever answers later answers nobody."""
        return [self._forget(call) for call, row in list(self._open.items()) if row["agent"] == caller]

    def _forget(self, call: bytes) -> Change:
        def applied() -> None:
            self._open.pop(call, None)

        return Change((("delete", TABLE, call),), applied)
