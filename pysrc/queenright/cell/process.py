"""One cell: the agents in it, what the supervisor tells it, and what it tells the supervisor. Knows no descriptors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from queenright.agent.agent import Agent
from queenright.agent.message import Message, find_type, message_from
from queenright.agent.ref import AgentRef
from queenright.cell.entry import entry
from queenright.cell.inbox import Inbox
from queenright.cell.loader import Loaded, load
from queenright.cell.mail import RUNTIME, Mail
from queenright.cell.post import Post
from queenright.cell.record import Record
from queenright.cell.report import describe
from queenright.cell.resident import Resident
from queenright.cell.turn import Turn
from queenright.clock import Clock
from queenright.core import decode
from queenright.core.cell import Scheduler
from queenright.errors import MailboxFull, Malformed, QueenrightError, Unknown
from queenright.wire.certificate import NO_PARENT
from queenright.wire.link import (
    Batch,
    Certified,
    Credit,
    Deliver,
    Evict,
    Evicted,
    Fault,
    Frame,
    Host,
    Log,
    OpenKey,
    Peer,
    Ready,
    Rest,
    Result,
    SealKey,
    Shutdown,
    Start,
    Stop,
    Talk,
    Up,
)

__all__ = ["PackageFault", "Process"]

MAX_LOG = 8 * 1024
# Characters that one step of a turn may log or print: a loop around `print` must not fill the link.
MAX_LOG_STEP = 64 * 1024
REST_MS = 5_000  # an agent with nothing to do for this long is put to sleep, well before an idle own cell is put away (10 s)
REST_EVERY_MS = 1_000
REST_AT_ONCE = (
    32  # agents looked at between two looks at the link: a message that comes meanwhile waits for so many
)


class PackageFault(Exception):
    """A package does not import, so this cell is of no use. The supervisor has been told."""


class Process:
    """`send` queues a frame for the supervisor; `receive` takes one of its. Runs nothing by itself: `run` does."""

    def __init__(
        self,
        send: Callable[[Frame], None],
        clock: Clock,
        rand: Callable[[int], bytes],
        load_packages: Callable[[list[Any]], dict[str, Loaded]] = load,
    ) -> None:
        self._send = send
        self.clock = clock
        self.rand = rand
        self._load = load_packages
        self.scheduler = Scheduler(self._wake, self._failed, AgentRef)
        self.shutdown = False
        self._start: Start | None = None
        self._post: Post | None = None
        self._inbox = Inbox(self.scheduler, self._put_volatile, send)
        self._behaviours: dict[str, Loaded] = {}
        self._numbers: dict[str, int] = {}  # behaviour -> the scheduler's number for it
        self._names: list[str] = []
        self._intents: list[bytes] = []
        self._left: list[bytes] = []
        self._rest_at = 0
        self._log_step = 0
        self._log_used = 0
        self._doers: dict[type[Frame], Callable[[Any], None]] = {
            Start: self._on_start,
            Talk: self._on_talk,
            Host: self._on_host,
            Deliver: self._on_deliver,
            Result: self._on_result,
            Certified: lambda frame: self.post.certified(frame),
            SealKey: lambda frame: self.post.seal_key(frame),
            OpenKey: lambda frame: self.post.open_key(frame),
            Peer: self._on_peer,
            Batch: self._on_batch,
            Credit: self._on_credit,
            Stop: self._on_stop,
            Evict: self._on_evict,
            Shutdown: self._on_shutdown,
        }

    # --- for the loop ------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Tell the supervisor that this cell waits for its start."""
        self._send(Up())

    def receive(self, frame: Frame) -> None:
        """Take a frame of the supervisor. Raises Malformed for one it never sends, PackageFault after a failed Start."""
        doer = self._doers.get(type(frame))
        if doer is None:
            raise Malformed(f"`{frame.t}` is a frame that cells send")
        if (self._start is None) != isinstance(frame, Start):
            raise Malformed("the first frame, and only the first, is `start`")
        doer(frame)

    def run(self, most: int = 1000) -> int:
        """Let agents work: at most that many steps. The number done."""
        steps = self.scheduler.run(most, self.clock.boot_ms())
        for agent in self._left:
            self._forget(agent)
        self._left.clear()
        self._inbox.feed()
        if self._post is not None:
            self._post.leave()
        return steps

    def busy(self) -> bool:
        return self.scheduler.has_ready()

    def rest_in(self) -> int | None:
        """Milliseconds until `rest` has something to look at; None while everybody sleeps."""
        if self.scheduler.awake() == 0:
            return None
        return max(0, self._rest_at - self.clock.boot_ms())

    def rest(self) -> int:
        """Put agents to sleep that had nothing to do for REST_MS; how many. Looks at a few of those awake."""
        now = self.clock.boot_ms()
        rested = sum(map(self._put_to_rest, self.scheduler.resting(max(0, now - REST_MS), REST_AT_ONCE)))
        if rested < REST_AT_ONCE:  # otherwise there are more: go on after a look at the link
            self._rest_at = now + REST_EVERY_MS
        return rested

    def rest_all(self) -> None:
        """Before leaving: what volatile turns made of states goes to the supervisor."""
        for agent in self.scheduler.resting(self.clock.boot_ms() + 1, self.scheduler.awake()):
            self._put_to_rest(agent)

    # --- frames ------------------------------------------------------------------------------------------------------

    @property
    def post(self) -> Post:
        if self._post is None:
            raise Malformed("the cell has not been started")
        return self._post

    def _on_start(self, frame: Start) -> None:
        self._start = frame
        self._post = Post(frame, self._send, self._needs_no_seal, self.scheduler, self.rand)
        try:
            self._behaviours = self._load(frame.packages)
        except BaseException as error:  # a package may raise anything while it is imported
            self._send(Fault(describe(error)))
            raise PackageFault(describe(error)) from None
        for name, loaded in sorted(self._behaviours.items()):
            handlers = [
                (kind, entry(getattr(loaded.cls, method))) for kind, method in loaded.cls._handlers.items()
            ]
            self._numbers[name] = self.scheduler.behaviour(handlers)
            self._names.append(name)
        classes = [loaded.describe(name) for name, loaded in sorted(self._behaviours.items())]
        self._send(Ready(frame.cell, ".".join(map(str, sys.version_info[:3])), classes))

    def _on_host(self, frame: Host) -> None:
        loaded = self._behaviours.get(frame.behaviour)
        if loaded is None or self._start is None:
            raise Malformed(f"behaviour `{frame.behaviour[:64]}` is not in this cell's packages")
        if loaded.package != frame.package:
            raise Malformed(f"behaviour `{frame.behaviour[:64]}` is of another package here")
        if not isinstance(decode(frame.args), dict):
            raise Malformed("an agent's arguments are a map")
        if frame.intent not in self._intents:
            self._intents.append(frame.intent)
        record = Record.of_host(frame, self._numbers[frame.behaviour], self._intents.index(frame.intent))
        self.scheduler.add(
            frame.agent,
            record.behaviour,
            record.encode(),
            parent=frame.parent,
            children=[other for other in frame.kin if other != frame.parent],
        )

    def _on_talk(self, frame: Talk) -> None:
        try:
            pairs = [(self._numbers[sender], self._numbers[receiver]) for sender, receiver in frame.pairs]
        except (KeyError, TypeError, ValueError):
            raise Malformed("talk is of pairs of this cell's behaviours") from None
        self.scheduler.talk(pairs)

    # --- awake and asleep ----------------------------------------------------------------------------------------------

    def _wake(self, agent: bytes) -> Resident:
        """For the scheduler, before the agent's next step."""
        record = Record.decode(self.scheduler.record(agent))
        loaded = self._behaviours[self._names[record.behaviour]]
        parent = None
        if record.parent != NO_PARENT:
            parent = AgentRef(record.parent, record.name.rpartition("/")[0])
        return Resident(
            process=self,
            cls=loaded.cls,
            me=AgentRef(agent, record.name),
            parent=parent,
            args=decode(record.args),
            intent=self._intents[record.intent],
            package=loaded.package,
            state_bytes=record.state,
            state_version=record.state_version,
        )

    def _failed(self, agent: bytes, turn: int, error: BaseException) -> None:
        """For the scheduler: a handler raised, or its object could not be made."""
        resident = self._awake(agent)
        try:
            text = describe(error)
        except BaseException:  # its own text hung and was interrupted
            text = type(error).__name__
        if resident is not None:
            resident.forget()
            if turn and resident.turn is not None:
                resident.turn.fail(text)
        self.log(agent, "error", text)

    def _put_to_rest(self, agent: bytes) -> bool:
        resident = self.scheduler.resident(agent)
        if resident is None or self.post.waiting(agent):
            return False
        try:
            state = resident.changed_state()
        except Malformed as error:  # a volatile turn left something that is no state: as if it had raised
            self.log(agent, "error", f"the state in memory is dropped: {error.message}")
            state = None
        if state is not None:
            resident.accepted(state)
            self._send(Rest(agent, state, resident.state_version))
        self.scheduler.sleep(agent, Record.decode(self.scheduler.record(agent)).after(resident).encode())
        self.post.rest(agent)
        return True

    def _awake(self, agent: bytes) -> Resident | None:
        """The agent if it lives here and does not sleep."""
        resident: Resident | None = self.scheduler.resident(agent) if agent in self.scheduler else None
        return resident

    def _resident(self, agent: bytes) -> Resident:
        """The agent, awake. Raises Malformed if it does not live here."""
        if agent not in self.scheduler:
            raise Malformed(f"agent {agent.hex()[:12]} does not live in this cell")
        resident: Resident = self.scheduler.awaken(agent)
        return resident

    # --- mail and turns ------------------------------------------------------------------------------------------------

    def _on_deliver(self, frame: Deliver) -> None:
        resident = self._resident(frame.agent)
        mail = Mail.from_map(frame.mail)
        if frame.turn == 0:
            self._deliver_volatile(resident, mail)
            return
        if resident.turn is not None and not resident.turn.over:
            raise Malformed(f"turn {resident.turn.number} of {resident.me} is still open")
        turn = Turn(self, resident, frame.turn, frame.attempt, mail, frame.steps)
        resident.turn = turn
        self._hand(resident, turn, mail.sender)

    def _hand(self, resident: Resident, turn: Turn, sender: bytes) -> None:
        """To the front of the agent's mailbox: the supervisor hands out one durable turn at a time."""
        self.scheduler.deliver(resident.me.id, turn, 0, sender=sender, reserved=True, turn=turn.number)

    def _deliver_volatile(self, resident: Resident, mail: Mail) -> None:
        try:
            body = mail.body
            if mail.sealed is not None:
                body = self.open_seal(resident, mail.sender, mail.type, mail.sealed)
            cls = find_type(mail.type)
            if cls is None or not cls.__volatile__:
                raise Malformed(f"`{mail.type[:64]}` is no volatile message of this package")
            message = message_from(cls, body or b"")
            size = message.__size__
            self.scheduler.deliver(resident.me.id, message, size, sender=mail.sender, reserved=False)
        except (QueenrightError, MailboxFull) as error:
            self.log(resident.me.id, "runtime", f"volatile message dropped: {error}")

    def _on_peer(self, frame: Peer) -> None:
        self.post.peer(frame)

    def _on_credit(self, frame: Credit) -> None:
        self.post.credit(frame)
        if frame.dropped and frame.agent in self.scheduler:
            self.log(frame.agent, "runtime", f"{frame.dropped} volatile messages reached nobody")

    def _on_batch(self, frame: Batch) -> None:
        """Raises what refused the batch as a whole: the supervisor checked it, so then one of us is broken."""
        self._inbox.arrive(self.post.batch(frame))

    def _put_volatile(self, receiver: bytes, sender: bytes, kind: str, message: Any) -> bool:
        """Into the mailbox; whether the message is dealt with, which one that nobody can have is too."""
        if receiver not in self.scheduler:
            return True
        if isinstance(message, QueenrightError):
            who = sender.hex()[:12]
            self.log(receiver, "refused", f"volatile `{kind[:64]}` from agent-{who}: {message.message}")
            return True
        try:
            self.scheduler.deliver(receiver, message, message.__size__, sender=sender, reserved=False)
        except MailboxFull:
            return False
        return True

    def _on_result(self, frame: Result) -> None:
        resident = self._resident(frame.agent)
        turn = resident.turn
        if turn is None or turn.over or turn.number != frame.turn:
            return  # the turn was abandoned while the answer was under way
        if turn.result(frame) and self.scheduler.is_waiting(frame.agent):
            self.scheduler.resume(frame.agent)

    def _on_stop(self, frame: Stop) -> None:
        resident = self._resident(frame.agent)
        if resident.turn is not None and not resident.turn.over:
            resident.turn.over = True
            self.scheduler.abandon(frame.agent)
            resident.forget()
        turn = Turn(self, resident, frame.turn, 1, None, [])
        resident.turn = turn
        self._hand(resident, turn, RUNTIME)

    def _on_evict(self, frame: Evict) -> None:
        if frame.agent in self.scheduler:  # it may have left by itself while this was under way
            self._forget(frame.agent)
        self._send(Evicted(frame.agent))

    def _on_shutdown(self, frame: Shutdown) -> None:
        self.shutdown = True

    def left(self, agent: bytes) -> None:
        """Its last turn has ended: forget it after this run."""
        self._left.append(agent)

    def _forget(self, agent: bytes) -> None:
        if agent not in self.scheduler:
            return
        resident = self.scheduler.resident(agent)
        if resident is not None and resident.turn is not None:
            resident.turn.over = True
        self.post.remove(agent)
        self._inbox.forget(agent)
        try:
            self.scheduler.remove(agent)
        except BaseException as error:  # closing its coroutine runs the behaviour's `finally`
            self.log(agent, "error", describe(error))

    def forget_object(self, agent: bytes) -> None:
        """Throw a behaviour's object away, so that the next turn starts from the state's bytes."""
        resident = self._awake(agent)
        if resident is not None:
            resident.forget()

    def _needs_no_seal(self, receiver: bytes) -> bool:
        """The runtime is the other end of the link; everybody else outside of this cell is across the supervisor."""
        return receiver == RUNTIME or receiver in self.scheduler

    # --- for turns ---------------------------------------------------------------------------------------------------

    def send_volatile(self, resident: Resident, to: bytes, message: Message) -> None:
        """At once, as an object, if the receiver lives here and is known to this agent; otherwise by the supervisor, in the
        agent's next batch. Raises MailboxFull, with the message.
        """
        if self.scheduler.send(to, message, message.__size__):
            return
        self.post.volatile(resident.me.id, to, message)

    def open_seal(self, resident: Resident, sender: bytes, kind: str, sealed: dict[str, Any]) -> bytes:
        """The body of a sealed message. What does not verify is reported, and raised to whoever waits for it."""
        try:
            return self.post.open(resident.me.id, sender, kind, sealed)
        except QueenrightError as error:
            who = sender.hex()[:12]
            self.log(resident.me.id, "refused", f"sealed `{kind[:64]}` from agent-{who}: {error.message}")
            raise

    def behaviour_name(self, behaviour: type[Agent] | str) -> str:
        """ "package.Class" of a class of this cell's packages. Raises Unknown."""
        for name, loaded in self._behaviours.items():
            if behaviour == name or behaviour is loaded.cls:
                return name
        wanted = behaviour if isinstance(behaviour, str) else behaviour.__qualname__
        raise Unknown(
            f"`{wanted[:64]}` is no behaviour of this package",
            hint="list it under `classes` in behaviour.toml",
        )

    def package_of(self, behaviour: str) -> bytes:
        return self._behaviours[behaviour].package

    def log(self, agent: bytes, level: str, text: str) -> None:
        """A line for the agent's log, bounded by line and by step."""
        step = self.scheduler.progress()
        if step == 0 or step != self._log_step:
            self._log_step, self._log_used = step, 0
        if self._log_used > MAX_LOG_STEP:
            return
        self._log_used += len(text) + 1
        if self._log_used > MAX_LOG_STEP:
            level, text = "runtime", f"what this turn logs over {MAX_LOG_STEP} characters is dropped"
        self._send(Log(agent, level, text[:MAX_LOG]))
