"""The SRE swarm's agents, in a real cell process, on the real shop: found, sized, healed and scaled back.

The supervisor's place is taken by `queenright.testing`; acts are done here, plainly. What is asserted is the agents' own
behaviour: the pieces they got, what they read, whom they asked.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import queenright.demo
from queenright.actions.prometheus import parse
from queenright.authority.intent_toml import parse_intent
from queenright.clock import SystemClock
from queenright.core import canonical, decode
from queenright.demo.sre.pieces import SMALL_TOTAL
from queenright.demo.texts import MAX_AGENTS, intent_text
from queenright.errors import Denied, QueenrightError
from queenright.testing.loopback import Loopback
from queenright.testing.runtime import AgentRecord, Pending, Runtime

from .test_demo_shop import Running

CLASSES = ["Watcher", "Commander", "MetricAgent", "LogAgent", "Remedy"]
DEADLINE = 45.0


class Silent(QueenrightError):
    code = "unreachable"


class World:
    """Does the acts on the real shop. `held`: an act that waits for a person, until `answer`."""

    def __init__(self, shop: Running) -> None:
        self.shop = shop
        self.births: list[tuple[str, dict[str, Any]]] = []
        self.done: list[tuple[str, str]] = []
        self.held: list[tuple[AgentRecord, int, dict[str, Any]]] = []

    def births(self, parent: AgentRecord, members: Any, request: dict[str, Any]) -> None:
        raise AssertionError("the demo's agents are born one by one")

    def birth(self, parent: AgentRecord, child: Any, request: dict[str, Any]) -> None:
        self.births.append((child.behaviour, request["grant"]))

    def act(self, agent: AgentRecord, ordinal: int, request: dict[str, Any]) -> Any:
        verb, resource, args = request["verb"], request["resource"], request["args"]
        process = resource.rpartition("/")[2]
        if verb == "metrics.read":
            try:
                text = self.shop.page(process)
            except OSError as error:
                raise Silent(str(error)) from None
            return {"samples": [list(one) for one in parse(text) if one.value < float("inf")], "cut": False}
        if verb == "logs.read":
            data = self.shop.shop.log(process).read_bytes()[args["offset"] :]
            whole = data[: data.rfind(b"\n") + 1]
            end = args["offset"] + len(whole)
            return {"text": whole.decode(), "offset": args["offset"], "next": end, "size": end, "file": 1}
        if verb == "db.session.kill":
            self.held.append((agent, ordinal, args))
            raise Pending
        self.done.append((verb, resource))
        return self.remedy(verb, process, args)

    def remedy(self, verb: str, process: str, args: dict[str, Any]) -> Any:
        root = self.shop.shop.root
        if verb == "release.rollback":
            (root / "current.new").symlink_to("releases/v1")
            (root / "current.new").replace(root / "current")
        else:
            raise AssertionError(verb)
        return {}


class Swarm:
    """The swarm under test."""

    def __init__(self, loop: Loopback, world: World) -> None:
        self.loop, self.world, self.runtime = loop, world, loop.runtime
        path = str(Path(queenright.demo.__file__).parent / "sre")
        self.cell = loop.open_cell(
            [{"name": "sre", "digest": bytes(32), "path": path, "classes": CLASSES, "bundle": False}]
        )
        assert self.cell.fault == ""
        args = dict(parse_intent(intent_text("1m")).args)
        self.watcher = self.runtime.first("sre.Watcher", bytes(32), "sre/watcher", args)
        self.runtime.host(self.watcher, self.cell)
        self.mark()

    def mark(self) -> None:
        """A new story begins: what was said and done until now is not its own."""
        self.peak, self.incident = 1, self.incidents() + 1
        self._old = {agent.id: len(agent.logs) for agent in self.runtime.agents.values()}
        self._gone = set(self.runtime.agents) - {self.watcher.id}
        self.world.births, self.world.done, self.world.held = [], [], []

    def incidents(self) -> int:
        return int(decode(self.watcher.state)["incidents"]) if self.watcher.state else 0

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            self.peak = max(self.peak, len(self.alive()))
            faults = [error for agent in self.runtime.agents.values() for error in agent.errors]
            assert not faults, faults
            return condition()

        self.loop.until(look, what, DEADLINE)

    def wait(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > limit, "time to pass")

    def alive(self) -> list[AgentRecord]:
        """Whose whole line is alive: the supervisor ends a subtree with its root, the runtime of this test does not."""
        agents = self.runtime.agents

        def lives(agent: AgentRecord) -> bool:
            return not agent.ended and (agent.parent not in agents or lives(agents[agent.parent]))

        return [agent for agent in agents.values() if lives(agent)]

    def of(self, behaviour: str) -> list[AgentRecord]:
        found = [agent for agent in self.runtime.agents.values() if agent.id not in self._gone]
        return [agent for agent in found if agent.behaviour == f"sre.{behaviour}"]

    def said(self, words: str, behaviour: str = "Watcher") -> bool:
        return any(
            words in text
            for agent in self.of(behaviour)
            for _, text in agent.logs[self._old.get(agent.id, 0) :]
        )

    def healed(self) -> bool:
        return self.said(f"incident {self.incident}: healed")

    def learnt(self) -> bool:
        state = decode(self.watcher.state) if self.watcher.state else {}
        return len(state.get("baseline", [])) >= 5

    def investigated(self) -> list[dict[str, Any]]:
        """The pieces that were handed out, as the messages said them."""
        sent = [entry for agent in self.of("Commander") for entry in agent.sent]
        return [decode(body) for _, kind, body in sent if kind == "sre.Investigate" and body is not None]

    def findings(self) -> list[dict[str, Any]]:
        agents = [*self.of("MetricAgent"), *self.of("LogAgent")]
        sent = [entry for agent in agents for entry in agent.sent]
        return [decode(body) for _, kind, body in sent if kind == "sre.Finding" and body is not None]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("swarm") / "shop")
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def watching(shop: Running) -> Iterator[Swarm]:
    """A swarm whose watcher knows what is normal."""
    world = World(shop)
    shop.wait(2, lambda s: s["bad"] == 0 and s["sent"] > 20)
    runtime = Runtime(world, os.urandom, SystemClock())  # type: ignore[arg-type]
    with Loopback(runtime) as loop:
        found = Swarm(loop, world)
        found.until(found.learnt, "the watcher to know what is normal")
        yield found


@pytest.fixture
def swarm(watching: Swarm) -> Swarm:
    assert watching.alive() == [watching.watcher]
    watching.mark()
    return watching


def check_pieces(swarm: Swarm) -> None:
    """No two pieces alike, nobody who read nothing, and nobody who may do more than its piece."""
    pieces = Counter(canonical(piece) for piece in swarm.investigated())
    assert pieces
    assert max(pieces.values()) == 1
    findings = swarm.findings()
    assert len(findings) == len(pieces)
    assert all(finding["read"] > 0 for finding in findings), findings
    for behaviour, grant in swarm.world.births:
        if behaviour in ("sre.MetricAgent", "sre.LogAgent", "sre.Remedy"):
            assert len(grant["exercise"]) == 1
            assert grant["delegate"] == []
            assert (grant["depth"], grant["agents"]) == (0, 0)


def test_a_small_fault_is_healed_alone_by_at_most_six(swarm: Swarm, shop: Running) -> None:
    shop.inject("bad-release")
    swarm.until(swarm.healed, "the incident to be healed")
    swarm.until(lambda: swarm.alive() == [swarm.watcher], "the swarm to scale back")
    assert swarm.world.done == [("release.rollback", "svc:shop/web")]
    assert swarm.said("severity small", "Commander")
    assert swarm.peak <= SMALL_TOTAL
    assert swarm.world.held == []
    check_pieces(swarm)


def test_a_severe_fault_gets_forty_and_asks_for_what_cannot_be_undone(swarm: Swarm, shop: Running) -> None:
    injector = shop.inject("stuck-sessions")
    swarm.until(lambda: bool(swarm.world.held), "somebody to ask")
    agent, ordinal, args = swarm.world.held[0]
    assert agent.behaviour == "sre.Remedy"
    asks = [
        rule
        for behaviour, grant in swarm.world.births
        if behaviour == "sre.Remedy"
        for rule in grant["exercise"]
    ]
    assert [(rule["mode"], rule["verbs"]) for rule in asks] == [("ask", ["db.session.kill"])]
    swarm.wait(2)
    assert swarm.world.done == []
    assert injector.poll() is None
    shop.admin("edge", "POST", "sessions/kill", args)
    assert agent.turn is not None
    swarm.runtime.finish(agent, agent.turn.number, ordinal, {"killed": True})
    swarm.until(swarm.healed, "the incident to be healed")
    swarm.until(lambda: swarm.alive() == [swarm.watcher], "the swarm to scale back")
    assert injector.wait(10) == 0
    assert swarm.said("severity severe", "Commander")
    assert 40 <= swarm.peak <= MAX_AGENTS
    check_pieces(swarm)


def test_a_denied_ask_ends_truthfully_and_is_not_asked_again(swarm: Swarm, shop: Running) -> None:
    injector = shop.inject("stuck-sessions")
    try:
        swarm.until(lambda: bool(swarm.world.held), "somebody to ask")
        agent, ordinal, _ = swarm.world.held[0]
        assert agent.turn is not None
        denied = Denied("leave it", verb="db.session.kill", resource="db:shop/main", reason="ask_denied")
        swarm.runtime.finish(agent, agent.turn.number, ordinal, None, denied)
        swarm.until(
            lambda: swarm.said(f"incident {swarm.incident}: denied: leave it: not healed"), "the truth"
        )
        swarm.until(lambda: swarm.alive() == [swarm.watcher], "the swarm to scale back")
        swarm.wait(7)
        assert len(swarm.world.held) == 1
        assert len(swarm.of("Commander")) == 1
    finally:
        injector.kill()
        injector.wait()
    swarm.until(lambda: swarm.said("healthy again"), "the watcher to see that it passed")
