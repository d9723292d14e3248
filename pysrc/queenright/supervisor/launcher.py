"""The supervisor's side of the launcher: asks for sandboxes and host services, and hears of every end.

Start it before the process holds a secret and before it restricts itself. The launcher ends every sandbox
when this process dies or closes the socket.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgpack  # type: ignore[import-untyped]

from queenright.control.protocol import Memory, Tier
from queenright.errors import SandboxRefused
from queenright.supervisor.sandbox_spec import SandboxSpec, kernel_uid

__all__ = ["Exit", "Launcher", "Sandbox", "ServiceProcess", "launcher_path"]


# The launcher's own bound (message.rs).
MAX_PACKET = 64 * 1024
# Ids of one request: at most nine bytes each, so that they fit a packet.
MAX_KILLS = 4096
# It examines the machine in milliseconds; a machine that cannot do it in this time runs no agents.
START_SECONDS = 10.0
# The launcher waits 5 s for its sandboxes to be gone before it ends.
CLOSE_SECONDS = 10.0
_CONTROL = 3
_DOCTOR = "run `queenright doctor`"
_INT = array.array("i").itemsize


@dataclass(frozen=True, slots=True)
class Exit:
    """How a sandbox's program ended: an exit `code` or the `signal` that ended it, never both.

    `processes`: how many the kernel counted in it when it was told to end, at least; all of them are gone.
    """

    code: int | None
    signal: int | None
    out_of_memory: bool = False
    processes: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A host service. With `start_time` (proc_pid_stat(5) field 22, ticks since boot) its pid is unique."""

    pid: int
    start_time: int


def launcher_path() -> Path:
    """The launcher's program, a real file of the package."""
    return Path(__file__).resolve().parents[1] / "_bin" / "queenright-launch"


class Sandbox:
    """A running sandbox. `pidfd` is open until the end was heard of, then -1."""

    def __init__(self, launcher: Launcher, number: int, pid: int, pidfd: int) -> None:
        self.id = number
        self.pid = pid
        self.pidfd = pidfd
        self._launcher = launcher
        self._ended = asyncio.Event()
        self._exit: Exit | None = None

    async def wait(self) -> Exit:
        """How it ended, once the kernel says that all of it is gone."""
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    def kill(self) -> None:
        """End every process of it. Returns at once; `wait` says when it is done. Harmless after the end."""
        if self._exit is not None:
            return
        if self._launcher.busy:
            # It makes sandboxes one after the other, and what is asked of it now waits behind those: a hundred are seconds.
            with contextlib.suppress(OSError):  # the request below does it in any case
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self._launcher._kill(self.id)

    def _end(self, how: Exit) -> None:
        self._exit = how
        os.close(self.pidfd)
        self.pidfd = -1
        self._ended.set()


class Launcher:
    """One launcher process. Belongs to the first event loop that uses it; not safe to use from other threads.

    `landlock_abi` is the version in use, `as_root` whether each sandbox gets a uid, `memory` "hard", "soft"
    (watched once a second) or "none". `tier` is "full", "bwrap" or "landlock-strict"; `instead_of` says what was
    refused where it is not "full".
    """

    def __init__(self, control: socket.socket, pid: int, hello: Mapping[str, Any]) -> None:
        self.pid = pid
        self.landlock_abi: int = hello["landlock_abi"]
        self.as_root: bool = hello["root"]
        self.memory: Memory = hello["memory"]
        self.tier: Tier = hello["tier"]
        self.instead_of: str = hello["instead_of"]
        self._control = control
        self._pid_watch = os.pidfd_open(pid)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last = 0
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._sandboxes: dict[int, Sandbox] = {}
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._together: list[int] | None = None
        self._gone: SandboxRefused | None = None
        self._closed = False

    @classmethod
    def start(
        cls, *, landlock_abi_cap: int | None = None, degraded: Literal["landlock"] | None = None
    ) -> Launcher:
        """Start the launcher and hear what this machine offers. Blocks for milliseconds: it makes a sandbox to see.

        `degraded` is an operator's word that Landlock alone will do where no namespaces can be had. Raises
        SandboxRefused with the failed step if it cannot make sandboxes here.
        """
        program = launcher_path()
        if not os.access(program, os.X_OK):
            raise SandboxRefused(
                f"the launcher is missing or not executable: {program}",
                step="launcher",
                hint="reinstall queenright",
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [str(program)]
        if landlock_abi_cap is not None:
            argv += ["--landlock-abi-cap", str(landlock_abi_cap)]
        if degraded is not None:
            argv += ["--degraded", degraded]
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CONTROL),
        ]
        try:
            pid = os.posix_spawn(program, argv, {}, file_actions=actions)
        except OSError as error:
            ours.close()
            raise SandboxRefused(
                f"the launcher did not start: {error}",
                step="launcher",
                errno=error.errno or 0,
                hint="run queenright doctor",
            ) from error
        finally:
            theirs.close()
        try:
            ours.settimeout(START_SECONDS)
            packet = ours.recv(MAX_PACKET)
            said = msgpack.unpackb(packet) if packet else {}
            if "hello" not in said:
                raise _refusal(said.get("error"))
            ours.setblocking(False)
            return cls(ours, pid, said["hello"])
        except BaseException as error:
            ours.close()
            _reap(pid)
            if isinstance(error, TimeoutError):
                raise SandboxRefused(
                    "the launcher said nothing", step="launcher", hint="run queenright doctor"
                ) from error
            raise

    async def spawn(self, spec: SandboxSpec, fds: Sequence[int]) -> Sandbox:
        """Run `spec` with `fds` as its descriptors 0, 1, 2, ...; the caller keeps its own copies of them.

        Raises SandboxRefused with the failed step; then nothing runs.
        """
        number = self._next()
        request = spec.request(number, len(fds), as_root=self.as_root)
        sandbox = await self._ask(number, request, tuple(fds))
        assert isinstance(sandbox, Sandbox)
        return sandbox

    async def start_service(
        self,
        *,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str],
        output: str | os.PathLike[str],
        pidfile: str | os.PathLike[str],
    ) -> ServiceProcess:
        """Start a program that belongs to the host: no sandbox, and it outlives this process.

        Its output is appended to `output`; `pidfile` gets its pid. Raises SandboxRefused if it failed.
        """
        number = self._next()
        request = {
            "op": "service",
            "id": number,
            "argv": list(argv),
            "env": dict(env),
            "cwd": os.fspath(cwd),
            "output": os.fspath(output),
            "pidfile": os.fspath(pidfile),
        }
        started = await self._ask(number, request, ())
        assert isinstance(started, ServiceProcess)
        return started

    @property
    def in_place(self) -> bool:
        """Whether sandboxes have no file tree of their own, so that specs are made `in_place`."""
        return self.tier == "landlock-strict"

    def give(self, path: str | os.PathLike[str], slot: int) -> None:
        """Make one file or directory of a workspace the property of the slot's uid. Follows no link.

        Does nothing when the supervisor is an ordinary user: its sandboxes have its own uid.
        """
        if self.as_root:
            uid = kernel_uid(slot)
            os.chown(path, uid, uid, follow_symlinks=False)

    @property
    def busy(self) -> bool:
        """Whether it has been asked for something that it has not answered yet."""
        return bool(self._replies)

    def kill_all(self) -> None:
        """End every sandbox; each one's `wait` says when it is done. Services go on."""
        with self.together():
            for sandbox in list(self._sandboxes.values()):
                sandbox.kill()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Kills inside the block go as one request at its end: a thousand packets would not fit into the socket, and the rest
        of them would wait for the event loop."""
        if self._together is not None:
            yield
            return
        ids = self._together = []
        try:
            yield
        finally:
            self._together = None
            for start in range(0, len(ids), MAX_KILLS):
                self._request({"op": "kill_many", "ids": ids[start : start + MAX_KILLS]}, ())

    def _kill(self, number: int) -> None:
        if self._together is None:
            self._request({"op": "kill", "id": number}, ())
        else:
            self._together.append(number)

    def close(self) -> None:
        """End every sandbox and the launcher, and wait for it. Services go on."""
        if self._closed:
            return
        self._closed = True
        self._lose(SandboxRefused("the launcher was closed", step="launcher", hint="start a new one"))
        self._control.close()
        _reap(self.pid, self._pid_watch)
        os.close(self._pid_watch)
        for sandbox in list(self._sandboxes.values()):
            self._ended(sandbox, Exit(code=None, signal=signal.SIGKILL))

    def _next(self) -> int:
        self._last += 1
        return self._last

    async def _ask(self, number: int, request: Mapping[str, Any], fds: tuple[int, ...]) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._control.fileno(), self._readable)
        if self._loop is not loop:
            raise RuntimeError("this launcher belongs to another event loop")
        reply: asyncio.Future[Any] = loop.create_future()
        self._replies[number] = reply
        try:
            self._request(request, fds)
        except BaseException:
            del self._replies[number]
            raise
        return await reply

    def _request(self, request: Mapping[str, Any], fds: tuple[int, ...]) -> None:
        if self._gone is not None:
            if request["op"] in ("kill", "kill_many"):
                return
            raise self._gone
        try:
            packet: bytes = msgpack.packb(request)
        except UnicodeEncodeError as error:
            raise SandboxRefused(
                f"{error.object!r} is not text", step="request", hint="paths and words of a spec are UTF-8"
            ) from error
        if len(packet) > MAX_PACKET:
            raise SandboxRefused(
                f"a request of {len(packet)} bytes is over the launcher's {MAX_PACKET}",
                step="request",
                hint="pass a smaller environment or argument list",
            )
        if not self._unsent:
            try:
                self._transmit(packet, fds)
                return
            except BlockingIOError:
                assert self._loop is not None
                self._loop.add_writer(self._control.fileno(), self._writable)
        # The caller may close its own as soon as it is cancelled.
        self._unsent.append((packet, tuple(os.dup(fd) for fd in fds)))

    def _transmit(self, packet: bytes, fds: Sequence[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._control.sendmsg([packet], rights)
        except (BrokenPipeError, ConnectionResetError) as error:
            self._lose(_launcher_gone())
            raise _launcher_gone() from error

    def _writable(self) -> None:
        while self._unsent:
            packet, fds = self._unsent[0]
            try:
                self._transmit(packet, fds)
            except BlockingIOError:
                return
            except SandboxRefused:
                return  # every waiter has been told
            self._unsent.popleft()
            for fd in fds:
                os.close(fd)
        if self._loop is not None:
            self._loop.remove_writer(self._control.fileno())

    def _readable(self) -> None:
        while self._gone is None:
            try:
                packet, ancillary, _, _ = self._control.recvmsg(
                    MAX_PACKET, socket.CMSG_SPACE(_INT), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet, ancillary = b"", []
            if not packet:
                self._lose(_launcher_gone())
                return
            fds = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[: len(data) - len(data) % _INT])
            self._heard(msgpack.unpackb(packet), fds[0] if fds else None)

    def _heard(self, said: Mapping[str, Any], pidfd: int | None) -> None:
        if "exit" in said:
            event = said["exit"]
            sandbox = self._sandboxes.get(event["id"])
            if sandbox is not None:
                how = Exit(
                    event.get("code"),
                    event.get("signal"),
                    event.get("out_of_memory", False),
                    event["processes"],
                )
                self._ended(sandbox, how)
            return
        number = said["id"]
        reply = self._replies.pop(number, None)
        if "error" in said:
            # A kill that crossed with the end: the end is what was wanted, and is heard of by itself.
            if reply is not None and not reply.done():
                reply.set_exception(_refusal(said["error"]))
            return
        if pidfd is None:
            if reply is not None and not reply.done():
                reply.set_result(ServiceProcess(pid=said["pid"], start_time=said["start_time"]))
            return
        sandbox = Sandbox(self, number, said["pid"], pidfd)
        self._sandboxes[number] = sandbox
        if reply is None or reply.done():
            sandbox.kill()  # whoever asked for it was cancelled
        else:
            reply.set_result(sandbox)

    def _ended(self, sandbox: Sandbox, how: Exit) -> None:
        del self._sandboxes[sandbox.id]
        sandbox._end(how)

    def _lose(self, why: SandboxRefused) -> None:
        """No more requests. Sandboxes die with the launcher; each one's end is taken from the kernel."""
        if self._gone is not None:
            return
        self._gone = why
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._control.fileno())
            self._loop.remove_writer(self._control.fileno())
            for sandbox in self._sandboxes.values():
                self._loop.add_reader(sandbox.pidfd, self._confirmed, sandbox)
        for _, fds in self._unsent:
            for fd in fds:
                os.close(fd)
        self._unsent.clear()
        replies, self._replies = self._replies, {}
        for reply in replies.values():
            if not reply.done():
                reply.set_exception(why)

    def _confirmed(self, sandbox: Sandbox) -> None:
        if self._loop is not None:
            self._loop.remove_reader(sandbox.pidfd)
        if sandbox.id in self._sandboxes:
            self._ended(sandbox, Exit(code=None, signal=signal.SIGKILL))


def _launcher_gone() -> SandboxRefused:
    return SandboxRefused(
        "the launcher has ended, and every sandbox with it", step="launcher", hint="restart the supervisor"
    )


def _refusal(error: Mapping[str, Any] | None) -> SandboxRefused:
    if not error:
        return SandboxRefused(
            "the launcher ended at its start", step="launcher", hint="run queenright doctor"
        )
    return SandboxRefused(
        f"sandbox refused at step `{error['step']}`: {error['message']}",
        step=error["step"],
        errno=error["errno"],
        hint=error["hint"],
    )


def _reap(pid: int, pidfd: int | None = None) -> None:
    """Wait for the launcher, which ends by itself when its socket is closed; kill it if it does not."""
    watch = os.pidfd_open(pid) if pidfd is None else pidfd
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        if not poll.poll(CLOSE_SECONDS * 1000):
            signal.pidfd_send_signal(watch, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    finally:
        if pidfd is None:
            os.close(watch)
