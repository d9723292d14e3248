"""One command of an agent as a transaction: run over an overlay, its changes kept as the next version, proposed, or dropped.

The supervisor holds the upper layer by its descriptor and never looks into it; a keeper, an executor of this one command with
no secret, does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from queenright.actions.command import MAX_LISTED, command_value, note_of
from queenright.actions.executors import Executors, Session, Target
from queenright.actions.keep import KEEP
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.actions.verb import ActionFailed, Unsure
from queenright.actions.world import Place
from queenright.core import canonical
from queenright.errors import SandboxRefused
from queenright.supervisor.egress import Egress, Way
from queenright.supervisor.launcher import Exit, Launcher, Sandbox
from queenright.supervisor.sandbox_spec import SandboxSpec, command_spec
from queenright.workspace.workspaces import Quota

__all__ = ["Command", "Commands"]

OUTPUT_BYTES = 64 * 1024
"""Of a command's stdout, and as much of its stderr; what is beyond is dropped."""

_NOTHING: dict[str, Any] = {"version": None, "digest": b"", "changes": [], "left_out": []}


@dataclass(slots=True, eq=False)
class Command:
    """One that runs, or is about to: known from before its sandbox is asked for, so that no order can pass it by."""

    agent: bytes
    sandbox: Sandbox | None = None
    cut: str = ""
    end: Exit | None = None  # the kernel's word; from then on a keeper may be committing what it left
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def kill(self) -> None:
        """End every process of it. One whose sandbox is still being made is ended as soon as there is one."""
        if self.sandbox is not None:
            self.sandbox.kill()

    async def gone(self) -> int:
        """Wait for the kernel's word that nothing of it is left; how many processes that were, at least."""
        await self.over.wait()
        return self.end.processes if self.end is not None else 0

    def ended(self, end: Exit | None) -> None:
        self.end = self.end or end
        self.over.set()


def _anybody(agent: bytes) -> str:
    return ""


class Commands:
    """Those that run, by agent. `slot` gives an agent's own kernel uid; `held` says why an agent's commands may not run now,
    or "".
    """

    def __init__(
        self,
        launcher: Launcher,
        executors: Executors,
        slot: Callable[[bytes], int],
        egress: Egress,
        held: Callable[[bytes], str] = _anybody,
    ) -> None:
        self._launcher = launcher
        self._egress = egress
        self._executors = executors
        self._slot = slot
        self._held = held
        self._running: dict[bytes, set[Command]] = {}

    def of(self, agents: Iterable[bytes]) -> list[Command]:
        """What these agents run."""
        return [command for agent in agents for command in self._running.get(agent, ())]

    def cut(self, agents: Iterable[bytes] | None, why: str) -> list[Command]:
        """End these agents' commands (None: all of them), now: nothing of them is kept. Those that were still running."""
        found = [one for one in self.of(self._running if agents is None else agents) if not one.over.is_set()]
        for command in found:
            command.cut = command.cut or why
            command.kill()
        return found

    async def run(self, place: Place, command: str, timeout_ms: int, keep: bool) -> dict[str, Any]:
        """The value of `shell.run` (its version None when nothing was kept), and the digest of the version that was made.

        Not to `keep` it: what it changed becomes a proposal of the act, for a person to see.

        Raises SandboxRefused when it did not run; `ActionFailed` when its agent is held, when what it left was refused (nothing
        is kept then), or when nobody saw whether it was kept.
        """
        if why := self._held(place.agent):
            raise ActionFailed("cut_off", f"the command was not started: {why}")
        running = Command(place.agent)
        mine = self._running.setdefault(place.agent, set())
        mine.add(running)
        try:
            return await self._run(running, place, command, timeout_ms, keep)
        finally:
            running.ended(None)
            mine.discard(running)
            if not mine and self._running.get(place.agent) is mine:
                del self._running[place.agent]

    async def _run(
        self, running: Command, place: Place, command: str, timeout_ms: int, keep: bool
    ) -> dict[str, Any]:
        with self._way(place, keep) as way:
            quota = Quota()
            spec = command_spec(
                argv=["/bin/sh", "-c", command],
                workspace=place.live,
                slot=self._slot(place.agent),
                upper=(quota.bytes, quota.files),
                env=way.environment() if way is not None else None,
                binds=way.binds() if way is not None else (),
                egress=way is not None,
                in_place=self._launcher.in_place,
            )
            async with _started(self._launcher, spec) as (sandbox, upper, listener, out, err):
                running.sandbox = sandbox
                if running.cut:
                    sandbox.kill()
                # Started beside the command: it is there when the command has ended.
                async with _keeper(self._executors, place, upper) as keeper:
                    with _served(way, listener):
                        end, late = await _ended(sandbox, timeout_ms / 1000)
                    running.ended(end)
                    dropped = _dropped(running, end, late)
                    code = end.code if end.code is not None else 128 + (end.signal or 0)
                    said = note_of(command, timeout_ms, code, await out, await err)
                    if dropped:
                        kept = dict(_NOTHING)
                    elif keep:
                        kept = await _asked(keeper, "commit", listed=MAX_LISTED)
                    else:
                        await _asked(keeper, "propose", listed=0, note=canonical(said))
                        kept = dict(_NOTHING)
        return command_value(said, kept, late=late, dropped=dropped)

    def _way(self, place: Place, keep: bool) -> contextlib.AbstractContextManager[Way | None]:
        """None for a command that may reach nothing: what a person is to see before it is kept must not have sent anything."""
        return self._egress.way(place) if place.egress and keep else contextlib.nullcontext()


def _served(way: Way | None, listener: int | None) -> contextlib.AbstractContextManager[None]:
    if way is None or listener is None:
        return contextlib.nullcontext()
    return way.door(listener)


def _dropped(running: Command, end: Exit, late: bool) -> str:
    """Why nothing is kept: a command that did not come to its own end left a state that it never meant."""
    if running.cut:
        return running.cut
    if late:
        return "it did not end in time"
    return "it ran out of memory" if end.out_of_memory else ""


async def _asked(keeper: asyncio.Task[Session], what: str, **facts: Any) -> dict[str, Any]:
    try:
        done: dict[str, Any] = await (await keeper).keep(KEEP.manifest, what, **facts)
    except Unsure as unsure:
        raise ActionFailed("unknown_outcome", unsure.message, began=True) from None
    return done


async def _ended(sandbox: Sandbox, seconds: float) -> tuple[Exit, bool]:
    try:
        return await asyncio.wait_for(asyncio.shield(sandbox.wait()), seconds), False
    except TimeoutError:
        sandbox.kill()
        return await sandbox.wait(), True
    finally:
        sandbox.kill()


@contextlib.asynccontextmanager
async def _keeper(executors: Executors, place: Place, upper: int) -> AsyncIterator[asyncio.Task[Session]]:
    """The executor that will commit, under way."""
    target = Target(resource=Resource(OWN_WORKSPACE), space=place, upper=upper)
    async with contextlib.AsyncExitStack() as stack:
        task = asyncio.create_task(
            stack.enter_async_context(executors.session(target, KEEP.manifest, None)), name="keeper"
        )
        try:
            yield task
        finally:
            # Its refusal was told to whoever waited for it; after a command that was ended nobody did.
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _started(
    launcher: Launcher, spec: SandboxSpec
) -> AsyncIterator[tuple[Sandbox, int, int | None, asyncio.Task[bytes], asyncio.Task[bytes]]]:
    """The sandbox, its upper layer's directory, its listener if it has a way out, and what it says. The sandbox has ended when
    the block has.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        theirs.callback(os.close, null)
        reads, writes = [], []
        for _ in range(2):
            read, write = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, write)
            reads.append(ours.enter_context(os.fdopen(read, "rb", buffering=0)))
            writes.append(write)
        replies, sent = [], []
        for _ in range(1 + spec.egress):
            reply, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            replies.append(ours.enter_context(reply))
            sent.append(theirs.enter_context(other).fileno())
        sandbox = await launcher.spawn(spec, [null, *writes, *sent])
        theirs.close()
        try:
            upper = _handed(replies[-1], "overlay")
            ours.callback(os.close, upper)
            listener = _handed(replies[0], "egress") if spec.egress else None
            if listener is not None:
                ours.callback(os.close, listener)
            out, err = (asyncio.create_task(_collect(read)) for read in reads)
            yield sandbox, upper, listener, out, err
            await asyncio.wait([out, err])
        finally:
            sandbox.kill()
            await sandbox.wait()


def _handed(reply: socket.socket, step: str) -> int:
    """A descriptor that the sandbox sent before its program started: its upper layer's directory, or its listener."""
    reply.setblocking(False)
    try:
        _, descriptors, _, _ = socket.recv_fds(reply, 16, 1)
    except BlockingIOError:
        descriptors = []
    if len(descriptors) != 1:
        raise SandboxRefused(
            f"the sandbox sent no descriptor for its {step}", step=step, hint="run queenright doctor"
        )
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


async def _collect(pipe: Any) -> bytes:
    """A pipe to its end, at most OUTPUT_BYTES kept; the rest is read and dropped, so that nobody blocks on it."""
    done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    kept = bytearray()

    class Reader(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            kept.extend(data[: OUTPUT_BYTES - len(kept)])

        def connection_lost(self, exc: Exception | None) -> None:
            if not done.done():
                done.set_result(bytes(kept))

    await asyncio.get_running_loop().connect_read_pipe(Reader, pipe)
    return await done
