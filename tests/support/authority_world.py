"""A supervisor's authority over a real store, with a clock that stands still and keys made for the test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from queenright.authority.ask import Wish
from queenright.authority.asks import Asks, Present
from queenright.authority.document import APPROVE, INTENT, OPERATORS, ORDER
from queenright.authority.grants import Grants
from queenright.authority.intent import Amends, Intent
from queenright.authority.intent_toml import parse_intent
from queenright.authority.intents import Intents, Standing
from queenright.authority.leases import Leases
from queenright.authority.operators import EVERYTHING, FIRST, Operators, Person, Right
from queenright.authority.timekeeper import Timekeeper
from queenright.authority.verdict import Verdict
from queenright.clock import ManualClock
from queenright.core.operator import OperatorKey
from queenright.store import Store

RUNTIME = bytes([7]) * 32
PACKAGES = {"sre": bytes([9]) * 32}
NAMESPACES = {"intent": INTENT, "approve": APPROVE, "order": ORDER, "operators": OPERATORS}

HEAD = """
[intent]
purpose = "incident 4711: payments p99"
swarm = "sre"
for = "2h"
depth = 3
max_agents = 5

[run]
start = "sre.Watcher"
packages = ["sre"]
"""
RULES = """
[[allow]]
do = ["logs.read", "metrics.read"]
on = "svc:payments/**"

[[allow]]
do = ["svc.restart"]
on = "svc:payments"
max = 2

[[ask]]
do = ["db.write", "db.session.kill"]
on = "pg:payments/*"
answer_within = "10m"

[[never]]
do = ["secret.reveal"]
"""


def bytes_source(seed: int = 0) -> Callable[[int], bytes]:
    """Different bytes at each call, the same at each run."""
    count = seed * 1_000_000

    def rand(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(count.to_bytes(8, "big")).digest(size)

    return rand


def agent_id(number: int) -> bytes:
    return hashlib.sha256(b"agent %d" % number).digest()


KEYS = {
    name: OperatorKey.generate(hashlib.sha256(name.encode()).digest(), name)
    for name in ("ana", "ben", "cleo", "dan")
}


def sign(name: str, kind: str, message: bytes) -> str:
    return KEYS[name].sign(NAMESPACES[kind], message)


def person(name: str, **facts: object) -> Person:
    rights: dict[str, object] = {"intents": EVERYTHING, "approvals": EVERYTHING, "undo": EVERYTHING}
    return Person(name, (KEYS[name].public_line,), **rights | facts)  # type: ignore[arg-type]


def operators(*people: Person, owner: str = "ana", now_ms: int = 0) -> Operators:
    found = people or (
        person("ana"),
        person("ben", groups=("oncall-db",)),
        person("cleo", groups=("oncall-db",)),
        person("dan", approvals=(Right(("svc.*",), "svc:**"),), intents=()),
    )
    return Operators(RUNTIME, 1, FIRST, now_ms, (KEYS[owner].public_line,), found)


class World:
    """Everything of the authority room over one store directory; `restart` is a new process on it."""

    def __init__(self, path: Path, clock: ManualClock | None = None) -> None:
        self.path = path
        self.clock = clock or ManualClock()
        self.rand = bytes_source()
        self.operators = operators()
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.path, bytes(32))
        self.time = Timekeeper(self.clock, self.store)
        now = self.time.now_ms
        self.grants = Grants(self.store, now)
        self.grants.load()
        self.intents = Intents(self.store, now, RUNTIME)
        self.intents.load()
        self.asks = Asks(self.store, self.grants, now, self.random, RUNTIME)
        self.asks.load()
        self.leases = Leases(self.store, self.grants, now, self.random)
        self.store.commit(self.leases.load())

    def random(self, size: int) -> bytes:
        """What the parts draw from; a test may set `rand`."""
        return self.rand(size)

    def restart(self) -> None:
        """As after kill -9: nothing but the store is left."""
        self.store.close()
        self.open()

    def intent(self, text: str = HEAD + RULES, amends: Amends | None = None) -> Intent:
        draft = parse_intent(text)
        return draft.compile(
            runtime=RUNTIME, packages=PACKAGES, now_ms=self.clock.wall_ms(), rand=self.rand, amends=amends
        )

    def apply(self, text: str = HEAD + RULES, signer: str = "ana", spawner: str = "ana") -> Standing:
        """An intent in force, with its first agent, `agent_id(0)`."""
        document = self.intent(text).encode()
        signature = sign(signer, "intent", document)
        standing, applied = self.intents.apply(
            document, signature, self.operators, PACKAGES, spawner, agent_id(0)
        )
        founded = self.grants.found(standing.intent)
        first = self.grants.first(standing.intent, agent_id(0), "sre/watcher")
        self.store.commit(applied, founded, first)
        return standing

    def amend(self, standing: Standing, text: str, signer: str = "ana") -> Standing:
        before = standing.intent
        document = self.intent(text, Amends(before.id, before.revision + 1, before.digest)).encode()
        after, change = self.intents.amend(
            document, sign(signer, "intent", document), self.operators, PACKAGES
        )
        self.store.commit(change, self.grants.amend(after.intent, agent_id(0)))
        return after

    def wish(self, agent: bytes | None = None, **facts: object) -> Wish:
        base: dict[str, object] = {
            "agent": agent or agent_id(0),
            "verb": "db.session.kill",
            "resource": "pg:payments/main",
            "args": {"sessions": [11, 12, 13]},
            "manifest": b"m" * 32,
            "precondition": {"started": "08:00"},
            "plan": b"p" * 32,
            "undo": b"u" * 32,
            "dry_run": b"",
            "policy": b"y" * 32,
            "risk": "CRITICAL",
            "reason": "they hold the lock",
        }
        return Wish(**base | facts)  # type: ignore[arg-type]

    def present(self, standing: Standing, wish: Wish) -> Present:
        return Present(wish, self.intents.get(standing.intent.id), self.operators)

    def decide(self, verdict: Verdict, signer: str = "ben") -> None:
        document = verdict.encode()
        _, change = self.asks.decide(
            document, sign(signer, "approve", document), self.operators, self.intents.get
        )
        self.store.commit(change)
