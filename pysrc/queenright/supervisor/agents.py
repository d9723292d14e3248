"""The supervisor's record of every agent: place in the spawn tree, status, turn counter.

A record is durable before anybody hears of it; what is in memory is a cache of rows the store accepted. Fields below the
line `memory only` describe the present life and start empty after every start of the supervisor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from queenright.core import canonical, decode
from queenright.errors import Malformed, Unknown
from queenright.store import Change, Store
from queenright.wire.certificate import NO_PARENT

__all__ = ["TABLE", "Agent", "Agents", "Status"]

TABLE = "agent"

Status = Literal["live", "frozen", "paused", "suspect", "quarantined", "stopping", "ended"]

_DURABLE = (
    "name",
    "behaviour",
    "package",
    "intent",
    "parent",
    "args",
    "born_ms",
    "birth",
    "parent_signature",
    "runtime_signature",
    "parent_incarnation",
    "own_cell",
    "status",
    "turn",
    "generation",
    "ended_ms",
    "reason",
)


@dataclass(slots=True)
class Agent:
    """One agent. `birth` is its certificate's canonical bytes, whose digest is `id`; its grant has the same id."""

    id: bytes
    name: str
    behaviour: str
    package: bytes
    intent: bytes
    parent: bytes
    args: bytes
    born_ms: int
    birth: bytes
    parent_signature: bytes
    runtime_signature: bytes
    parent_incarnation: (
        bytes  # certificate of the parent's key that signed the birth, empty for the first agent
    )
    own_cell: bool
    status: Status = "live"
    turn: int = 0
    generation: int = 0
    ended_ms: int = 0
    reason: str = ""
    # memory only
    cell: str | None = None
    incarnation: int = 0
    certificate: bytes = b""
    certificate_signature: bytes = b""
    waiting_ask: bytes | None = None
    doing: str = ""
    children: set[bytes] = field(default_factory=set)
    heard_from: dict[bytes, int] = field(default_factory=dict)  # sender -> boot ms of its last message

    @property
    def runnable(self) -> bool:
        """Whether messages may be handed to it now."""
        return self.status in ("live", "suspect", "stopping")

    @property
    def ended(self) -> bool:
        return self.status == "ended"

    def encode(self) -> bytes:
        return canonical({"v": 1} | {name: getattr(self, name) for name in _DURABLE})

    @classmethod
    def decode(cls, agent: bytes, data: bytes) -> Agent:
        body = decode(data)
        if not isinstance(body, dict) or body.pop("v", None) != 1 or body.keys() != set(_DURABLE):
            raise Malformed(f"agent row {agent.hex()[:12]} is not of version 1")
        return cls(id=agent, **body)


class Agents:
    """All agents by id, with the spawn tree over them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: dict[bytes, Agent] = {}

    def load(self) -> None:
        """Read every row and rebuild the tree."""
        for key, value in self._store.scan(TABLE):
            self._by_id[key] = Agent.decode(key, value)
        for agent in self._by_id.values():
            self._link(agent)

    def _link(self, agent: Agent) -> None:
        parent = self._by_id.get(agent.parent)
        if parent is not None:
            parent.children.add(agent.id)

    def __iter__(self) -> Iterator[Agent]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, agent: bytes) -> Agent:
        """The record, ended or not. Raises Unknown."""
        found = self._by_id.get(agent)
        if found is None:
            raise Unknown(
                f"no agent `agent-{agent.hex()[:12]}` is known here",
                hint="list them with `queenright agent list`",
            )
        return found

    def find(self, agent: bytes) -> Agent | None:
        return self._by_id.get(agent)

    def of_intent(self, intent: bytes) -> list[Agent]:
        return [agent for agent in self._by_id.values() if agent.intent == intent]

    def subtree(self, agent: bytes) -> list[Agent]:
        """The agent and everything below it, children before parents."""
        out: list[Agent] = []
        stack = [self.get(agent)]
        while stack:
            top = stack.pop()
            out.append(top)
            stack += [self._by_id[child] for child in top.children]
        out.reverse()
        return out

    def chain(self, agent: bytes) -> list[Agent]:
        """From the swarm's first agent down to this one."""
        out: list[Agent] = []
        at: bytes = agent
        while at != NO_PARENT and at in self._by_id:
            out.append(self._by_id[at])
            at = self._by_id[at].parent
        out.reverse()
        return out

    def add(self, agent: Agent) -> Change:
        """A birth. Refused by the store if the id exists."""

        def applied() -> None:
            self._by_id[agent.id] = agent
            self._link(agent)

        return Change((("insert", TABLE, agent.id, agent.encode()),), applied)

    def save(self, agent: Agent, **fields: object) -> Change:
        """Set durable fields; memory follows once the store accepted."""
        body = {name: getattr(agent, name) for name in _DURABLE} | fields

        def applied() -> None:
            for name, value in fields.items():
                setattr(agent, name, value)

        return Change((("put", TABLE, agent.id, canonical({"v": 1} | body)),), applied)
