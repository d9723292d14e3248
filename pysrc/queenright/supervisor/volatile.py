"""Volatile mail between cells: a batch checked once, forwarded once to each cell, and counted until it is taken.

Nothing here is kept: what nobody can have is dropped, counted, and its sender told. What is under way counts against its sender
(a window in its own cell, at whose end `ctx.send` raises MailboxFull) and against its receiver (a mailbox's worth), so one
flooding agent fills neither a link nor somebody else's mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from queenright.core.host import Packet
from queenright.errors import Malformed
from queenright.supervisor.agents import Agent
from queenright.supervisor.cell_process import CellProcess
from queenright.supervisor.mail import MAILBOX_BYTES, MAILBOX_MESSAGES
from queenright.wire.link import Batch, Credit, Peer, Taken

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["VolatileMail"]


@dataclass(slots=True)
class _Load:
    """Messages and bytes of ciphertext that are under way."""

    messages: int = 0
    size: int = 0


@dataclass(slots=True)
class _Refused:
    messages: int = 0
    size: int = 0
    reasons: set[str] = field(default_factory=set)


class VolatileMail:
    """Every volatile message that is between two cells."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        # By receiving cell: (sender, its life, receiver).
        self._flights: dict[str, dict[tuple[bytes, int, bytes], _Load]] = {}
        self._loads: dict[bytes, _Load] = {}  # by receiver, of all senders
        self.dropped = 0  # messages that reached nobody, since the start

    def on_batch(self, cell: CellProcess, frame: Batch) -> None:
        """Raises Malformed or InvalidSignature for what no cell of ours sends."""
        sender = self._rt.cells.mine(cell, frame.agent)
        if sender is None:
            return  # evicted while it was under way: nobody waits for its credit
        packet = Packet.parse(frame.packet)
        if len(packet) != packet.count:
            raise Malformed(f"{sender.name} sends a batch with messages left out")
        self._rt.post.accept_batch(sender, packet)
        cell.idle_since = None  # a cell that writes or is written to is at work
        now = self._rt.clock.boot_ms()
        homes: dict[str, tuple[CellProcess, list[bytes]]] = {}
        refused = _Refused()
        for receiver, generation, messages, size, _, _ in packet.pairs:
            target = self._rt.agents.find(receiver)
            home = self._rt.cells.of(target) if target is not None else None
            why = self._refusal(sender, target, home, messages, size, now)
            if why or target is None or home is None:
                refused.messages += messages
                refused.size += size
                refused.reasons.add(why)
                continue
            self._rt.reach.heard(target, sender, now)
            self._rt.cells.give_open_key(home, target, generation)
            self._fly(home, sender, receiver, messages, size)
            homes.setdefault(home.id, (home, []))[1].append(receiver)
        for home, receivers in homes.values():
            home.idle_since = None
            self._introduce(home, sender)
            whole = len(receivers) == len(packet.pairs)
            home.send(Batch(sender.id, frame.packet if whole else packet.only(receivers)))
        if refused.messages:
            self._drop(cell, sender, refused)

    def _refusal(
        self,
        sender: Agent,
        target: Agent | None,
        home: CellProcess | None,
        messages: int,
        size: int,
        now: int,
    ) -> str:
        """Why a pair's messages reach nobody, or nothing. Volatile mail starts no cell and waits for none."""
        if target is None:
            return "no such agent"
        if target.status in ("ended", "stopping"):
            return "the agent has ended"
        if not self._rt.reach.allows(sender, target, now):
            return "out of reach"
        if home is None or not target.runnable:
            return "the agent is not running"
        if home.behind:
            return "its cell is behind"
        load = self._loads.get(target.id)
        if load is not None and (
            load.messages + messages > MAILBOX_MESSAGES or load.size + size > MAILBOX_BYTES
        ):
            return "mailbox full"
        return ""

    def _introduce(self, home: CellProcess, sender: Agent) -> None:
        peer = (sender.id, sender.incarnation)
        if peer not in home.peers:
            home.peers.add(peer)
            home.send(Peer(sender.id, sender.certificate, sender.certificate_signature))

    # --- what is under way ----------------------------------------------------------------------------------------

    def _fly(self, home: CellProcess, sender: Agent, receiver: bytes, messages: int, size: int) -> None:
        place = (sender.id, sender.incarnation, receiver)
        flight = self._flights.setdefault(home.id, {}).setdefault(place, _Load())
        load = self._loads.setdefault(receiver, _Load())
        for count in (flight, load):
            count.messages += messages
            count.size += size

    def on_taken(self, cell: CellProcess, frame: Taken) -> None:
        """A cell has put messages into mailboxes. Raises Malformed for more than it was sent."""
        flights = self._flights.get(cell.id, {})
        credits: dict[tuple[bytes, int], _Load] = {}
        for count in frame.counts:
            sender, life, receiver, messages, size = _count(count)
            flight = flights.get((sender, life, receiver))
            if flight is None or messages > flight.messages or size > flight.size:
                raise Malformed("a cell took more volatile mail than it was sent")
            self._land(flight, receiver, messages, size)
            if not flight.messages:
                del flights[sender, life, receiver]
            credit = credits.setdefault((sender, life), _Load())
            credit.messages += messages
            credit.size += size
        for (sender, life), credit in credits.items():
            self._credit(sender, life, credit.messages, credit.size, 0)

    def _land(self, flight: _Load, receiver: bytes, messages: int, size: int) -> None:
        load = self._loads[receiver]
        for count in (flight, load):
            count.messages -= messages
            count.size -= size
        if not load.messages:
            del self._loads[receiver]

    def _credit(self, sender: bytes, life: int, messages: int, size: int, dropped: int) -> None:
        """To the life that sent them, if it still goes on: what an earlier one had under way is owed to nobody."""
        agent = self._rt.agents.find(sender)
        cell = self._rt.cells.of(agent) if agent is not None else None
        if agent is not None and cell is not None and agent.incarnation == life:
            cell.send(Credit(sender, messages, size, dropped))

    def _drop(self, cell: CellProcess, sender: Agent, refused: _Refused) -> None:
        self.dropped += refused.messages
        self._credit(sender.id, sender.incarnation, refused.messages, refused.size, refused.messages)
        if cell.may_log(self._rt.clock.boot_ms()):
            why = ", ".join(sorted(refused.reasons))
            self._rt.logs.line(sender.id, "runtime", f"{refused.messages} volatile messages dropped: {why}")

    def cell_ended(self, cell: CellProcess) -> None:
        """What was under way to a cell that died is lost; its senders get their windows back."""
        for (sender, life, receiver), flight in self._flights.pop(cell.id, {}).items():
            messages, size = flight.messages, flight.size
            self._land(flight, receiver, messages, size)
            self.dropped += messages
            self._credit(sender, life, messages, size, messages)


def _count(count: Any) -> tuple[bytes, int, bytes, int, int]:
    shape = [bytes, int, bytes, int, int]
    if not isinstance(count, list) or [type(item) for item in count] != shape:
        raise Malformed("what a cell took is [sender, incarnation, receiver, messages, bytes]")
    sender, life, receiver, messages, size = count
    if messages < 1 or size < 0:
        raise Malformed("what a cell took is at least one message")
    return sender, life, receiver, messages, size
