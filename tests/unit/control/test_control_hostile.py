"""Clients that send rubbish, too much, too slowly or never read: each loses its own connection and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queenright.control import connection, server
from queenright.control.client import AsyncClient
from queenright.control.frames import check_params, read_request, to_frame
from queenright.control.methods import METHODS
from queenright.core import canonical
from queenright.errors import Malformed
from queenright.wire.frame import MAX_FRAME

RUBBISH = {
    "not msgpack": b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1",
    "a list": (5).to_bytes(4, "big") + b"\x94\x01\x02\x03\x04",
    "no type": to_frame({"id": 1}),
    "unknown type": to_frame({"t": "hack"}),
    "a server's frame": to_frame({"t": "session", "operator": "ana", "fingerprint": "", "level": "key"}),
    "missing fields": to_frame({"t": "call", "id": 1}),
    "extra field": to_frame(
        {"t": "call", "id": 1, "method": "health", "params": {}, "order": None, "signature": None, "x": 1}
    ),
    "wrong type of id": to_frame(
        {"t": "call", "id": "1", "method": "health", "params": {}, "order": None, "signature": None}
    ),
    "true as id": to_frame(
        {"t": "call", "id": True, "method": "health", "params": {}, "order": None, "signature": None}
    ),
    "negative id": to_frame(
        {"t": "call", "id": -1, "method": "health", "params": {}, "order": None, "signature": None}
    ),
    "oversize": MAX_FRAME.to_bytes(4, "big"),
    "over every limit": b"\xff\xff\xff\xff",
    "not canonical": (6).to_bytes(4, "big") + b"\x81\xa1t\xd9\x01x",
    "too many keys offered": to_frame({"t": "offer", "keys": ["k"] * 65}),
    "keys that are no text": to_frame({"t": "offer", "keys": [1]}),
    "long text": to_frame({"t": "prove", "key": "k" * 70000, "signature": ""}),
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
async def test_rubbish_closes_only_its_own_client_and_is_attributed(world, kit, rubbish):
    async with kit.raw(world) as good, kit.raw(world) as bad:
        await good.receive()
        await bad.receive()
        await bad.send(rubbish)
        answer = await bad.receive()
        assert (answer["t"], answer["error"]["code"]) == ("bye", "malformed")
        assert await bad.closed()
        await good.send(
            {"t": "call", "id": 1, "method": "health", "params": {}, "order": None, "signature": None}
        )
        assert (await good.receive())["ok"]
    await kit.until(lambda: world.violations)
    assert [(v.peer.pid, v.operator) for v in world.violations] == [(os.getpid(), "")]


async def test_violations_are_bounded_a_minute_and_the_rest_counted(world, kit, monkeypatch):
    monkeypatch.setattr(server, "VIOLATIONS_PER_MINUTE", 2)

    async def misbehave():
        async with kit.raw(world) as client:
            await client.receive()
            await client.send(b"\xff\xff\xff\xff")
            await client.closed()

    for _ in range(5):
        await misbehave()
    assert len(world.violations) == 2
    world.clock.advance(60_000)
    await misbehave()
    await kit.until(lambda: len(world.violations) == 3)
    assert "3 more were not recorded" in world.violations[-1].what


async def test_frame_that_never_ends_is_given_up(world, kit, monkeypatch):
    monkeypatch.setattr(connection, "FRAME_WITHIN_S", 0.01)
    async with kit.raw(world) as client:
        await client.receive()
        await client.send((100).to_bytes(4, "big") + b"half")
        assert (await client.receive())["error"]["code"] == "malformed"
        assert await client.closed()


async def test_client_that_never_reads_its_answers_is_closed_and_holds_nobody_up(world, kit, monkeypatch):
    monkeypatch.setattr(connection, "FRAME_WITHIN_S", 0.2)
    world.service.answers["health"] = {"padding": "x" * 1_000_000}
    frame = to_frame(
        {"t": "call", "id": 1, "method": "health", "params": {}, "order": None, "signature": None}
    )
    async with kit.raw(world) as deaf:
        deaf.writer.transport.pause_reading()
        for _ in range(20):
            deaf.writer.write(frame)
        async with kit.raw(world) as other:
            await other.receive()
            world.service.answers["health"] = {"agents": 1}
            await other.send(frame)
            assert (await other.receive())["result"] == {"agents": 1}
            await kit.until(lambda: len(world.server._connections) == 1)


async def test_calls_in_flight_of_one_client_are_bounded(world, kit):
    release = asyncio.Event()
    running = 0

    async def wait(caller, **params):
        nonlocal running
        running += 1
        await release.wait()
        return {}

    world.service.answers["health"] = wait
    async with kit.raw(world) as client:
        await client.receive()
        for number in range(30):
            await client.send(
                {
                    "t": "call",
                    "id": number,
                    "method": "health",
                    "params": {},
                    "order": None,
                    "signature": None,
                }
            )
        await kit.until(lambda: running == connection.IN_FLIGHT)
        for _ in range(50):
            await asyncio.sleep(0)
        assert running == connection.IN_FLIGHT
        release.set()
        assert {(await client.receive())["id"] for _ in range(30)} == set(range(30))


async def test_slow_watcher_gets_one_resync_and_publishing_never_waits(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    await client.watch(["ledger", "agents"])
    for index in range(20_000):  # published in one go: the watcher had no chance to read
        world.hub.publish("ledger", {"index": index})
    events = client.events()
    first = await asyncio.wait_for(anext(events), 10)
    assert (first["topic"], first["data"]) == ("resync", {"topics": ["ledger"]})
    world.hub.publish("ledger", {"index": 20_000})
    after = await asyncio.wait_for(anext(events), 10)
    assert after["data"] == {"index": 20_000}
    assert after["seq"] == first["seq"] + 1
    await client.close()


async def test_newer_row_replaces_the_one_that_still_waits(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    await client.watch(["agents"])
    for version in range(1000):
        world.hub.publish("agents", {"id": "agent-1", "version": version}, "agent-1")
    world.hub.publish("agents", {"id": "agent-2", "version": 0}, "agent-2")
    events = client.events()
    got = [(await asyncio.wait_for(anext(events), 10))["data"] for _ in range(2)]
    assert got == [{"id": "agent-1", "version": 999}, {"id": "agent-2", "version": 0}]
    await client.close()


async def test_watcher_gets_only_its_topics_and_unknown_ones_are_refused(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    for topic in ("mail", "log:agent-12", "log:" + "x" * 70, ""):
        with pytest.raises(Malformed):
            await client.watch([topic])
    await client.watch([f"log:{kit.agent}"])
    assert world.hub.wanted(f"log:{kit.agent}")
    assert not world.hub.wanted("agents")
    world.hub.publish("agents", {"id": "agent-1"}, "agent-1")
    world.hub.publish(f"log:{kit.agent}", {"seq": 1, "text": "hello"})
    event = await asyncio.wait_for(anext(client.events()), 10)
    assert event["data"] == {"seq": 1, "text": "hello"}
    await client.close()
    await kit.until(lambda: not world.hub.wanted(f"log:{kit.agent}"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_malformed(body):
    with contextlib.suppress(Malformed):
        assert read_request(body)["t"]


scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.binary(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(
    st.sampled_from(["offer", "prove", "token", "call", "watch", "hello", ""]),
    st.dictionaries(
        st.sampled_from(["keys", "key", "signature", "id", "proof", "method", "params", "order", "topics"]),
        values,
    ),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_map_is_a_request_or_malformed(kind, fields):
    try:
        message = read_request(canonical(fields | {"t": kind}))
    except Malformed:
        return
    assert message["t"] == kind


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(st.text(max_size=12), values, max_size=4))
def test_any_parameters_are_the_methods_own_or_refused(method, params):
    with contextlib.suppress(Malformed):
        assert set(params) <= set(check_params(method, params).params)
