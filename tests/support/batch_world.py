"""The supervisor's post and volatile mail over a real store, with cells that only keep what they are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from queenright.agent import Message
from queenright.clock import ManualClock
from queenright.core import SigningKey, digest
from queenright.core.cell import Opener, Sealer
from queenright.core.host import sealing_keypair
from queenright.store import Store
from queenright.supervisor.agents import Agent, Agents
from queenright.supervisor.births import Births
from queenright.supervisor.mail import Mail
from queenright.supervisor.post import Post
from queenright.supervisor.reach import Reach
from queenright.supervisor.volatile import VolatileMail
from queenright.wire.certificate import INCARNATION, IncarnationCertificate
from queenright.wire.link import Batch, Frame, Taken

SUBKEY = b"s" * 32


class Note(Message, volatile=True):
    n: int
    text: bytes = b""


@dataclass(eq=False)
class Cell:
    """What the supervisor sees of a cell."""

    id: str
    number: int
    agents: set[bytes] = field(default_factory=set)
    peers: set[tuple[bytes, int]] = field(default_factory=set)
    sent: list[Frame] = field(default_factory=list)
    idle_since: int | None = 0
    behind: bool = False

    def send(self, frame: Frame) -> None:
        self.sent.append(frame)

    def may_log(self, now: int) -> bool:
        return True

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.sent if isinstance(frame, kind)]


class Cells:
    def __init__(self) -> None:
        self.by_id: dict[str, Cell] = {}

    def of(self, agent: Agent) -> Cell | None:
        return self.by_id.get(agent.cell or "")

    def mine(self, cell: Cell, agent: bytes) -> Agent | None:
        return self.agents.get(agent) if agent in cell.agents else None

    def give_open_key(self, cell: Cell, agent: Agent, generation: int) -> None:
        """Tests open with the key itself."""


class World:
    """`agent(name, cell)` puts an agent there; `sealer(name)` is its life's way out of its cell."""

    def __init__(self, state: Path) -> None:
        self.runtime = SigningKey.from_seed(b"r" * 32)
        self.clock = ManualClock()
        self.store = Store.open(state, bytes(32))
        self.cells = Cells()
        agents = self.cells.agents = Agents(self.store, Births(self.store))
        reach = Reach()
        reach.set_intent(b"i" * 32, lambda sender, target: target != "pkg.Far")
        self.post = Post(self.store, self.clock, agents, Mail(self.store), reach, self.runtime.public_key)
        self.lines: list[str] = []
        self.rt: Any = SimpleNamespace(
            agents=agents, post=self.post, clock=self.clock, reach=reach, cells=self.cells,
            logs=SimpleNamespace(line=lambda agent, level, text: self.lines.append(text)),
        )  # fmt: skip
        self.volatile = VolatileMail(self.rt)
        self.keys: dict[bytes, SigningKey] = {}

    def cell(self, number: int) -> Cell:
        return self.cells.by_id.setdefault(f"cell-{number}", Cell(f"cell-{number}", number))

    def agent(self, name: str, cell: Cell, behaviour: str = "pkg.Near") -> Agent:
        id = digest("birth", name.encode())
        born = self.rt.agents.add(
            id, name=name, behaviour=behaviour, package=b"p" * 32, intent=b"i" * 32, parent=bytes(32), args=b"", born_ms=0,
            birth=b"", parent_signature=b"", runtime_signature=b"", parent_incarnation=b"", own_cell=False,
        )  # fmt: skip
        self.store.commit(born)
        agent: Agent = self.rt.agents.get(id)
        self.live(agent, cell)
        return agent

    def live(self, agent: Agent, cell: Cell) -> None:
        """A new life, with a key of its own, certified."""
        self.post.forget(agent.id)
        agent.enter(cell.number)
        cell.agents.add(agent.id)
        key = self.keys[agent.id] = SigningKey.from_seed(digest("seed", agent.id + bytes([cell.number])))
        agent.certificate = IncarnationCertificate(
            self.runtime.public_key, agent.id, cell.number, cell.id, True, key.public_key
        ).encode()
        agent.certificate_signature = self.runtime.sign(digest(INCARNATION, agent.certificate))

    def sealer(self, sender: Agent, *receivers: Agent) -> Sealer:
        sealer = Sealer(self.runtime.public_key, sender.id, sender.incarnation, 10_000, 1 << 30, 256)
        for receiver in receivers:
            _, public_key = sealing_keypair(SUBKEY, receiver.id, 0)
            sequence = self.post.last_sequence(sender.id, receiver.id) + 1
            sealer.learn(receiver.id, public_key, 0, sequence, digest("seed", receiver.id))
        return sealer

    def packet(self, sender: Agent, sealer: Sealer, messages: list[tuple[Agent, Message]]) -> bytes:
        for receiver, message in messages:
            sealer.add(receiver.id, message)
        sealer.cut()
        return sealer.seal_bag(self.keys[sender.id], bytes(16 * len(messages)))

    def letters(self, sender: Agent, sealer: Sealer, drafts: list[tuple[Agent, str, bytes]]) -> list[bytes]:
        mail = [(receiver.id, kind, body) for receiver, kind, body in drafts]
        return sealer.seal_letters(self.keys[sender.id], mail, bytes(16 * len(mail)))

    def receive(self, sender: Agent, packet: bytes) -> None:
        self.volatile.on_batch(self.cells.of(sender), Batch(sender.id, packet))  # type: ignore[arg-type]

    def open(self, receiver: Agent, frame: Batch, sender: Agent) -> list[Message]:
        """What the receiver's cell makes of a batch."""
        opener = Opener(self.runtime.public_key)
        opener.give_key(receiver.id, 0, sealing_keypair(SUBKEY, receiver.id, 0)[0])
        opener.introduce(sender.id, sender.incarnation, self.keys[sender.id].public_key)
        arrival = opener.open_packet(frame.packet, lambda name: Note)
        return [message for to, _, message, _ in arrival.messages if to == receiver.id]

    def take(self, cell: Cell, *counts: list[Any]) -> None:
        self.volatile.on_taken(cell, Taken(list(counts)))  # type: ignore[arg-type]
