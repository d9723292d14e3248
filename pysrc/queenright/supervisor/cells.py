"""Every cell: placement, starting, the watchdog, putting away, and what happens when one dies (design sections 4 and 6)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING

from queenright.core import decode
from queenright.errors import Malformed, QueenrightError
from queenright.store import Change
from queenright.supervisor.agents import Agent, Residents
from queenright.supervisor.cell_frames import CellFrames
from queenright.supervisor.cell_process import CellProcess
from queenright.supervisor.cell_start import CellStarter
from queenright.supervisor.own_cells import OwnCells
from queenright.supervisor.stops import Point
from queenright.supervisor.turns import STATE
from queenright.wire.certificate import NO_PARENT
from queenright.wire.link import (
    Evict,
    Host,
    OpenKey,
    Shutdown,
    Talk,
)

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Cells"]

SHARED_AGENTS = 512  # agents of one shared cell before the next is started: one interpreter thread's worth
SHARED_BYTES = (
    256 * 1024 * 1024
)  # of arguments and states that went into one shared cell, before the next is started
SHARED_CELLS = os.cpu_count() or 1  # shared cells of an intent and package: one uses one core
KIN = 1_000  # children a cell is told of when it gets an agent; the others it learns of when they write
IDLE_MS = 10_000  # an idle own cell stays this long
STUCK_TURNS = 3  # a turn that holds the interpreter this many times its limit ends its cell
LEAVE_MS = 1_000  # what a cell that is put away has to send what it still holds
WATCH_MS = 500
# A shared cell that has not let an evicted agent go by now is ended: with the watch's interval well within the 2 s of a stop.
YIELD_MS = 1_000
DEATHS_HELD = 3  # within a minute: the cell is held and its agents run one at a time
DEATHS_WINDOW_MS = 60_000
RESTART_MS = 200  # before a dead cell's agents get the next one
NUMBER = b"cell_number"
_LOG_READ = 16 * 1024


class Cells:
    """All cells, by id."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._cells: dict[str, CellProcess] = {}
        self._homes: dict[str, asyncio.Task[None]] = {}  # being started, by placement key
        self._waiting: dict[str, set[bytes]] = {}
        self._following: set[asyncio.Task[None]] = set()
        self._deaths: dict[bytes, deque[int]] = {}  # by intent, boot ms
        self._open_keys: set[tuple[str, bytes, int]] = set()
        self.starter = CellStarter(rt)
        self.own = OwnCells(rt, self, rt.own_cells)
        self._closing = False
        self._frames = CellFrames(rt)

    def __len__(self) -> int:
        return len(self._cells)

    def of(self, agent: Agent) -> CellProcess | None:
        """The cell that has the agent now."""
        return self._cells.get(agent.cell) if agent.cell is not None else None

    def of_intent(self, intent: bytes) -> list[CellProcess]:
        return [cell for cell in self._cells.values() if cell.intent == intent]

    # --- placing ------------------------------------------------------------------------------------------------

    def home(self, agent: Agent) -> CellProcess | None:
        """A cell that has, or can take, the agent at once; None while it waits for one. Then it is pumped again."""
        cell = self.of(agent)
        if cell is not None and cell.reason:
            return None  # it is leaving, and its end pumps whoever is in it
        if cell is not None and not cell.shared and self.own.must_yield(cell):
            self.put_away(cell, "others wait for a cell")
            return None
        if cell is not None:
            cell.idle_since = None
            return cell
        if self._closing or self._rt.locked:
            return None
        if agent.own_cell or agent.status == "suspect":
            self.own.want(agent)
            return None
        shared = self._shared(agent)
        if shared is not None:
            self.host(shared, agent)
            return shared
        key = f"{agent.intent.hex()}/{agent.package.hex()}"
        self._waiting.setdefault(key, set()).add(agent.id)
        if key not in self._homes:
            self._homes[key] = asyncio.create_task(self._open(key, agent), name=f"start cell for {key[:24]}")
        return None

    def _shared(self, agent: Agent) -> CellProcess | None:
        """The shared cell the agent belongs in: its parent's while there is room, else the emptiest that has some. Once there
        are as many as cores the emptiest takes it, full or not: more processes would not run more of them."""
        fit = [
            cell
            for cell in self._cells.values()
            if cell.shared
            and cell.begun
            and cell.state != "ended"
            and not cell.reason
            and cell.intent == agent.intent
            and cell.packages == (agent.package,)
            and agent.id not in cell.left  # its number is the cell's, and no two lives have one number
        ]
        if not fit:
            return None
        parent = self._rt.agents.find(agent.parent)
        home = self.of(parent) if parent is not None else None
        if home in fit and home is not None and home.has_room(SHARED_AGENTS, SHARED_BYTES):
            return home
        emptiest = min(fit, key=lambda cell: len(cell.agents))
        if emptiest.has_room(SHARED_AGENTS, SHARED_BYTES) or len(fit) >= SHARED_CELLS:
            return emptiest
        return None

    async def _open(self, key: str, agent: Agent) -> None:
        try:
            cell = await self.start(agent, shared=True)
        except QueenrightError as error:
            self._rt.log.error("cell.refused", agent=agent.name, error=error.message, hint=error.hint)
            self._rt.swarms.cell_refused(agent, error)
            return
        finally:
            del self._homes[key]
            waiting = self._waiting.pop(key, set())
        for member_id in waiting:
            member = self._rt.agents.find(member_id)
            if (
                member is not None
                and self._rt.may_run(member)
                and member.cell is None
                and cell.state != "ended"
            ):
                self.host(cell, member)
        if not cell.agents:
            cell.kill("whoever it was started for may not run any more", wanted=True)
        for member_id in waiting:
            self._rt.turns.pump(member_id)

    async def start(self, agent: Agent, shared: bool) -> CellProcess:
        """A cell for the agent, which is not in it yet. Raises SandboxRefused, Unknown, Conflict for an altered package."""
        rt = self._rt
        package = rt.packages.get(agent.package)
        empty = await self.starter.process(package, shared)
        number = rt.store.counter("meta", NUMBER) + 1
        cell = CellProcess(
            id=f"cell-{number}",
            number=number,
            intent=agent.intent,
            packages=(agent.package,),
            shared=shared,
            nonce=rt.rand(32),
            sandbox=empty.sandbox,
            link=empty.link,
            page=empty.page,
            on_frame=self._frames.on_frame,
            on_end=self._on_end,
            started_ms=rt.clock.boot_ms(),
            stuck_ms=STUCK_TURNS * 1000 * package.limits.turn_s,
            agents=Residents(rt.agents.table, number),
        )
        try:
            # It imports its package while this is written. No agent is in it, and nothing it says is heard, before it is.
            self.starter.begin(cell, empty, package)
            rt.commit(Change((("count", "meta", NUMBER, 1, 2**62),)), rt.book.cell_started(cell))
            await cell.attach()
        except BaseException:
            empty.discard()
            raise
        # Not before it is attached: whoever is put into a cell that cannot be written to would wait there for ever.
        self._cells[cell.id] = cell
        following = asyncio.create_task(self._follow_output(cell, empty.output), name=f"output of {cell.id}")
        self._following.add(following)
        following.add_done_callback(self._following.discard)
        self.tell_talk(cell)
        cell.begun = True
        return cell

    def tell_talk(self, cell: CellProcess) -> None:
        """Who may talk to whom inside the cell: at its start and when its intent is amended."""
        classes = [
            f"{package.name}.{name}"
            for package in map(self._rt.packages.get, cell.packages)
            for name in sorted(package.classes)
        ]
        cell.send(Talk(self._rt.reach.pairs(cell.intent, classes)))

    async def _follow_output(self, cell: CellProcess, descriptor: int) -> None:
        """A cell's stdout and stderr go to the bounded log of its agents: untrusted text."""
        rt = self._rt

        class Output(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                text = data[:_LOG_READ].decode("utf-8", "replace")
                for agent in cell.agents.some(1):
                    for line in text.splitlines():
                        rt.logs.line(agent, "stderr", line)

        pipe = os.fdopen(descriptor, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(Output, pipe)

    def host(self, cell: CellProcess, agent: Agent) -> None:
        agent.enter(cell.number)
        self._rt.post.forget(agent.id)
        cell.idle_since = None
        state, version = None, 0
        self._rt.turns.keep_resting()
        stored = self._rt.store.get(STATE, agent.id)
        if stored is not None:
            body = decode(stored)
            state, version = body["state"], body["version"]
        kin = [] if agent.parent == NO_PARENT else [agent.parent]
        kin += self._rt.agents.table.children(agent.id, KIN)
        args = agent.args
        cell.given_bytes += len(args) + len(state or b"")
        cell.send(
            Host(
                agent=agent.id,
                name=agent.name,
                behaviour=agent.behaviour,
                args=args,
                parent=agent.parent,
                intent=agent.intent,
                package=agent.package,
                state=state,
                state_version=version,
                kin=kin,
            )
        )

    # --- for mail -----------------------------------------------------------------------------------------------

    def mine(self, cell: CellProcess, agent_id: bytes) -> Agent | None:
        """The agent if this cell has it now; None if it was evicted meanwhile; Malformed if it never had it."""
        if agent_id in cell.left:
            return None
        agent = self._rt.agents.find(agent_id)
        if agent is None or agent.incarnation != cell.number:
            raise Malformed("a frame for an agent that this cell does not host")
        return agent if agent_id in cell.agents else None

    def give_open_key(self, cell: CellProcess, agent: Agent, generation: int) -> None:
        """The private half of a sealing key, once a cell and generation, only to the cell the agent lives in."""
        key = (cell.id, agent.id, generation)
        if key in self._open_keys:
            return
        self._open_keys.add(key)
        cell.send(OpenKey(agent.id, generation, self._rt.identity.sealing(agent.id, generation).private_key))

    # --- ends ---------------------------------------------------------------------------------------------------

    def evict(self, agent: Agent) -> list[Point]:
        """Take the agent out of its cell now; its open turn goes back to the store's word. What has to obey, if anything."""
        return self.evict_all([agent], keep_shared=True)

    def evict_all(self, agents: list[Agent], *, keep_shared: bool = False) -> list[Point]:
        """The same for many. A cell that has nobody left is ended (a shared one unless it is kept for others to come), which is
        the kernel's word instead of its own; that comes first, so that nothing waits for what is noted of a thousand agents.
        """
        rt, now, points = self._rt, self._rt.clock.boot_ms(), list[Point]()
        inside: dict[str, list[Agent]] = {}
        for agent in agents:
            if agent.cell is not None and agent.cell in self._cells:
                inside.setdefault(agent.cell, []).append(agent)
        emptied = {
            id
            for id, members in inside.items()
            if len(members) == len(self._cells[id].agents) and not (keep_shared and self._cells[id].shared)
        }
        with rt.launcher.together():
            for id in emptied:
                points.append(self._end(self._cells[id], "all its agents left"))
        for agent in agents:
            cell = self.of(agent)
            self.own.forget(agent)
            agent.leave()
            rt.post.forget(agent.id)
            rt.turns.forget_delivery(agent, died=False)
            if cell is None:
                points += self._starting(agent.name, self.own.opening(agent.id))
                continue
            cell.left.add(agent.id)
            if cell.id not in emptied:
                cell.send(Evict(agent.id))
                points.append(cell.evicting(agent.id, agent.name, now))
                cell.idle_since = None if cell.agents else now
        return points

    @staticmethod
    def _end(cell: CellProcess, why: str) -> Point:
        """End it now: nothing of it is waited for."""
        cell.kill(why, wanted=True)
        return cell.ending(why)

    @staticmethod
    def _starting(name: str, home: asyncio.Task[None] | None) -> list[Point]:
        """A cell that is being started: it is put away by itself if nobody it is for may run by then."""
        if home is None:
            return []

        async def gone() -> int:
            await asyncio.wait([home])
            return 0

        return [Point("cell", f"a cell being started for {name}", gone, lambda: None)]

    def put_away(self, cell: CellProcess, why: str) -> None:
        """Let it go: it sends what volatile turns made of its agents' states, and ends, or is ended after LEAVE_MS."""
        cell.leave(why)
        cell.send(Shutdown())
        self._rt.alarms.after(LEAVE_MS, lambda: cell.kill(why, wanted=True))

    def kill_intent(self, intent: bytes, why: str) -> list[Point]:
        """End every cell of a swarm; those that are being started end by themselves, as nobody of it may run."""
        points = [self._end(cell, why) for cell in self.of_intent(intent)]
        for key in [key for key in self._homes if key.startswith(f"{intent.hex()}/")]:
            points += self._starting(key[:24], self._homes[key])
        return points

    def _on_end(self, cell: CellProcess, how: str, wanted: bool) -> None:
        del self._cells[cell.id]
        self.own.ended(cell)
        self._rt.volatile.cell_ended(cell)
        self._open_keys = {key for key in self._open_keys if key[0] != cell.id}
        in_progress = self._rt.page_reader(cell)
        members = [self._rt.agents.get(agent) for agent in cell.agents]
        changes = [self._rt.book.cell_ended(cell, how, wanted, len(members))]
        if cell.violation:
            changes.append(self._rt.book.violation(cell, cell.violation))
        for agent in members:
            if agent.certificate:
                changes.append(self._rt.book.incarnation_ended(agent, cell))
        with contextlib.suppress(QueenrightError):
            self._rt.commit(*changes)
        for agent in members:
            agent.leave()
            agent.doing = ""
            self._rt.turns.forget_delivery(agent, died=not wanted and agent.id == in_progress)
        if self._closing or wanted:
            self._rt.soon(lambda: self._pump_all(members))
            return
        self._rt.log.warning("cell.died", cell=cell.id, how=how, agents=len(members))
        self._rt.incident("cell.died", cell.id, how)
        self._suspect(cell, members, in_progress)
        for agent in members:
            self._rt.logs.line(agent.id, "runtime", f"its cell {cell.id} ended: {how}")
        self._rt.alarms.after(RESTART_MS, lambda: self._pump_all(members))

    def _pump_all(self, members: list[Agent]) -> None:
        for agent in members:
            self._rt.turns.pump(agent.id)

    def _suspect(self, cell: CellProcess, members: list[Agent], in_progress: bytes | None) -> None:
        """Three deaths in a minute: its agents run alone, each in a cell of its own, until the culprit shows itself."""
        if not cell.shared:
            return
        now = self._rt.clock.boot_ms()
        deaths = self._deaths.setdefault(cell.intent, deque(maxlen=DEATHS_HELD))
        deaths.append(now)
        if len(deaths) < DEATHS_HELD or now - deaths[0] > DEATHS_WINDOW_MS:
            return
        suspects = [a for a in members if a.id == in_progress] or [
            a for a in members if a.id in self._rt.turns.open
        ]
        for agent in suspects:
            if agent.status == "live":
                self._rt.commit(
                    self._rt.agents.save(
                        agent, status="suspect", reason=f"{cell.id} died {DEATHS_HELD} times"
                    )
                )
                self._rt.incident(
                    "agent.suspect", agent.name, f"{cell.id} died {DEATHS_HELD} times in a minute"
                )

    # --- the watchdog -------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Called every WATCH_MS: stuck turns end their cell, idle own cells are put away."""
        now = self._rt.clock.boot_ms()
        for cell in list(self._cells.values()):
            stuck = self._rt.page_stuck(cell, now, cell.stuck_ms)
            if stuck is not None:
                self._rt.incident(
                    "cell.stuck", cell.id, f"{stuck} held the interpreter for {cell.stuck_ms // 1000} s"
                )
                cell.kill(f"{stuck} held the interpreter for over {cell.stuck_ms // 1000} s")
                continue
            if overdue := cell.overdue(now, YIELD_MS):
                self._hold(cell, overdue)
                continue
            if cell.shared and cell.agents:
                continue
            if self.busy(cell) or cell.state == "starting":
                cell.idle_since = None
            elif cell.idle_since is None:
                cell.idle_since = now
            elif now - cell.idle_since >= IDLE_MS:
                self.put_away(cell, "idle")
        self.starter.pool.fill()
        self._rt.alarms.after(WATCH_MS, self.watch)

    def busy(self, cell: CellProcess) -> bool:
        """Whether one of its agents is in a turn that needs the process."""
        return any(
            (turn := self._rt.turns.open.get(agent)) is not None and turn.delivered and not turn.parked
            for agent in cell.agents
        )

    def _hold(self, cell: CellProcess, overdue: list[bytes]) -> None:
        """An agent that was taken out of a shared cell holds its interpreter: only the end of the cell ends that. Its
        neighbours' turns begin anew in the next one, from what they had recorded."""
        if cell.reason:
            return
        names = ", ".join(self._rt.agents.name(agent) or "" for agent in overdue[:3])
        text = f"{names} did not yield within {YIELD_MS // 1000} s of being taken out"
        self._rt.incident(
            "cell.held", cell.id, f"{text}: its cell was ended, {len(cell.agents)} others start over"
        )
        cell.kill(text, wanted=True)

    def end_all(self, why: str) -> list[Point]:
        """End every cell, for good."""
        self._closing = True
        self.own.stop()
        for task in list(self._homes.values()):
            task.cancel()
        cells = list(self._cells.values())
        for cell in cells:
            cell.send(Shutdown())
        return [self._end(cell, why) for cell in cells]

    async def close(self) -> None:
        """End every cell and wait for the kernel's word."""
        points = self.end_all("the supervisor goes down")
        await self.own.close()
        await self.starter.close()
        await asyncio.gather(*(point.gone() for point in points), return_exceptions=True)
