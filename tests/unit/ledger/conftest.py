"""A ledger over a real store, and the story of one healed incident to put in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from queenright.clock import ManualClock
from queenright.core import SigningKey, canonical, digest
from queenright.core.operator import OperatorKey
from queenright.ledger import (
    Action,
    Agent,
    Blobs,
    Certificate,
    Entry,
    Evidence,
    Ledger,
    Operator,
    Report,
    Result,
    Signed,
    Supervisor,
    export,
    verify_directory,
)
from queenright.store import Store

ORIGIN = "testhost/0a1b2c/ledger"


def counting_rand() -> Callable[[int], bytes]:
    count = 0

    def rand(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(count.to_bytes(8, "big")).digest(length)

    return rand


def id_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Desk:
    """Everything one ledger needs, in one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.log_key = SigningKey.from_seed(bytes(range(32)))
        self.runtime_key = SigningKey.from_seed(bytes(range(1, 33)))
        self.ana = OperatorKey.generate(bytes(range(2, 34)), "ana@ops")
        self.operator = Operator(self.ana.fingerprint, "ana")
        self.evidence = Evidence(path / "evidence")
        self.blobs = Blobs(path / "blobs", bytes(32), rand=counting_rand())
        (path / "store").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.open()

    def open(self, key: SigningKey | None = None, *, locked: bool = False, origin: str = ORIGIN) -> None:
        self.store = Store.open(self.path / "store", bytes(32), rand=counting_rand())
        wanted = None if locked else key or self.log_key
        try:
            self.ledger = Ledger(self.path / "ledger", self.store, wanted, origin, self.clock)
        except BaseException:
            self.store.close()
            raise

    def close(self) -> None:
        self.ledger.close()
        self.store.close()

    def reopen(self, **how: Any) -> None:
        self.close()
        self.open(**how)

    def crash(self, **how: Any) -> None:
        """As after kill -9: nothing is signed or closed in order; then a new start."""
        self.ledger._entries.close()
        self.ledger._closed = True
        self.store.close()
        self.open(**how)

    def commit(self, *entries: Entry) -> None:
        self.store.commit(*(self.ledger.entry(entry) for entry in entries))
        self.ledger.flush(sign=True)

    def write(self, count: int) -> None:
        for number in range(count):
            self.commit(Entry("cell.started", number, Supervisor(), facts={"cell": f"cell-{number}"}))

    def signed(self, namespace: str, document: bytes) -> Signed:
        name = self.evidence.put(document)
        return Signed(namespace, name, self.ana.fingerprint, self.ana.sign(namespace, document))

    def story(self) -> list[Entry]:
        """One intent, one agent, an act within its grant, an ask, a verdict, the act under it."""
        runtime = self.runtime_key.public_key
        agent, lease, ask = (id_of(name) for name in ("agent", "lease", "ask"))
        intent_bytes = canonical({"v": 1, "kind": "intent", "runtime": runtime, "purpose": "incident 4711"})
        verdict_bytes = canonical(
            {"v": 1, "kind": "verdict", "runtime": runtime, "answer": "once", "asks": [ask], "max_uses": 1}
        )
        intent, verdict = digest("intent", intent_bytes), digest("verdict", verdict_bytes)
        parent, grant = Agent(id_of("watcher"), "sre", 1, "cell-1", False), agent
        birth = canonical({"v": 1, "agent": "sre/remedy"})
        actor = Agent(agent, "sre/remedy", 1, "cell-1", False)
        base = Entry("action.started", 5_000, actor, intent=intent, grant=grant, lease=lease)
        restart = self.action("restart", "svc.restart", "svc:shop/web", undo=id_of("undo"))
        kill = self.action(
            "kill", "db.session.kill", "db:shop/main", undo="none: a session cannot be brought back"
        )
        done = Result("done", "ok", id_of("output"), 12)
        certificate = Certificate(self.runtime_key.public_key, birth, self.runtime_key.sign(birth))
        asked = Entry(
            "ask.raised", 6_000, actor, intent=intent, grant=grant, ask=ask, action=kill, cause=restart.id
        )
        return [
            Entry("supervisor.started", 1_000, Supervisor(), facts={"runtime": runtime.hex()}),
            Entry("intent.applied", 2_000, self.operator, intent=intent,
                  signed=self.signed("intent@queenright.v1", intent_bytes)),
            Entry("agent.born", 3_000, parent, intent=intent, agent=agent, grant=grant, certificate=certificate),
            Entry("lease.issued", 4_000, actor, intent=intent, grant=grant, lease=lease),
            replace(base, action=restart, blobs=(self.blobs.put("args", b"{}"),)),
            replace(base, kind="action.done", t_ms=5_100, action=restart, result=done),
            asked,
            Entry("ask.decided", 7_000, self.operator, intent=intent, ask=ask, verdict=verdict,
                  signed=self.signed("approve@queenright.v1", verdict_bytes), facts={"answer": "once"}),
            replace(base, t_ms=8_000, action=kill, ask=ask, verdict=verdict, lease=None),
            replace(base, kind="action.done", t_ms=8_100, action=kill, ask=ask, verdict=verdict, lease=None, result=done),
        ]  # fmt: skip

    def action(self, name: str, verb: str, resource: str, undo: bytes | str = "none") -> Action:
        return Action(
            id=id_of(name),
            verb=verb,
            resource=resource,
            reversibility="none" if isinstance(undo, str) else "compensate",
            manifest=id_of("manifest"),
            args=id_of("args"),
            plan=id_of("plan"),
            undo=undo,
            cost=1,
        )

    def note(self) -> bytes:
        published = self.ledger.checkpoint()
        assert published is not None
        return published[1]

    def vkey(self) -> str:
        assert self.ledger.vkey is not None
        return self.ledger.vkey

    def export(self, name: str = "copy") -> Path:
        export(self.ledger, self.evidence, self.path / name)
        return self.path / name

    def verify(self, path: Path, checkpoint: bytes | None) -> Report:
        return verify_directory(path, self.vkey(), checkpoint, [self.ana.public_line])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose story is told; tests of this fixture only read it."""
    made = Desk(tmp_path_factory.mktemp("told"))
    made.commit(*made.story())
    yield made
    made.close()
