"""The supervisor's side of executors: starts them, speaks with them, ends them.

Reads without a secret share one process a resource, ended when idle. Anything else gets a process of its own,
for one act, with at most one secret. A process that hangs past its deadline or dies costs that act and
nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from queenright.actions import channel_async
from queenright.actions.channel import Closed
from queenright.actions.keep import KEEP
from queenright.actions.manifest import Manifest
from queenright.actions.observe import OBSERVE
from queenright.actions.plan import Draft, Plan
from queenright.actions.registry import VERBS, find_verb
from queenright.actions.resources import Resource
from queenright.actions.verb import TOUCHING, ActionFailed, Effect, Reach, Unsure
from queenright.actions.world import Place
from queenright.broker.secret import Secret
from queenright.core import canonical
from queenright.errors import Malformed, QueenrightError

__all__ = ["Answer", "Executors", "Process", "Session", "Spawn", "Target"]

IDLE_SECONDS = 10.0
"""How long a shared reader lives without work: the next scrape comes within seconds, or much later."""

MAX_READERS = 32
"""Shared readers at once; the one idle longest makes room."""


class Process(Protocol):
    """A started executor."""

    def kill(self) -> None: ...
    async def wait(self) -> Any: ...


Spawn = Callable[[Sequence[str], Sequence[str], Sequence[int]], Awaitable[Process]]
"""spawn(read, write, fds): run `python -m queenright.actions.executor` held to these paths, `fds` as its descriptors
0, 1, 2, 3; a fifth is a directory that it may read as well. Raises SandboxRefused."""

Answer = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""What an executor may ask of the supervisor during its act: (kind, facts) to facts. Raises to refuse."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one executor works on. `upper`: a descriptor of what a command left in its overlay; `answer`: who answers its
    requests.
    """

    resource: Resource
    space: Place | None = None
    upper: int | None = None
    history: Mapping[str, list[str]] = field(default_factory=dict)
    images: Mapping[str, bytes] = field(default_factory=dict)
    key: str = ""
    answer: Answer | None = None


class Session:
    """One executor process and the act it was begun for. Requests go one at a time."""

    def __init__(self, process: Process, link: socket.socket, answer: Answer | None) -> None:
        self._process = process
        self._link = link
        self._answer = answer
        self._lock = asyncio.Lock()
        self._closed = False
        self.cut = ""
        self.dead = False
        self.op = ""
        """The request in progress, or ""."""
        self.asked = ""
        """What the process itself asked for and waits for, or ""."""

    async def read(self, manifest: Manifest, args: Mapping[str, Any]) -> Any:
        """Raises `ActionFailed`."""
        return await self._ask("read", manifest, args=dict(args))

    async def plan(self, manifest: Manifest, args: Mapping[str, Any]) -> Draft:
        """Raises `ActionFailed`. Changes nothing."""
        return _draft(await self._ask("plan", manifest, args=dict(args)))

    async def rehearse(self, manifest: Manifest, args: Mapping[str, Any]) -> Draft:
        """Plan by doing it to a copy (`Manifest.rehearsed`). Raises `ActionFailed`. Changes nothing."""
        return _draft(await self._ask("rehearse", manifest, args=dict(args)))

    async def run(self, manifest: Manifest, plan: Plan) -> Effect:
        """Raises `ActionFailed` when it did not happen, `Unsure` when nobody knows."""
        found = await self._ask("run", manifest, plan=plan.encode(), digest=plan.digest)
        return Effect(found["value"], found["after"])

    async def verify(self, manifest: Manifest, plan: Plan, effect: Effect) -> None:
        """Raises `ActionFailed` when a fresh look shows something else."""
        done = {"value": effect.value, "after": dict(effect.after)}
        await self._ask("verify", manifest, plan=plan.encode(), digest=plan.digest, effect=done)

    async def conflict(self, manifest: Manifest, plan: Plan, after: Mapping[str, Any] | None) -> str:
        """Why an undo would overwrite somebody else's change, or ""."""
        facts = {
            "plan": plan.encode(),
            "digest": plan.digest,
            "after": None if after is None else dict(after),
        }
        return str(await self._ask("conflict", manifest, **facts))

    async def undo(self, manifest: Manifest, plan: Plan, after: Mapping[str, Any] | None) -> str:
        """What it did, in words. Raises `ActionFailed`, `Unsure`."""
        facts = {
            "plan": plan.encode(),
            "digest": plan.digest,
            "after": None if after is None else dict(after),
        }
        found = await self._ask("undo", manifest, **facts)
        return str(found["what"])

    async def keep(self, manifest: Manifest, what: str, **facts: Any) -> Any:
        """See `keep`. Raises `ActionFailed`, `Unsure`."""
        return await self._ask("keep", manifest, what=what, facts=facts)

    async def observe(self, manifest: Manifest) -> dict[str, Any]:
        """See `observe`."""
        found: dict[str, Any] = await self._ask("observe", manifest)
        return found

    def kill(self, why: str) -> None:
        """End the process now; the request in progress ends as if it had died."""
        self.cut = self.cut or why
        self._process.kill()

    async def gone(self) -> Any:
        """Wait until the process has ended; what its starter says of how."""
        return await self._process.wait()

    async def close(self) -> None:
        """End the process and wait for it."""
        self._lose()
        if not self._closed:
            self._closed = True
            await self._process.wait()

    def _lose(self) -> None:
        """Nothing more is asked of the process: what it would answer next is not what was asked next."""
        if not self.dead:
            self.dead = True
            self._link.close()
            self._process.kill()

    async def begin(self, request: Mapping[str, Any]) -> None:
        await channel_async.send(self._link, {"op": "begin", **request})
        await self._reply()

    async def _ask(self, op: str, manifest: Manifest, **facts: Any) -> Any:
        touches = op in TOUCHING
        async with self._lock:
            if self.dead:
                raise ActionFailed("executor_died", f"the executor {self.cut or 'died'}")
            try:
                self.op = op
                async with asyncio.timeout(manifest.deadline_ms / 1000):
                    await channel_async.send(self._link, {"op": op, "verb": manifest.verb, **facts})
                    reply = await self._reply()
            except asyncio.CancelledError:
                self._lose()
                raise
            except (Closed, TimeoutError, Malformed) as lost:
                self._lose()
                late = isinstance(lost, TimeoutError)
                how = self.cut or ("did not answer in time" if late else "died")
                if touches:
                    raise Unsure(f"the executor {how} in the act") from None
                raise ActionFailed("timed_out" if late else "executor_died", f"the executor {how}") from None
            finally:
                self.op = ""
        if reply["t"] == "ok":
            return reply["value"]
        if reply["t"] == "unknown":
            raise Unsure(str(reply["message"]))
        raise ActionFailed(str(reply["code"]), str(reply["message"]), began=bool(reply["began"]))

    async def _reply(self) -> dict[str, Any]:
        """The answer to what was asked; requests of the executor in between are answered."""
        while True:
            reply = await channel_async.receive(self._link)
            if reply.get("t") != "ask":
                return reply
            await channel_async.send(self._link, await self._answered(reply))

    async def _answered(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            if self._answer is None:
                raise Malformed("this executor may ask for nothing")
            self.asked = str(asked["kind"])
            return {"t": "answer", "facts": await self._answer(str(asked["kind"]), asked["facts"])}
        except ActionFailed as failed:
            return {"t": "refused", "code": failed.code, "message": failed.message, "began": failed.began}
        except QueenrightError as refused:
            return {"t": "refused", "code": refused.code, "message": refused.message, "began": False}
        finally:
            self.asked = ""


def _draft(found: Mapping[str, Any]) -> Draft:
    return Draft(
        args=found["args"],
        effect=found["effect"],
        precondition=found["precondition"],
        undo=found["undo"],
        undo_text=found["undo_text"],
        images=found["images"],
        klass=found["class"],
        resources=found["resources"],
    )


@dataclass(slots=True)
class _Reader:
    session: Session
    resource: bytes
    idle_at: float = 0.0
    busy: int = 0


class Executors:
    """Starts executors. Belongs to one event loop."""

    def __init__(self, spawn: Spawn, stderr: Callable[[], int] | None = None) -> None:
        """`stderr`: a new descriptor for a process's error output, ours to close once it has been handed
        over; without it none is kept.
        """
        self._spawn = spawn
        self._stderr = stderr
        self._readers: dict[tuple[str, str], _Reader] = {}
        self._starting: dict[tuple[str, str], asyncio.Lock] = {}
        self._sweep: asyncio.Task[None] | None = None

    async def read(self, target: Target, manifest: Manifest, args: Mapping[str, Any]) -> Any:
        """A read without a secret, in the resource's shared process. Raises `ActionFailed`,
        SandboxRefused.
        """
        place = (target.resource.id, str(target.space.live) if target.space is not None else "")
        async with self._starting.setdefault(place, asyncio.Lock()):
            reader = await self._reader(place, target, manifest)
            reader.busy += 1
        try:
            return await reader.session.read(manifest, args)
        finally:
            reader.busy -= 1
            reader.idle_at = asyncio.get_running_loop().time()
            if reader.session.dead and self._readers.get(place) is reader:
                del self._readers[place]
            if not reader.busy and self._readers.get(place) is not reader:
                await reader.session.close()
            self._starting_done(place)

    def _starting_done(self, place: tuple[str, str]) -> None:
        lock = self._starting.get(place)
        if lock is not None and not lock.locked() and place not in self._readers:
            del self._starting[place]

    async def _reader(self, place: tuple[str, str], target: Target, manifest: Manifest) -> _Reader:
        mapped = canonical(target.resource.to_map())
        found = self._readers.get(place)
        if found is not None and (found.session.dead or found.resource != mapped):
            # One that is still at work is ended by the last read in it.
            del self._readers[place]
            if not found.busy:
                await found.session.close()
            found = None
        if found is None:
            if len(self._readers) >= MAX_READERS:
                await self._make_room()
            read, write = _reach(_reads_reach(target.resource), target, manifest)
            found = _Reader(await self._start(read, write, target, manifest, None), mapped)
            self._readers[place] = found
        if self._sweep is None or self._sweep.done():
            self._sweep = asyncio.get_running_loop().create_task(self._end_idle())
        return found

    async def _make_room(self) -> None:
        idle = [(reader.idle_at, place) for place, reader in self._readers.items() if not reader.busy]
        if not idle:
            raise ActionFailed("busy", f"{MAX_READERS} readers are at work")
        _, place = min(idle)
        await self._readers.pop(place).session.close()

    async def _end_idle(self) -> None:
        while self._readers:
            await asyncio.sleep(IDLE_SECONDS / 2)
            limit = asyncio.get_running_loop().time() - IDLE_SECONDS
            for place, reader in list(self._readers.items()):
                if not reader.busy and reader.idle_at < limit:
                    del self._readers[place]
                    self._starting_done(place)
                    await reader.session.close()

    @contextlib.asynccontextmanager
    async def session(
        self, target: Target, manifest: Manifest, secret: Secret | None
    ) -> AsyncIterator[Session]:
        """A process of its own for one act; ended at the end of the block. Raises SandboxRefused,
        `ActionFailed`.
        """
        own = {own.manifest.verb: own for own in (OBSERVE, KEEP)}.get(manifest.verb)
        reach: Reach = (own or find_verb(manifest.verb)).reach(target.resource)
        read, write = _reach(reach, target, manifest)
        session = await self._start(read, write, target, manifest, secret)
        try:
            yield session
        finally:
            await session.close()

    async def _start(
        self,
        read: list[str],
        write: list[str],
        target: Target,
        manifest: Manifest,
        secret: Secret | None,
    ) -> Session:
        ours, theirs = socket.socketpair()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        errors = self._stderr() if self._stderr is not None else os.dup(null)
        try:
            upper = () if target.upper is None else (target.upper,)
            process = await self._spawn(read, write, (null, null, errors, theirs.fileno(), *upper))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(null)
            os.close(errors)
        ours.setblocking(False)
        session = Session(process, ours, target.answer)
        try:
            async with asyncio.timeout(manifest.deadline_ms / 1000):
                await session.begin(_begin(target, secret))
        except (Closed, TimeoutError):
            await session.close()
            raise ActionFailed("executor_died", "the executor did not start") from None
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        """End every shared reader."""
        if self._sweep is not None:
            self._sweep.cancel()
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            await reader.session.close()


def _reads_reach(resource: Resource) -> Reach:
    """What the verbs that only read may reach together: one shared process does them all."""
    found = [
        find_verb(verb).reach(resource).read
        for verb in VERBS
        if find_verb(verb).manifest.klass == "read" and resource.kind in find_verb(verb).manifest.kinds
    ]
    return Reach(read=tuple(sorted({path for paths in found for path in paths})))


def _reach(reach: Reach, target: Target, manifest: Manifest) -> tuple[list[str], list[str]]:
    read, write = list(reach.read), list(reach.write)
    if target.space is not None and manifest.klass == "read":
        read.append(str(target.space.live))
    elif target.space is not None:
        write += [str(target.space.live), str(target.space.store)]
    return read, write


def _begin(target: Target, secret: Secret | None) -> dict[str, Any]:
    given = None
    if secret is not None:
        given = {"name": secret.name, "version": secret.version, "value": secret.reveal()}
    return {
        "resource": target.resource.to_map(),
        "space": None if target.space is None else target.space.to_map(),
        "history": {name: list(values) for name, values in target.history.items()},
        "images": dict(target.images),
        "key": target.key,
        "secret": given,
    }
