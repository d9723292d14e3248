"""The feed over the real client and the real control server: listing, events, a lost connection, and what is signed."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_feed import FakeFeed, agent_row, hex_id

from queenright.authority.operators import EVERYTHING, FIRST, Operators, Person
from queenright.authority.verdict import Verdict
from queenright.cli.terminal import verdict_bytes
from queenright.clock import ManualClock
from queenright.control.client import AsyncClient
from queenright.control.hub import Hub, Subscription
from queenright.control.server import Server
from queenright.core import canonical, digest, parse_key_line, verify_sshsig
from queenright.core.operator import OperatorKey
from queenright.errors import Malformed, NoSupervisor, NotEntitled, StaleVerdict
from queenright_tui.client_feed import ClientFeed
from queenright_tui.feed import Approval, Changed, Heard, LinkDown, LinkUp, Listed, Listing, Rows, Verified

RUNTIME = bytes(range(32))


class Key:
    where = "a test"

    def __init__(self, number: int) -> None:
        self.private = OperatorKey.generate(bytes([number]) * 32, f"person-{number}")
        self.key = parse_key_line(self.private.public_line)
        self.closed = False

    def sign(self, namespace: str, message: bytes) -> str:
        return self.private.sign(namespace, message)

    def close(self) -> None:
        self.closed = True


class Gate:
    def __init__(self) -> None:
        line = Key(1).key.line
        ana = Person("ana", (line,), intents=EVERYTHING, approvals=EVERYTHING, undo=EVERYTHING)
        self.document = Operators(RUNTIME, 1, FIRST, 1, (line,), (ana,))

    def operators(self) -> Operators:
        return self.document

    def policy_revision(self) -> bytes:
        return bytes(32)

    def entitle(self, operator: Any, method: str, params: dict[str, Any], now_ms: int) -> None: ...

    async def spend(self, order: Any, operator: Any, method: str) -> None: ...

    def distance(self, operator: Any) -> str:
        return "uid"


class Service:
    """Answers from the same shop as the fake feed; remembers every call."""

    def __init__(self) -> None:
        self.shop = FakeFeed()
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def locked(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def answer(caller: Any, **params: Any) -> Any:
            self.calls.append((name, caller, params))
            if name in self.answers:
                found = self.answers[name]
                if isinstance(found, Exception):
                    raise found
                return found
            return await self._usual(name, params)

        return answer

    async def _usual(self, name: str, params: dict[str, Any]) -> Any:
        shop = self.shop
        match name:
            case "status":
                return shop.status()
            case "intents":
                return shop.intents
            case "agents":
                at = int(params.get("after") or 0)
                more = at + 3 < len(shop.agents)
                return {"rows": shop.agents[at : at + 3], "next": str(at + 3) if more else None}
            case "asks":
                return {"rows": [d["row"] for d in shop.asks.values()], "next": None}
            case "ask":
                return shop.asks[params["ask"]]
            case "ledger":
                return {"rows": shop.leaves, "next": None, "size": 140}
            case "undo_preview":
                return await shop.undo_preview(params["target"])
            case "undo":
                return {"target": params["target"], "done": [params["target"]], "failed": [], "leaf": 9}
            case "ask_decide":
                return {"ask": "ask-x", "state": "approved", "leaf": 8}
        return {"count": 1, "leaf": 7, "unacked": 0}

    def called(self, name: str) -> list[dict[str, Any]]:
        return [params for called, _, params in self.calls if called == name]


class World:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "run" / "control.sock"
        self.clock, self.service, self.hub, self.gate = ManualClock(), Service(), Hub(), Gate()
        self.server = self.new_server()
        self.slept: list[float] = []
        self.feed = ClientFeed(
            self.connect, self.clock, make_verdict=verdict_bytes, verify_ledger=self.verify, sleep=self.sleep
        )
        self.heard: list[Heard] = []
        self.key = Key(1)
        self.listening: asyncio.Task[None] | None = None

    def new_server(self) -> Server:
        counter = itertools.count(1)
        return Server(
            self.path, service=self.service, gate=self.gate, hub=self.hub, runtime=RUNTIME, version="0",
            clock=self.clock, rand=lambda size: next(counter).to_bytes(size, "big"), violated=self.violated,
        )  # fmt: skip

    async def violated(self, violation: Any) -> None:
        raise AssertionError(violation)

    async def connect(self) -> AsyncClient:
        client = AsyncClient(self.path, clock=self.clock)
        await client.connect()
        await client.prove(self.key)
        client.signer_again = lambda: Key(1)
        return client

    async def verify(self, client: AsyncClient) -> Verified:
        return Verified(client.connected, True, 1, bytes(32), "checked here")

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def listen(self) -> None:
        async def run() -> None:
            async for heard in self.feed.events():
                self.heard.append(heard)

        self.listening = asyncio.create_task(run())

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                if self.listening is not None and self.listening.done():
                    self.listening.result()
                await asyncio.sleep(0.001)

    def listed(self, topic: str) -> int:
        return sum(1 for heard in self.heard if heard == Listed(topic))  # type: ignore[arg-type]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="qr-") as name:
        world = World(Path(name))
        await world.server.start()
        yield world
        if world.listening is not None:
            world.listening.cancel()
            await asyncio.gather(world.listening, return_exceptions=True)
        await world.feed.close()
        await world.server.close()


async def attached(world: World) -> None:
    world.listen()
    await world.until(lambda: world.listed("ledger") == 1)


async def test_attaching_lists_everything_page_by_page(world: World) -> None:
    await attached(world)
    assert isinstance(world.heard[0], LinkUp)
    assert world.heard[0].whoami["operator"] == "ana"
    agents = [
        row["id"]
        for heard in world.heard
        if isinstance(heard, Rows) and heard.topic == "agents"
        for row in heard.rows
    ]
    assert agents == [row["id"] for row in world.service.shop.agents]
    for topic in ("intents", "agents", "asks", "ledger"):
        begin, end = world.heard.index(Listing(topic)), world.heard.index(Listed(topic))  # type: ignore[arg-type]
        assert begin < end
    assert world.service.called("asks")[0]["state"] == "open"


async def test_events_arrive_and_a_resync_lists_again(world: World) -> None:
    await attached(world)
    row = agent_row("new")
    world.hub.publish("agents", row, key=row["id"])
    await world.until(lambda: Changed("agents", row) in world.heard)
    for number in range(10_000):
        world.hub.publish("ledger", {"index": number}, key=None)
    await world.until(lambda: world.listed("ledger") == 2)


async def test_the_log_of_one_agent_is_watched_with_the_rest(world: World) -> None:
    await attached(world)
    agent = hex_id("agent", "remedy-2")
    world.feed.watch_log(agent)
    await world.until(lambda: world.feed._watching is not None and world.feed._watching.done())
    line = {"seq": 1, "at_ms": 1, "stream": "log", "text": "x"}
    world.hub.publish(f"log:{agent}", line, key=None)
    await world.until(lambda: Changed(f"log:{agent}", line) in world.heard)


async def test_opening_a_log_loses_no_event_that_was_waiting() -> None:
    hub, watcher = Hub(), Subscription(asyncio.Event())
    hub.watch(watcher, ["asks", "status"])
    hub.publish("asks", {"id": "ask-1"}, key="ask-1")
    hub.publish("status", {"agents": 3})
    hub.watch(watcher, ["asks", f"log:{hex_id('agent', 'remedy-2')}"])
    assert [event["data"] for event in watcher.take()] == [{"id": "ask-1"}]


async def test_a_restart_of_the_supervisor_is_survived_and_everything_listed_anew(world: World) -> None:
    await attached(world)
    await world.server.close()
    await world.until(lambda: any(isinstance(heard, LinkDown) for heard in world.heard))
    with pytest.raises(NoSupervisor):
        await world.feed.ask("ask-x")
    await world.until(lambda: len(world.slept) >= 3)
    assert world.slept == sorted(world.slept), "each wait is as long as the one before, or longer"
    world.server = world.new_server()
    await world.server.start()
    await world.until(lambda: world.listed("ledger") == 2)
    assert [type(heard) for heard in world.heard if isinstance(heard, LinkUp | LinkDown)][-1] is LinkUp


async def test_a_key_that_is_not_let_in_ends_the_feed(world: World) -> None:
    world.key = Key(9)
    world.listen()
    assert world.listening is not None
    with pytest.raises(NotEntitled):
        async with asyncio.timeout(20):
            await world.listening


async def test_what_is_signed_is_a_verdict_over_exactly_the_bytes_that_were_drawn(world: World) -> None:
    await attached(world)
    detail = world.service.shop.flag
    opened = await world.feed.ask(detail["row"]["id"])
    assert opened.digest == digest("ask", detail["bytes"])
    signer = Key(1)
    world.feed.arm(signer)
    await world.feed.approve(Approval(opened, "once", None, 1, opened.not_after - 1000, False))
    [sent] = world.service.called("ask_decide")
    verify_sshsig(signer.key.line, "approve@queenright.v1", sent["verdict"], sent["signature"])
    verdict = Verdict.decode(sent["verdict"])
    assert verdict.asks == (opened.digest,)
    assert (verdict.answer, verdict.max_uses, verdict.factor) == ("once", 1, "uid")
    assert verdict.not_after == opened.not_after - 1000
    assert verdict.runtime == opened.body["runtime"]


async def test_nothing_is_given_without_an_armed_key_and_disarming_wipes_it(world: World) -> None:
    await attached(world)
    opened = await world.feed.ask(world.service.shop.flag["row"]["id"])
    approval = Approval(opened, "once", None, 1, opened.not_after, False)
    with pytest.raises(NotEntitled):
        await world.feed.approve(approval)
    with pytest.raises(NotEntitled):
        await world.feed.give("resume", "agent-" + "0" * 64)
    signer = Key(1)
    world.feed.arm(signer)
    world.feed.disarm()
    assert signer.closed
    with pytest.raises(NotEntitled):
        await world.feed.approve(approval)
    assert not world.service.called("ask_decide")
    assert not world.service.called("resume")


async def test_only_the_sessions_own_key_can_be_armed(world: World) -> None:
    await attached(world)
    with pytest.raises(NotEntitled):
        world.feed.arm(Key(2))


async def test_an_undo_orders_the_digest_of_the_preview_that_was_drawn(world: World) -> None:
    await attached(world)
    world.feed.arm(Key(1))
    preview = await world.feed.undo_preview(hex_id("act", "rollback"))
    await world.feed.undo(preview)
    [sent] = world.service.called("undo")
    assert sent["preview"] == digest("undo", preview["bytes"])
    assert sent["target"] == preview["target"]
    caller = next(caller for name, caller, _ in world.service.calls if name == "undo")
    assert caller.order is not None


async def test_taking_away_needs_no_armed_key(world: World) -> None:
    await attached(world)
    target = "agent-" + "0" * 64
    for method in ("revoke", "pause", "freeze", "stop"):
        await world.feed.take(method, target, "")  # type: ignore[arg-type]
        assert world.service.called(method)[0]["target"] == target
    await world.feed.deny("ask-x", "because")
    assert world.service.called("ask_deny") == [{"ask": "ask-x", "reason": "because"}]


async def test_bytes_of_another_request_are_refused_before_they_can_be_drawn(world: World) -> None:
    await attached(world)
    shop = world.service.shop
    world.service.answers["ask"] = shop.kill | {"row": shop.flag["row"]}
    with pytest.raises(Malformed, match="not the request of that id"):
        await world.feed.ask(shop.flag["row"]["id"])
    world.service.answers["ask"] = shop.kill | {"bytes": canonical({"v": 2})}
    with pytest.raises(Malformed):
        await world.feed.ask(shop.kill["row"]["id"])


async def test_a_refusal_of_the_runtime_arrives_as_itself(world: World) -> None:
    await attached(world)
    opened = await world.feed.ask(world.service.shop.flag["row"]["id"])
    world.feed.arm(Key(1))
    world.service.answers["ask_decide"] = StaleVerdict("bo decided it")
    with pytest.raises(StaleVerdict, match="bo decided it"):
        await world.feed.approve(Approval(opened, "once", None, 1, opened.not_after, False))


async def test_the_ledger_is_verified_by_what_the_program_was_given(world: World) -> None:
    await attached(world)
    assert (await world.feed.verify()).words == "checked here"
