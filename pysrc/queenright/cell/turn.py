"""A durable turn: one message handled, its steps and sends recorded, and matched again when it is run once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from queenright.agent.agent import Agent
from queenright.agent.context import Context
from queenright.agent.events import BORN, RUNTIME_TYPES
from queenright.agent.message import Message, find_type, message_from
from queenright.agent.ref import AgentRef
from queenright.agent.step import Step
from queenright.cell.brood import Litter
from queenright.cell.mail import RUNTIME, Mail
from queenright.cell.post import Parcel, Record, address
from queenright.cell.report import describe
from queenright.cell.resident import Resident
from queenright.core import canonical, decode, digest
from queenright.errors import (
    Malformed,
    QueenrightError,
    StepMismatch,
    StepOverlap,
    TooManySteps,
)
from queenright.wire.certificate import BIRTH, Birth
from queenright.wire.link import End, Result
from queenright.wire.link import Step as StepFrame
from queenright.wire.refusal import decode_refusal
from queenright.wire.step import op_digest, step_digest

if TYPE_CHECKING:
    from queenright.cell.process import Process

__all__ = ["MAX_STEPS", "Turn"]

MAX_STEPS = 1000  # a turn (design section 6, point 6)
# A record is one frame of at most 4 MiB: 1 MiB of state, a reply or request, and this much of sends, each counted with what
# a seal and its map add.
MAX_SENDS = 2 * 1024 * 1024
SEND_OVERHEAD = 1024
MAX_REQUEST = 1280 * 1024
TIMER_ID = 16


class Turn:
    """See `queenright.agent.turn.Turn` for what authors' code reaches of it. `mail` None: the last turn, `on_stop`."""

    def __init__(
        self,
        process: Process,
        resident: Resident,
        number: int,
        attempt: int,
        mail: Mail | None,
        steps: list[Any],
    ) -> None:
        self._process = process
        self._resident = resident
        self.number = number
        self.attempt = attempt
        self._mail = mail
        self._recorded = _recorded(steps)
        self._ops: list[dict[str, Any]] = []
        self._parcels: list[Parcel] = []
        self._open: dict[int, Step[Any]] = {}
        self._early: dict[int, Result] = {}
        self._next = 0
        self._sends = 0
        self._timers = 0
        self._mismatch: StepMismatch | None = None
        self._recorded_end = False
        self.over = False
        self.me = resident.me
        self.parent = resident.parent
        self.args = resident.args
        self.sender: AgentRef | None = None
        self.chain: tuple[bytes, ...] = tuple(mail.chain) if mail is not None else ()
        if mail is not None and mail.sender != RUNTIME:
            self.sender = AgentRef(mail.sender, mail.sender_name)

    # --- its life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle the message and leave one End record, whatever happens."""
        if self.over:
            return
        try:
            reply = await self._handle()
            record = self._end(reply)
        except GeneratorExit:
            raise
        # A behaviour may raise anything, SystemExit too; only its turn may end of it.
        except BaseException as error:
            self.over = True
            self._resident.forget()
            self.fail(describe(error, self._mismatch))
        else:
            self.over = self._recorded_end = True
            self._process.post.submit(self.me.id, record)
        if self._mail is None:
            self._process.left(self.me.id)

    async def _handle(self) -> Message | None:
        ctx = Context(self)
        behaviour = self._resident.behaviour
        mail = self._mail
        if mail is None:
            await behaviour.on_stop(ctx)
            return None
        if mail.type == BORN and mail.sender == RUNTIME:
            await behaviour.on_start(ctx)
            return None
        body = mail.body
        if mail.sealed is not None:
            body = self._process.open_seal(self._resident, mail.sender, mail.type, mail.sealed)
        message = self._decode(mail, body or b"")
        if message is None:
            return None
        return await self._call(behaviour, ctx, message)

    def _decode(self, mail: Mail, body: bytes) -> Message | None:
        """The message, or None for a runtime's word that this behaviour does not listen to."""
        from_runtime = mail.sender == RUNTIME and mail.type in RUNTIME_TYPES
        cls = RUNTIME_TYPES[mail.type] if from_runtime else find_type(mail.type)
        if from_runtime and self._resident.handler(RUNTIME_TYPES[mail.type]) is None:
            self.log("runtime", f"not handled: {message_from(RUNTIME_TYPES[mail.type], body)!r}"[:500])
            return None
        if not from_runtime and mail.type in RUNTIME_TYPES:
            raise Malformed(f"`{mail.type}` is the runtime's to send")
        if cls is None or self._resident.handler(cls) is None:
            raise Malformed(
                f"{self._resident.cls.__qualname__} has no handler for `{mail.type[:64]}`",
                hint="mark a method of that message type with @handles",
            )
        return message_from(cls, body)

    async def _call(self, behaviour: Agent, ctx: Context, message: Message) -> Message | None:
        name = self._resident.handler(type(message)) or ""
        reply = await getattr(behaviour, name)(ctx, message)
        if reply is not None and not isinstance(reply, Message):
            raise Malformed(
                f"`{name}` returned a {type(reply).__name__}; a handler returns a message or None"
            )
        return reply

    def _end(self, reply: Message | None) -> Record:
        if self._mismatch is not None:
            raise self._mismatch
        if self._open:
            raise StepOverlap("the handler ended while a step was open", hint="await each step")
        if self._recorded:
            raise self._differs(min(self._recorded), "the turn ended")
        mail = self._mail
        resident = self._resident
        state = resident.changed_state()
        answer: dict[str, Any] | None = None
        parcels, ops = self._parcels, self._ops
        if reply is not None and mail is not None and mail.call is not None:
            answer = {}
            parcels = [*parcels, address(answer, mail.sender, reply)]
            del answer["plain_digest"]

        def frame() -> End:
            version = resident.cls.STATE_VERSION
            return End(self.me.id, self.number, True, "", state, version, ops, answer)

        return Record(parcels, frame, lambda: resident.accepted(state))

    def fail(self, text: str) -> None:
        """Leave the End record of a failure, unless this turn has left one."""
        if self._recorded_end:
            return
        self.over = self._recorded_end = True
        version = self._resident.cls.STATE_VERSION
        end = End(self.me.id, self.number, False, text, None, version, [], None)
        self._process.post.submit(self.me.id, Record([], lambda: end))

    # --- steps -------------------------------------------------------------------------------------------------------

    def open(self, steps: Sequence[Step[Any]]) -> None:
        if self.over or self._resident.turn is not self:
            raise StepOverlap("this turn is over", hint="use the ctx that the handler was given")
        if self._open:
            raise StepOverlap("a step of this turn is open", hint="several at once go through `ctx.gather`")
        if len(set(map(id, steps))) != len(steps) or any(step.ordinal is not None for step in steps):
            raise StepOverlap("a step is awaited once", hint="make a new one")
        if self._next + len(steps) > MAX_STEPS:
            raise TooManySteps(
                f"a turn has at most {MAX_STEPS} steps", hint="go on in another: send yourself a message"
            )
        for step in steps:
            step.ordinal = self._next
            self._next += 1
            self._open[step.ordinal] = step
            recorded = self._recorded.pop(step.ordinal, None)
            if recorded is None:
                self._record(step)
            else:
                self._match(step, recorded)
            early = self._early.pop(step.ordinal, None)
            if early is not None and not step.settled:
                self._settle(step, early.ok, early.value, early.error)

    def close(self, steps: Sequence[Step[Any]]) -> None:
        for step in steps:
            if step.ordinal is not None:
                self._open.pop(step.ordinal, None)

    def _record(self, step: Step[Any]) -> None:
        ordinal = step.ordinal or 0
        if self._recorded:
            raise self._differs(min(self._recorded), f"step {ordinal} `{step.kind}` that is not recorded")
        if step.compute is not None:
            step.request = step.compute()
        request = dict(step.request)
        parcels, ops = self._parcels, self._ops
        if step.carries is not None:
            to, message = step.carries
            request["to"] = to
            parcels = [*parcels, address(request, to, message)]
        size = len(canonical(request))
        if size > MAX_REQUEST:
            raise Malformed(f"a step's request of {size} bytes is over the limit of {MAX_REQUEST}")
        self._parcels, self._ops, self._sends = [], [], 0

        def frame() -> StepFrame:
            return StepFrame(self.me.id, self.number, ordinal, step.kind, canonical(request), ops)

        self._process.post.submit(self.me.id, Record(parcels, frame))

    def _match(self, step: Step[Any], recorded: dict[str, Any]) -> None:
        """Take what is recorded at this ordinal, if this run asks for the same."""
        request = dict(step.request)
        if step.carries is not None:
            to, message = step.carries
            request["to"] = to
            address(request, to, message)
        if recorded["kind"] != step.kind or recorded["digest"] != step_digest(step.kind, canonical(request)):
            raise self._differs(step.ordinal or 0, f"`{step.kind}` {_show(request)}", recorded)
        if recorded["ops"] != [op_digest(op) for op in self._ops]:
            raise self._differs(step.ordinal or 0, f"{len(self._ops)} sends before it", recorded)
        self._ops, self._parcels, self._sends = [], [], 0
        if recorded["done"]:
            self._settle(step, recorded["ok"], recorded["value"], recorded["error"])

    def _differs(self, ordinal: int, now: str, recorded: dict[str, Any] | None = None) -> StepMismatch:
        recorded = recorded or self._recorded[ordinal]
        was = f"`{recorded['kind']}` {recorded['digest'].hex()[:12]} after {len(recorded['ops'])} sends"
        self._mismatch = StepMismatch(f"step {ordinal} was {was}; this run has {now}")
        return self._mismatch

    def result(self, frame: Result) -> bool:
        """Take a step's answer; whether the turn can go on."""
        step = self._open.get(frame.ordinal)
        if step is None:
            if frame.ordinal >= self._next:
                self._early[frame.ordinal] = frame  # the run has not come to it yet
            return False
        if step.settled:
            return False
        self._settle(step, frame.ok, frame.value, frame.error)
        return all(step.settled for step in self._open.values())

    def _settle(self, step: Step[Any], ok: bool, value: bytes, error: dict[str, Any] | None) -> None:
        if not ok:
            step.fail(decode_refusal(error))
            return
        try:
            found = decode(value)
            if step.kind == "call" and isinstance(found, dict) and found.get("sealed") is not None:
                to = step.carries[0] if step.carries is not None else b""
                body = self._process.open_seal(self._resident, to, found["type"], found["sealed"])
                found = found | {"body": body}
        except QueenrightError as refused:
            step.fail(refused)
            return
        step.settle(found)

    # --- sends and other ops -------------------------------------------------------------------------------------------

    def send(self, to: bytes, message: Message) -> None:
        if self.over:
            raise StepOverlap("this turn is over", hint="use the ctx that the handler was given")
        if type(message).__volatile__:
            self._process.send_volatile(self._resident, to, message)
            return
        op: dict[str, Any] = {"op": "send", "to": to, "volatile": False}
        parcel = address(op, to, message)
        self.op(op, len(parcel.body))
        self._parcels.append(parcel)

    def op(self, op: dict[str, Any], size: int = 0) -> None:
        if self.over:
            raise StepOverlap("this turn is over", hint="use the ctx that the handler was given")
        size = (size or len(canonical(op))) + SEND_OVERHEAD
        if self._sends + size > MAX_SENDS:
            raise TooManySteps(
                f"the sends since the last step are over {MAX_SENDS} bytes", hint="await a step between them"
            )
        self._sends += size
        self._ops.append(op)

    def name_timer(self) -> bytes:
        self._timers += 1
        place = canonical([self.me.id, self.number, self._timers])
        return digest("timer", place)[:TIMER_ID]

    def birth(
        self, behaviour: type[Agent] | str, name: str | None, grant: dict[str, Any], args: bytes
    ) -> Step[Any]:
        label = self._process.behaviour_name(behaviour)
        child = name or f"{label.rpartition('.')[2].lower()}-{self.number}.{self._next}"
        certificate = Birth(
            runtime=self._resident.keys.start.runtime_key, intent=self._resident.intent, parent=self.me.id,
            name=f"{self.me.name}/{child}", behaviour=label, package=self._process.package_of(label),
            grant=digest("grant", canonical(grant)), args=digest("args", args),
            born_ms=self._process.clock.wall_ms(), nonce=self._process.rand(16),
        ).encode()  # fmt: skip
        request = {"certificate": certificate, "grant": grant, "args": args}

        def signed() -> dict[str, Any]:
            keys = self._process.post.claim(self.me.id)
            return request | {"signature": keys.sign(digest(BIRTH, certificate))}

        return Step(
            self, "spawn", request, lambda value: AgentRef(value["agent"], value["name"]), compute=signed
        )

    def births(
        self,
        behaviour: type[Agent] | str,
        names: list[str] | tuple[str | None, int],
        grant: dict[str, Any],
        args: bytes | list[bytes],
    ) -> Step[Any]:
        label = self._process.behaviour_name(behaviour)
        if isinstance(names, tuple):
            stem = names[0] or f"{label.rpartition('.')[2].lower()}-{self.number}.{self._next}"
            names = (stem, names[1])
        litter = Litter(
            runtime=self._resident.keys.start.runtime_key, intent=self._resident.intent, parent=self.me, behaviour=label,
            package=self._process.package_of(label), names=names, grant=grant, args=args,
        )  # fmt: skip

        def signed() -> dict[str, Any]:
            asked, to_sign = litter.propose(self._process.clock.wall_ms(), self._process.rand(12))
            return asked | {"signature": self._process.post.claim(self.me.id).sign(to_sign)}

        return Step(self, "spawn_many", litter.request, litter.born, compute=signed)

    def log(self, level: str, text: str) -> None:
        self._process.log(self.me.id, level, text)


def _recorded(steps: list[Any]) -> dict[int, dict[str, Any]]:
    """Recorded steps by ordinal. Raises Malformed on another shape: the supervisor's fault, not the behaviour's."""
    out: dict[int, dict[str, Any]] = {}
    names = {"ordinal", "kind", "digest", "done", "ok", "value", "error", "ops"}
    for step in steps:
        if not isinstance(step, dict) or step.keys() != names or not isinstance(step["ordinal"], int):
            raise Malformed("a recorded step has other fields than the link's")
        out[step["ordinal"]] = step
    return out


def _show(request: dict[str, Any]) -> str:
    """A request in a few words, for a person who compares it with the ledger."""
    parts = [
        f"{name}={value!r}" for name, value in sorted(request.items()) if isinstance(value, str | int | dict)
    ]
    return ", ".join(parts)[:200]
