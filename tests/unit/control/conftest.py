"""A control server over a service and a gate that remember what they were asked."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from queenright.authority.operators import EVERYTHING, FIRST, Operators, Person
from queenright.clock import ManualClock
from queenright.control.frames import to_frame, to_map
from queenright.control.hub import Hub
from queenright.control.server import Server
from queenright.control.service import SignedOrder, Violation
from queenright.core import parse_key_line
from queenright.core.operator import OperatorKey
from queenright.errors import Conflict, LedgerUnwritable, NotEntitled

RUNTIME = bytes(range(32))
ANA, BO, EVE = 1, 2, 3
AGENT = "agent-" + "ab" * 32


class MemorySigner:
    """A key held here, as a FileSigner holds it."""

    where = "memory"

    def __init__(self, number: int) -> None:
        self.private = OperatorKey.generate(bytes([number]) * 32, f"person-{number}")
        self.key = parse_key_line(self.private.public_line)
        self.signed = 0

    def sign(self, namespace: str, message: bytes) -> str:
        self.signed += 1
        return self.private.sign(namespace, message)

    def close(self) -> None:
        pass


class FakeGate:
    """Ana (an owner) and Bo are enrolled. Spending is remembered as the store would."""

    def __init__(self) -> None:
        keys = [MemorySigner(number).key.line for number in (ANA, BO)]
        rights = {"intents": EVERYTHING, "approvals": EVERYTHING, "undo": EVERYTHING}
        people = tuple(
            Person(name, (line,), **rights) for name, line in zip(("ana", "bo"), keys, strict=True)
        )
        self.document = Operators(RUNTIME, 1, FIRST, 1, (keys[0],), people)
        self.revision = b"r" * 32
        self.spent: set[bytes] = set()
        self.forbidden: set[str] = set()

    def operators(self) -> Operators:
        return self.document

    def remove(self, name: str) -> None:
        left = tuple(person for person in self.document.people if person.name != name)
        self.document = Operators(RUNTIME, 2, FIRST, 1, (left[0].keys[0],), left)

    def policy_revision(self) -> bytes:
        return self.revision

    def entitle(self, operator: Any, method: str, params: dict[str, Any], now_ms: int) -> None:
        if method in self.forbidden:
            raise NotEntitled(f"{operator.name} may not {method}")

    async def spend(self, order: SignedOrder, operator: Any, method: str) -> None:
        if order.order.nonce in self.spent:
            raise Conflict("the order was spent before")
        self.spent.add(order.order.nonce)

    def distance(self, operator: Any) -> str:
        return "none"


class FakeService:
    """Answers every method with what a test put into `answers`: a value, an exception, or a coroutine function."""

    def __init__(self) -> None:
        self.is_locked = False
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        done = {"count": 1, "leaf": 7, "unacked": 0}
        self.answers: dict[str, Any] = {
            "status": {"policy_revision": b"r" * 32},
            "health": {"agents": 3},
            "resolve": {"kind": "agent", "id": AGENT, "name": "sre/logs/07"},
        } | {name: done for name in ("revoke", "freeze", "pause", "stop", "unfreeze", "resume", "down")}

    def locked(self) -> bool:
        return self.is_locked

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def answer(caller: Any, **params: Any) -> Any:
            self.calls.append((name, caller, params))
            found = self.answers.get(name)
            if isinstance(found, Exception):
                raise found
            if callable(found):
                found = found(caller, **params)
                return await found if asyncio.iscoroutine(found) else found
            return found

        return answer

    def called(self, name: str) -> list[dict[str, Any]]:
        return [params for called, _, params in self.calls if called == name]


class World:
    """One server and everything behind it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run" / "control.sock"
        self.clock = ManualClock()
        self.gate = FakeGate()
        self.service = FakeService()
        self.hub = Hub()
        self.violations: list[Violation] = []
        self.server = self.new_server()

    def new_server(self) -> Server:
        counter = itertools.count(1)
        return Server(
            self.path,
            service=self.service,
            gate=self.gate,
            hub=self.hub,
            runtime=RUNTIME,
            version="0.0-test",
            clock=self.clock,
            rand=lambda size: next(counter).to_bytes(size, "big"),
            violated=self.record,
        )

    async def record(self, violation: Violation) -> None:
        self.violations.append(violation)


class Raw:
    """A client that sends whatever a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, message: dict[str, Any] | bytes) -> None:
        self.writer.write(message if isinstance(message, bytes) else to_frame(message))
        await self.writer.drain()

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            length = int.from_bytes(await self.reader.readexactly(4), "big")
            return to_map(await self.reader.readexactly(length))

    async def closed(self) -> bool:
        """Whether the server has closed this connection; waits until it has."""
        async with asyncio.timeout(10):
            while await self.reader.read(65536):
                pass
        return True


@asynccontextmanager
async def raw(world: World) -> AsyncIterator[Raw]:
    client = Raw(*await asyncio.open_unix_connection(str(world.path)))
    try:
        yield client
    finally:
        client.writer.close()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds; a test that waits in vain fails after 10 s."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose socket path always fits; pytest's own may be too long."""
    with tempfile.TemporaryDirectory(prefix="qr-") as name:
        yield Path(name)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with short_directory() as directory:
        world = World(directory)
        await world.server.start()
        yield world
        await world.server.close()


@pytest.fixture
def served() -> Iterator[World]:
    """The same, on a loop in another thread, for blocking clients."""
    with short_directory() as directory:
        world = World(directory)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(world.server.start(), loop).result(10)
            world.loop = loop
            yield world
            asyncio.run_coroutine_threadsafe(world.server.close(), loop).result(10)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


@pytest.fixture
def kit() -> Any:
    """The helpers of this file, for tests to use."""

    class Kit:
        runtime = RUNTIME
        agent = AGENT
        signer = staticmethod(MemorySigner)
        raw = staticmethod(raw)
        until = staticmethod(until)
        short_directory = staticmethod(short_directory)
        world = World
        ana, bo, eve = ANA, BO, EVE

    return Kit


@pytest.fixture
def cli(
    served: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs one command line against the served supervisor as Ana; gives (exit code, stdout, stderr)."""
    from queenright.cli.app import run_command_line

    key = tmp_path / "ana"
    key.write_text(MemorySigner(ANA).private.to_openssh(None, None))
    key.chmod(0o600)
    for name in ("SSH_AUTH_SOCK", "QUEENRIGHT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUEENRIGHT_STATE", str(served.path.parent.parent))
    monkeypatch.setenv("QUEENRIGHT_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("QUEENRIGHT_KEY", str(key))
    monkeypatch.setattr("queenright.cli.run.SystemClock", lambda: served.clock)
    served.service.answers.setdefault("ledger_checkpoint", LedgerUnwritable("no checkpoint yet"))

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_command_line(args)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call
