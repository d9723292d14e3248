"""The supervisor's record of every agent: place in the spawn tree, status, turn counter.

A record is durable before anybody hears of it; what is in memory is a cache of rows the store accepted. What a sleeping
agent must be known by lies packed in the core's table; an `Agent` is made when somebody asks for one, is the same object
for as long as anybody holds it, and is held here while it has something of its present life to remember.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal
from weakref import WeakValueDictionary

from queenright.core import BirthBatch, canonical, decode
from queenright.core.host import AgentTable
from queenright.errors import Malformed, Unknown
from queenright.store import Change, Record, Store
from queenright.supervisor.births import Births
from queenright.wire.certificate import NO_PARENT

__all__ = ["TABLE", "Agent", "Agents", "Residents", "Status"]

TABLE = "agent"

Status = Literal["live", "frozen", "paused", "suspect", "quarantined", "stopping", "ended"]

_BORN = (
    "name", "behaviour", "package", "intent", "parent", "args", "born_ms", "birth", "parent_signature",
    "runtime_signature", "parent_incarnation", "own_cell",
)  # fmt: skip
_CHANGING = ("status", "turn", "generation", "ended_ms", "reason")
_AS_BORN: dict[str, Any] = {"status": "live", "turn": 0, "generation": 0, "ended_ms": 0, "reason": ""}
_CELL = "cell-"


class Agent:
    """One agent. `birth` is its certificate's canonical bytes, whose digest is `id`; its grant has the same id.

    `origin` is the root and position of the batch it was born in, None for a birth of its own. What is not in the table
    (`args`, `birth`, signatures, `reason`, …) is read from the store when it is first asked for.
    """

    __slots__ = (
        "__weakref__", "_agents", "_certificate", "_cold", "_doing", "_waiting_ask", "behaviour", "cell",
        "certificate_signature", "id", "incarnation", "intent", "name", "origin", "own_cell", "package", "parent", "status",
        "turn",
    )  # fmt: skip

    def __init__(self, agents: Agents, id: bytes, record: tuple[Any, ...]) -> None:
        self._agents = agents
        self.id = id
        self.name: str = record[0]
        self.behaviour: str = record[1]
        self.package: bytes = record[2]
        self.intent: bytes = record[3]
        self.parent: bytes = NO_PARENT if record[4] is None else record[4]
        self.own_cell: bool = record[5]
        self.status: Status = record[6]
        self.turn: int = record[7]
        self.incarnation: int = record[8]
        self.cell: str | None = f"{_CELL}{record[8]}" if record[9] else None
        self.origin: tuple[bytes, int] | None = record[10]
        self._cold: dict[str, Any] | None = None
        # of the present life
        self._certificate = b""
        self.certificate_signature = b""
        self._waiting_ask: bytes | None = None
        self._doing = ""

    @property
    def runnable(self) -> bool:
        """Whether messages may be handed to it now."""
        return self.status in ("live", "suspect", "stopping")

    @property
    def ended(self) -> bool:
        return self.status == "ended"

    # --- read from the store when wanted --------------------------------------------------------------------------

    @property
    def cold(self) -> dict[str, Any]:
        """Every durable field by name. Raises Malformed for a row of another version."""
        if self._cold is None:
            self._cold = self._agents.read(self.id, self.origin)
        return self._cold

    @property
    def args(self) -> bytes:
        return bytes(self.cold["args"])

    @property
    def birth(self) -> bytes:
        return bytes(self.cold["birth"])

    @property
    def born_ms(self) -> int:
        return int(self.cold["born_ms"])

    @property
    def parent_signature(self) -> bytes:
        """The parent's incarnation's: over the birth, or over the statement of the batch."""
        return bytes(self.cold["parent_signature"])

    @property
    def parent_incarnation(self) -> bytes:
        """Certificate of the parent's key that signed the birth, empty for the first agent."""
        return bytes(self.cold["parent_incarnation"])

    @property
    def runtime_signature(self) -> bytes:
        """The runtime's, over the same."""
        return bytes(self.cold["runtime_signature"])

    @property
    def generation(self) -> int:
        return int(self.cold["generation"])

    @property
    def ended_ms(self) -> int:
        return int(self.cold["ended_ms"])

    @property
    def reason(self) -> str:
        return str(self.cold["reason"])

    # --- of the present life: whoever has any is held -------------------------------------------------------------

    @property
    def certificate(self) -> bytes:
        """Of this incarnation's key; empty until it has claimed one."""
        return self._certificate

    @certificate.setter
    def certificate(self, certificate: bytes) -> None:
        self._certificate = certificate
        self._agents.hold(self)

    @property
    def waiting_ask(self) -> bytes | None:
        """The ask its turn is parked on."""
        return self._waiting_ask

    @waiting_ask.setter
    def waiting_ask(self, ask: bytes | None) -> None:
        self._waiting_ask = ask
        self._agents.hold(self)

    @property
    def doing(self) -> str:
        """What its turn is about; empty between turns."""
        return self._doing

    @doing.setter
    def doing(self, doing: str) -> None:
        self._doing = doing
        self._agents.hold(self)

    @property
    def awake(self) -> bool:
        """Whether something of its present life must be remembered."""
        return bool(self._certificate or self._doing or self._waiting_ask is not None)

    def enter(self, number: int) -> None:
        """Its next incarnation begins, in the cell of that start number."""
        self._agents.table.host(self.id, number)
        self.cell, self.incarnation = f"{_CELL}{number}", number
        self.certificate = self.certificate_signature = b""

    def leave(self) -> None:
        """It is in no cell any more; the incarnation's number stays, so that late frames are known."""
        self._agents.table.unhost(self.id)
        self.cell = None
        self.certificate = self.certificate_signature = b""


class Residents:
    """The agents of one cell, as a set of ids."""

    __slots__ = ("_number", "_table")

    def __init__(self, table: AgentTable, number: int) -> None:
        self._table = table
        self._number = number

    def __contains__(self, agent: bytes) -> bool:
        return self._table.in_cell(agent, self._number)

    def __len__(self) -> int:
        return self._table.cell_count(self._number)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.some(len(self)))

    def some(self, limit: int) -> list[bytes]:
        """At most that many of them."""
        return self._table.cell_members(self._number, limit)


class Agents:
    """All agents by id, with the spawn tree over them."""

    def __init__(self, store: Store, births: Births) -> None:
        self._store = store
        self._births = births
        self.table = AgentTable()
        self._known: WeakValueDictionary[bytes, Agent] = WeakValueDictionary()
        self._awake: dict[bytes, Agent] = {}

    def load(self, batches: Iterable[tuple[bytes, BirthBatch, bool]]) -> None:
        """Read every row and rebuild the tree, parents first. `batches`: parent, members, whether they have own cells."""
        singles: dict[bytes, list[tuple[bytes, dict[str, Any]]]] = {}
        broods: dict[bytes, list[tuple[BirthBatch, bool]]] = {}
        changed: list[tuple[bytes, dict[str, Any]]] = []
        for key, value in self._store.scan(TABLE):
            row = _row(key, value)
            if "birth" in row:
                singles.setdefault(row["parent"], []).append((key, row))
            else:
                changed.append((key, row))
        for parent, batch, own_cell in batches:
            broods.setdefault(parent, []).append((batch, own_cell))
        ready = [NO_PARENT]
        while ready:
            for parent in ready:
                for id, row in singles.pop(parent, []):
                    self._add_single(id, row)
                for batch, own_cell in broods.pop(parent, []):
                    self.table.add_batch(batch, own_cell)
            ready = [parent for parent in (*singles, *broods) if parent in self.table]
        if singles or broods:
            raise Malformed(
                f"the parents of {len(singles) + len(broods)} families are not in the store",
                hint="`queenright fsck`, or restore a backup",
            )
        for id, row in changed:
            self.table.set_status(id, row["status"])
            self.table.set_turn(id, row["turn"])
        for root in self._births.all_ended():
            self.table.end_sleepers(root)

    def ended_with(self, batch: BirthBatch) -> list[bytes]:
        """Who of a batch has ended, if its sleepers have."""
        if self._births.ended(batch.root) is None:
            return []
        return [
            id for id in batch.ids() if (record := self.table.record(id)) is not None and record[6] == "ended"
        ]

    def _add_single(self, id: bytes, row: dict[str, Any]) -> None:
        parent = None if row["parent"] == NO_PARENT else row["parent"]
        self.table.add(
            id, parent=parent, name=row["name"], intent=row["intent"], package=row["package"],
            behaviour=row["behaviour"], own_cell=row["own_cell"], status=row["status"], turn=row["turn"],
        )  # fmt: skip

    def read(self, agent: bytes, origin: tuple[bytes, int] | None) -> dict[str, Any]:
        """Every durable field of an agent, from the store."""
        value = self._store.get(TABLE, agent)
        if origin is None:
            if value is None:
                raise Unknown(f"agent-{agent.hex()[:12]} is not in the store")
            return _row(agent, value)
        row = _AS_BORN if value is None else _row(agent, value)
        end = self._births.ended(origin[0]) if row["turn"] == 0 and row["status"] == "live" else None
        if end is not None:
            row = row | {"status": "ended", "ended_ms": end["ended_ms"], "reason": end["reason"]}
        return self._births.member(*origin) | row

    def hold(self, agent: Agent) -> None:
        """Keep the object while it remembers something of its agent's present life."""
        if agent.awake:
            self._awake[agent.id] = agent
        else:
            self._awake.pop(agent.id, None)

    def awake(self) -> list[Agent]:
        """Those with a turn in progress, a person to wait for, or a certified key."""
        return list(self._awake.values())

    def __len__(self) -> int:
        return len(self.table)

    def get(self, agent: bytes) -> Agent:
        """The record, ended or not. Raises Unknown."""
        found = self.find(agent)
        if found is None:
            raise Unknown(
                f"no agent `agent-{agent.hex()[:12]}` is known here",
                hint="list them with `queenright agent list`",
            )
        return found

    def find(self, agent: bytes) -> Agent | None:
        found = self._known.get(agent)
        if found is None:
            record = self.table.record(agent) if len(agent) == len(NO_PARENT) else None
            if record is None:
                return None
            found = self._known[agent] = Agent(self, agent, record)
        return found

    def _all(self, ids: Iterable[bytes]) -> list[Agent]:
        return [self.get(agent) for agent in ids]

    def name(self, agent: bytes) -> str | None:
        """Its readable name, without making anything of it."""
        record = self.table.record(agent)
        return None if record is None else record[0]

    def of_intent(self, intent: bytes) -> list[Agent]:
        """Those that have not ended, children before parents."""
        return self._all(self.table.of_intent(intent, True))

    def roots(self, intent: bytes) -> list[Agent]:
        """The intent's agents that nobody spawned."""
        return self._all(self.table.roots(intent))

    def subtree(self, agent: bytes) -> list[Agent]:
        """Of the agent and everything below it those that have not ended, children before parents. Raises Unknown."""
        self.get(agent)
        return self._all(self.table.subtree(agent, True))

    def chain(self, agent: bytes) -> list[Agent]:
        """From the swarm's first agent down to this one."""
        return self._all(self.table.chain(agent))

    # --- writing --------------------------------------------------------------------------------------------------

    def add(self, agent: bytes, **born: Any) -> Change:
        """A birth of its own; `born` are the fields it was born with. Refused by the store if the id exists."""
        row = born | _AS_BORN

        def applied() -> None:
            self._add_single(agent, row)

        return Change((("insert", TABLE, agent, canonical({"v": 1} | row)),), applied)

    def add_batch(self, batch: BirthBatch, own_cell: bool, records: tuple[Record, ...]) -> Change:
        """The births of a whole batch, which `records` keep. Refused by the store if it is there."""
        return Change(records, lambda: self.table.add_batch(batch, own_cell))

    def end_sleepers(self, root: bytes, now_ms: int, why: str) -> tuple[Change, list[bytes]]:
        """The end of every member of a batch that never had a turn, in one row; who that is stands in the list once it is
        durable."""
        ended: list[bytes] = []

        def applied() -> None:
            ended.extend(self.table.end_sleepers(root))
            for agent in set(self._known).intersection(ended):
                known = self._known.get(agent)
                if known is not None:
                    known.status, known._cold = "ended", None

        return Change((self._births.end(root, now_ms, why),), applied), ended

    def save(self, agent: Agent, **fields: Any) -> Change:
        """Set durable fields; memory follows once the store accepted."""
        if not fields.keys() <= set(_CHANGING):
            raise ValueError(f"what an agent was born with does not change: {sorted(fields)}")
        after = agent.cold | fields
        names = _CHANGING if agent.origin is not None else (*_BORN, *_CHANGING)
        body = {"v": 1 if agent.origin is None else 2} | {name: after[name] for name in names}

        def applied() -> None:
            agent.cold.update(fields)
            if "status" in fields:
                agent.status = fields["status"]
                self.table.set_status(agent.id, agent.status)
            if "turn" in fields:
                agent.turn = fields["turn"]
                self.table.set_turn(agent.id, agent.turn)

        return Change((("put", TABLE, agent.id, canonical(body)),), applied)


def _row(agent: bytes, data: bytes) -> dict[str, Any]:
    """A row's fields: all of them for a birth of its own, what has changed since for a member of a batch."""
    body = decode(data)
    shapes = {1: {*_BORN, *_CHANGING}, 2: set(_CHANGING)}
    if not isinstance(body, dict) or body.keys() - {"v"} != shapes.get(body.pop("v", 0)):
        raise Malformed(f"agent row {agent.hex()[:12]} is not of a version this one reads")
    return body
