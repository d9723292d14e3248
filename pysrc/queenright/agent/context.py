"""`ctx`: everything an agent can ask for. What returns something is a recorded step and is awaited.

Steps open one at a time; several at once go through `ctx.gather`. A refusal is raised where the step is awaited, and the
handler may catch it. Times are in seconds here and in whole milliseconds everywhere below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from queenright.agent.message import Message, body_of, find_type, message_from, type_name
from queenright.agent.ref import AgentRef
from queenright.agent.results import Found, Shell
from queenright.agent.rules import Rule, grant_request
from queenright.agent.step import Gather, Step
from queenright.core import MAX_BIRTHS, canonical, decode
from queenright.core.cell import ContextBase, Sent
from queenright.errors import CallCycle, CallTooDeep, Malformed, StepFailed

if TYPE_CHECKING:
    from queenright.agent.agent import Agent
    from queenright.agent.turn import Turn

__all__ = ["MAX_CHAIN", "Context", "Files"]

T = TypeVar("T")

MAX_CHAIN = 16  # open calls in a chain (design section 6, point 8)
MAX_RUN_VALUE = 64 * 1024  # what ctx.run may record; larger things belong in the workspace
OWN_WORKSPACE = "ws:self"


def _id(agent: AgentRef | bytes) -> bytes:
    found = agent.id if isinstance(agent, AgentRef) else agent
    if not isinstance(found, bytes) or len(found) != 32:
        raise Malformed("an agent is an AgentRef or its 32-byte id")
    return found


def _ms(seconds: float, what: str) -> int:
    if not 0 <= seconds < 1e10:
        raise Malformed(f"{what} is a number of seconds, not {seconds!r}")
    return round(seconds * 1000)


class Context(ContextBase):
    """One turn's view of the world. Valid until the turn ends."""

    __slots__ = ()

    if TYPE_CHECKING:  # in the core, for the sake of messages that never leave the cell
        _turn: Turn

        @property
        def sender(self) -> AgentRef | None:
            """Who sent the message, by the core's word; None for the runtime."""

        def send(self, agent: AgentRef | bytes, message: Message) -> Sent:
            """Send and go on. A durable message leaves with the turn's next record; one that cannot be delivered comes
            back as `Undelivered`. A volatile one goes at once; raises MailboxFull with the message if its target here
            is full."""

    # --- who -------------------------------------------------------------------------------------------------------

    @property
    def self(self) -> AgentRef:
        """This agent."""
        return self._turn.me

    @property
    def parent(self) -> AgentRef | None:
        """Who spawned it; None for the swarm's first agent."""
        return self._turn.parent

    @property
    def args(self) -> dict[str, Any]:
        """The arguments it was born with."""
        return self._turn.args

    # --- messages --------------------------------------------------------------------------------------------------

    def _send(self, agent: AgentRef | bytes, message: Message) -> None:
        """`send`, where the core's short way inside one cell does not lead to the receiver."""
        self._turn.send(_id(agent), message)

    def call(self, agent: AgentRef | bytes, message: Message, timeout: float = 30) -> Step[Any]:
        """Send and wait for the handler's value: a message or None. Raises TimedOut, Parked (the callee waits for a
        person), Unknown (no such agent, out of reach, mailbox full), CallCycle, CallTooDeep."""
        to = _id(agent)
        chain = (*self._turn.chain, self._turn.me.id)
        if to in chain:
            raise CallCycle(
                "that agent is already waiting in this chain of calls", hint="send it a message instead"
            )
        if len(chain) > MAX_CHAIN:
            raise CallTooDeep(f"this chain of calls is {len(chain)} deep; the limit is {MAX_CHAIN}")
        request: dict[str, Any] = {"timeout_ms": _ms(timeout, "a timeout")}
        return Step(self._turn, "call", request, _reply, carries=(to, message))

    # --- agents ----------------------------------------------------------------------------------------------------

    def spawn(
        self,
        behaviour: type[Agent] | str,
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        exercise: Sequence[Rule] = (),
        delegate: Sequence[Rule] = (),
        not_after_ms: int | None = None,
        depth: int = 0,
        agents: int = 0,
    ) -> Step[AgentRef]:
        """A child with a narrower grant: a class of this package, or "package.Class". Raises Denied if the grant is not
        inside what this agent may delegate. `depth` and `agents`: how far and how many it may spawn itself."""
        grant = grant_request(exercise, delegate, not_after_ms=not_after_ms, depth=depth, agents=agents)
        return self._turn.birth(behaviour, name, grant, canonical(args or {}))

    def spawn_many(
        self,
        behaviour: type[Agent] | str,
        names: Sequence[str] | int,
        *,
        stem: str | None = None,
        args: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
        exercise: Sequence[Rule] = (),
        delegate: Sequence[Rule] = (),
        not_after_ms: int | None = None,
        depth: int = 0,
        agents: int = 0,
    ) -> Step[Sequence[AgentRef]]:
        """Children of one class in one step and with one signature: all of them are born, or none. `names` are their names, or
        how many: those are called `stem-0`, `stem-1`, …. Each gets a grant of the same shape, and `args`, or its own of as many.
        Raises as `spawn`, and Malformed for more than MAX_BIRTHS at once."""
        grant = grant_request(exercise, delegate, not_after_ms=not_after_ms, depth=depth, agents=agents)
        count = names if isinstance(names, int) else len(names)
        if not 0 < count <= MAX_BIRTHS:
            raise Malformed(
                f"{count} births at once: 1 to {MAX_BIRTHS} are born in one step", hint="use another step"
            )
        if isinstance(names, str) or (stem is not None and not isinstance(names, int)):
            raise Malformed("children are listed by name, or counted with a stem")
        if args is None or isinstance(args, dict):
            packed: bytes | list[bytes] = canonical(args or {})
        else:
            packed = [canonical(one) for one in args]
            if len(packed) != count:
                raise Malformed(f"{len(packed)} arguments for {count} children")
        called = (stem, names) if isinstance(names, int) else list(names)
        return self._turn.births(behaviour, called, grant, packed)

    def discover(self, *, behaviour: str | None = None, capability: str | None = None) -> Step[list[Found]]:
        """Agents within reach, at most 100."""
        request = {"behaviour": behaviour, "capability": capability}
        return Step(self._turn, "discover", request, lambda value: [Found.from_value(item) for item in value])

    def monitor(self, agent: AgentRef | bytes) -> None:
        """Be told by `Ended` when that agent ends."""
        self._turn.op({"op": "monitor", "agent": _id(agent)})

    def stop(self) -> None:
        """End this agent, and everything below it, once this turn has ended."""
        self._turn.op({"op": "stop"})

    # --- the world -------------------------------------------------------------------------------------------------

    def act(self, verb: str, resource: str, reason: str = "", **args: Any) -> Step[Any]:
        """An action, inside this agent's grant. Above it the turn parks until a person has answered. Raises Denied with
        every failing dimension, AskExpired, UnknownOutcome, or the action's own failure."""
        return Step(
            self._turn, "act", {"verb": verb, "resource": resource, "args": dict(args), "reason": reason}
        )

    def shell(self, command: str, *, timeout: float = 60, reason: str = "") -> Step[Shell]:
        """A shell command over this agent's own workspace, in a sandbox of its own."""
        args = {"command": command, "timeout_ms": _ms(timeout, "a timeout")}
        request = {"verb": "shell.run", "resource": OWN_WORKSPACE, "args": args, "reason": reason}
        return Step(self._turn, "act", request, Shell.from_value)

    @property
    def files(self) -> Files:
        """This agent's workspace."""
        return Files(self._turn)

    # --- time ------------------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> Step[None]:
        """Wait, durably. The agent handles nothing else meanwhile; `after` leaves it free."""
        return Step(self._turn, "sleep", {"ms": _ms(seconds, "a sleep")}, lambda _: None)

    def after(self, seconds: float, message: Message) -> bytes:
        """A message to itself later, once. Survives restarts. Returns the timer's id for `cancel`."""
        return self._timer(seconds, None, message)

    def every(self, seconds: float, message: Message) -> bytes:
        """A message to itself again and again; never more than one waits."""
        return self._timer(seconds, _ms(seconds, "a period"), message)

    def cancel(self, timer: bytes) -> None:
        """Cancel a timer; one that has fired is no error."""
        self._turn.op({"op": "cancel", "id": timer})

    def _timer(self, seconds: float, every_ms: int | None, message: Message) -> bytes:
        after_ms, timer = _ms(seconds, "a delay"), self._turn.name_timer()
        self._turn.op(
            {
                "op": "timer",
                "id": timer,
                "after_ms": after_ms,
                "every_ms": every_ms,
                "type": type_name(type(message)),
                "body": body_of(message),
            }
        )
        return timer

    def now(self) -> Step[int]:
        """Wall time in milliseconds since 1970."""
        return Step(self._turn, "now", {}, int)

    def random(self, count: int) -> Step[bytes]:
        """Random bytes, the same when the turn runs again."""
        return Step(self._turn, "random", {"bytes": count}, bytes)

    # --- several, and anything else ----------------------------------------------------------------------------------

    def gather(self, *steps: Step[Any], return_errors: bool = False) -> Gather:
        """Several steps at once; their values in the order of the arguments. Waits for all, then raises the first error;
        with `return_errors` the errors stand in the list instead."""
        return Gather(self._turn, steps, return_errors)

    def run(self, name: str, fn: Callable[[], Any]) -> Step[Any]:
        """Call `fn` here and record what it returned (canonical values, at most 64 KiB): for anything that may differ next
        time. A coroutine function is run to its end under asyncio. Raises StepFailed if it raised."""
        return Step(self._turn, "run", {"name": name}, _computed, compute=lambda: _compute(name, fn))

    def log(self, text: str) -> None:
        """A line in this agent's bounded log."""
        self._turn.log("info", text)


class Files:
    """An agent's own workspace. Paths are relative to it."""

    __slots__ = ("_turn",)

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def _step(self, verb: str, args: dict[str, Any], convert: Callable[[Any], T]) -> Step[T]:
        request = {"verb": verb, "resource": OWN_WORKSPACE, "args": args, "reason": ""}
        return Step(self._turn, "act", request, convert)

    def read(self, path: str, offset: int = 0, limit: int | None = None) -> Step[bytes]:
        """The file's bytes; without `limit` all of them, at most 1 MiB."""
        part: dict[str, Any] = {} if limit is None else {"limit": limit}
        return self._step("fs.read", {"path": path} | ({"offset": offset} if offset else {}) | part, bytes)

    def write(self, path: str, data: bytes) -> Step[None]:
        """Write the whole file, at most 1 MiB; undone by its pre-image."""
        return self._step("fs.write", {"path": path, "data": bytes(data)}, lambda _: None)

    def list(self, path: str = ".") -> Step[list[str]]:
        """The names in a directory."""
        return self._step("fs.list", {"path": path}, lambda value: [str(name) for name in value])


def _reply(value: Any) -> Message | None:
    """The callee's answer: the cell has opened its seal, so `body` is plain here."""
    if value is None:
        return None
    cls = find_type(value["type"])
    if cls is None:
        raise Malformed(f"the answer's type `{value['type'][:64]}` is not defined in this package")
    return message_from(cls, value["body"])


def _compute(name: str, fn: Callable[[], Any]) -> dict[str, Any]:
    try:
        value = fn()
        if hasattr(value, "__await__"):
            import asyncio  # only for a function that suspends on something that is not ours

            value = asyncio.run(_wait(value))
        recorded = canonical(value)
    except Exception as error:
        return {"name": name, "ok": False, "value": canonical(f"{type(error).__name__}: {error}"[:1000])}
    if len(recorded) > MAX_RUN_VALUE:
        text = f"its value of {len(recorded)} bytes is over the limit of {MAX_RUN_VALUE}"
        return {"name": name, "ok": False, "value": canonical(text)}
    return {"name": name, "ok": True, "value": recorded}


async def _wait(awaitable: Any) -> Any:
    return await awaitable


def _computed(value: Any) -> Any:
    """What was recorded of `ctx.run`: {"name", "ok", "value"}."""
    found = decode(value["value"])
    if not value["ok"]:
        raise StepFailed(f"`{value['name']}` failed: {found}")
    return found
