"""What the control server promises to operators, and what it does to everyone else."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from queenright.authority.document import ORDER
from queenright.control import connection, server
from queenright.control.client import AsyncClient
from queenright.control.orders import ORDER_LIFE_MS, order_bytes
from queenright.control.protocol import SESSION_NAMESPACE, session_bytes
from queenright.errors import Conflict, Locked, Malformed, NotEntitled, QueenrightError


async def connected(world, kit, number=1):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    signer = kit.signer(number)
    await client.prove(signer)
    client.arm(signer)
    return client


def call(number, method, params=None, order=None, signature=None):
    frame = {"t": "call", "id": number, "method": method, "params": params or {}}
    return frame | {"order": order, "signature": signature}


def order(kit, world, signer, method="unfreeze", params=None, **changes):
    params = {"target": kit.agent} if params is None else params
    fields = {
        "runtime": kit.runtime,
        "method": method,
        "params": params,
        "policy_revision": world.gate.revision,
        "rand": os.urandom,
        "not_after": world.clock.wall_ms() + ORDER_LIFE_MS,
    } | changes
    signed = order_bytes(**fields)
    return signed, signer.sign(ORDER, signed)


async def proved(world, kit, client, number=1):
    hello = await client.receive()
    signer = kit.signer(number)
    message = session_bytes(hello["runtime"], hello["nonce"], hello["socket"])
    await client.send(
        {"t": "prove", "key": signer.key.line, "signature": signer.sign(SESSION_NAMESPACE, message)}
    )
    assert (await client.receive())["t"] == "session"
    return signer


async def test_socket_is_private_to_its_owner(world):
    assert stat.S_IMODE(os.stat(world.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(world.path.parent).st_mode) == 0o700


async def test_health_needs_no_key_and_everything_else_does(world, kit):
    async with kit.raw(world) as client:
        await client.receive()
        await client.send(call(1, "health"))
        assert (await client.receive())["result"] == {"agents": 3}
        for number, method in enumerate(("status", "agents", "login", "down"), 2):
            await client.send(call(number, method))
            assert (await client.receive())["error"]["code"] == "not_entitled"
        await client.send({"t": "watch", "id": 9, "topics": ["agents"]})
        assert (await client.receive())["error"]["code"] == "not_entitled"
    assert [name for name, _, _ in world.service.calls] == ["health"]


async def test_enrolled_key_opens_a_session_that_reads(world, kit):
    client = await connected(world, kit)
    who = await client.call("whoami")
    assert (who["operator"], who["level"], who["owner"]) == ("ana", "key", True)
    assert await client.call("resolve", text="sre") == world.service.answers["resolve"]
    _, caller, _ = world.service.calls[-1]
    assert caller.operator.person.name == "ana"
    assert caller.peer.pid == os.getpid()
    await client.close()


async def test_key_that_is_not_enrolled_is_refused_and_attributed(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    with pytest.raises(NotEntitled):
        await client.prove(kit.signer(kit.eve))
    await kit.until(lambda: world.violations)
    assert world.violations[0].peer.uid == os.geteuid()
    assert "no operator has the key" in world.violations[0].what
    await client.close()


@pytest.mark.parametrize("wrong", ["nonce", "runtime", "socket", "namespace", "signer"])
async def test_proof_for_anything_else_is_refused(world, kit, wrong):
    async with kit.raw(world) as client:
        hello = await client.receive()
        ana, bo = kit.signer(kit.ana), kit.signer(kit.bo)
        fields = {"runtime": hello["runtime"], "nonce": hello["nonce"], "socket": hello["socket"]}
        if wrong in fields:
            fields[wrong] = "/elsewhere" if wrong == "socket" else bytes(32)
        namespace = "order@queenright.v1" if wrong == "namespace" else SESSION_NAMESPACE
        signature = (bo if wrong == "signer" else ana).sign(namespace, session_bytes(**fields))
        await client.send({"t": "prove", "key": ana.key.line, "signature": signature})
        answer = await client.receive()
        assert (answer["t"], answer["error"]["code"]) == ("bye", "invalid_signature")
        assert await client.closed()
    await kit.until(lambda: world.violations)


async def test_proof_cannot_be_replayed_on_another_connection(world, kit):
    async with kit.raw(world) as first:
        hello = await first.receive()
        signer = kit.signer(kit.ana)
        message = session_bytes(hello["runtime"], hello["nonce"], hello["socket"])
        proof = {"t": "prove", "key": signer.key.line, "signature": signer.sign(SESSION_NAMESPACE, message)}
        await first.send(proof)
        assert (await first.receive())["t"] == "session"
        async with kit.raw(world) as second:
            await second.receive()
            await second.send(proof)
            assert (await second.receive())["error"]["code"] == "invalid_signature"


async def test_connection_proves_one_key_once(world, kit):
    async with kit.raw(world) as client:
        hello = await client.receive()
        signer = kit.signer(kit.ana)
        message = session_bytes(hello["runtime"], hello["nonce"], hello["socket"])
        proof = {"t": "prove", "key": signer.key.line, "signature": signer.sign(SESSION_NAMESPACE, message)}
        await client.send(proof)
        await client.receive()
        await client.send(proof)
        assert (await client.receive())["error"]["code"] == "invalid_signature"
        assert await client.closed()


async def test_removed_operator_loses_calls_and_events_at_once(world, kit):
    client = await connected(world, kit)
    await client.watch(["agents"])
    world.gate.remove("ana")
    with pytest.raises(NotEntitled):
        await client.call("agents")
    world.hub.publish("agents", {"id": "agent-1"}, "agent-1")
    assert [event async for event in client.events()] == []
    await client.close()


async def test_taking_away_needs_no_order(world, kit):
    client = await connected(world, kit, kit.bo)
    client.disarm()
    for method in ("revoke", "freeze", "pause", "stop"):
        assert (await client.call(method, target=kit.agent))["count"] == 1
    assert {name for name, _, _ in world.service.calls} >= {"revoke", "freeze", "pause", "stop"}
    await client.close()


async def test_giving_needs_an_order_that_is_spent_once(world, kit):
    client = await connected(world, kit)
    assert (await client.call("unfreeze", target=kit.agent))["leaf"] == 7
    _, caller, params = world.service.calls[-1]
    assert params == {"target": kit.agent}
    assert caller.order.order.nonce in world.gate.spent
    await client.close()


async def test_giving_without_a_key_is_refused_by_the_client(world, kit):
    client = await connected(world, kit)
    client.disarm()
    with pytest.raises(NotEntitled, match="needs your key"):
        await client.call("unfreeze", target=kit.agent)
    await client.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"runtime": bytes(32)}, "not_entitled"),
        ({"method": "resume"}, "not_entitled"),
        ({"params": {"target": "agent-" + "cd" * 32}}, "not_entitled"),
        ({"policy_revision": b"x" * 32}, "conflict"),
        ({"not_after": 1}, "not_entitled"),
        ({"not_after": 2**60}, "not_entitled"),
    ],
)
async def test_order_for_anything_else_is_refused_and_attributed(world, kit, change, code):
    async with kit.raw(world) as client:
        signer = await proved(world, kit, client)
        signed, signature = order(kit, world, signer, **change)
        await client.send(call(1, "unfreeze", {"target": kit.agent}, signed, signature))
        assert (await client.receive())["error"]["code"] == code
    assert world.service.called("unfreeze") == []
    assert world.gate.spent == set()
    await kit.until(lambda: world.violations)
    assert world.violations[0].operator == "ana"


async def test_order_signed_by_another_operator_is_refused(world, kit):
    async with kit.raw(world) as client:
        await proved(world, kit, client, kit.ana)
        for number, code in ((kit.bo, "not_entitled"), (kit.eve, "invalid_signature")):
            signed, signature = order(kit, world, kit.signer(number))
            await client.send(call(number, "unfreeze", {"target": kit.agent}, signed, signature))
            assert (await client.receive())["error"]["code"] == code
    assert world.service.called("unfreeze") == []


async def test_session_signature_is_no_order(world, kit):
    async with kit.raw(world) as client:
        signer = await proved(world, kit, client)
        signed, _ = order(kit, world, signer)
        signature = signer.sign(SESSION_NAMESPACE, signed)
        await client.send(call(1, "unfreeze", {"target": kit.agent}, signed, signature))
        assert (await client.receive())["error"]["code"] == "invalid_signature"


async def test_order_is_used_once_even_by_two_calls_at_once(world, kit):
    async with kit.raw(world) as client:
        signer = await proved(world, kit, client)
        signed, signature = order(kit, world, signer)
        frames = [call(n, "unfreeze", {"target": kit.agent}, signed, signature) for n in (1, 2)]
        for frame in frames:
            await client.send(frame)
        answers = [await client.receive(), await client.receive()]
    assert sorted(answer["ok"] for answer in answers) == [False, True]
    assert len(world.service.called("unfreeze")) == 1


async def test_order_of_a_person_without_the_right_is_refused_unspent(world, kit):
    world.gate.forbidden.add("unfreeze")
    client = await connected(world, kit)
    with pytest.raises(NotEntitled, match="ana may not unfreeze"):
        await client.call("unfreeze", target=kit.agent)
    assert world.gate.spent == set()
    await client.close()


async def test_method_without_an_order_does_not_swallow_one(world, kit):
    async with kit.raw(world) as client:
        signer = await proved(world, kit, client)
        signed, signature = order(kit, world, signer, method="freeze")
        await client.send(call(1, "freeze", {"target": kit.agent}, signed, signature))
        assert (await client.receive())["error"]["code"] == "malformed"
    assert world.service.called("freeze") == []


async def test_second_operator_is_told_that_somebody_was_first(world, kit):
    world.service.answers["ask_decide"] = Conflict("bo decided 2 s ago", hint="look at the ask")
    client = await connected(world, kit)
    with pytest.raises(Conflict, match="bo decided 2 s ago") as refused:
        await client.call("ask_decide", verdict=b"v", signature="s")
    assert refused.value.hint == "look at the ask"
    await client.close()


async def test_locked_supervisor_reads_and_takes_away_but_gives_nothing(world, kit):
    world.service.is_locked = True
    client = await connected(world, kit)
    assert client.hello.locked
    assert (await client.call("health"))["agents"] == 3
    assert (await client.call("revoke", target="all"))["count"] == 1
    world.service.answers["ask_deny"] = {"ask": "ask-1", "state": "denied", "leaf": 1}
    assert (await client.call("ask_deny", ask="ask-1", reason="no"))["state"] == "denied"
    for method, params in (
        ("unfreeze", {"target": kit.agent}),
        ("intent_apply", {"document": b"d", "signature": "s"}),
        ("ask_decide", {"verdict": b"v", "signature": "s"}),
        ("secret_list", {}),
    ):
        with pytest.raises(Locked):
            await client.call(method, **params)
    assert world.gate.spent == set()
    await client.close()


async def test_failing_service_is_answered_without_its_reason(world, kit, caplog):
    world.service.answers["agents"] = ZeroDivisionError("secret in a traceback")
    client = await connected(world, kit)
    with pytest.raises(QueenrightError, match="the supervisor failed on this call") as refused:
        await client.call("agents")
    assert "secret" not in str(refused.value)
    assert (await client.call("health"))["agents"] == 3
    assert "ZeroDivisionError at conftest.py:" in caplog.text
    assert "secret" not in caplog.text
    await client.close()


async def test_result_too_large_for_a_frame_is_an_error_and_not_a_break(world, kit):
    world.service.answers["agents"] = {"rows": ["x" * (5 * 1024 * 1024)], "next": None}
    client = await connected(world, kit)
    with pytest.raises(Malformed, match="over the limit"):
        await client.call("agents")
    assert (await client.call("health"))["agents"] == 3
    await client.close()


async def test_unknown_method_and_wrong_parameters_are_named(world, kit):
    async with kit.raw(world) as client:
        await proved(world, kit, client)
        for number, (method, params, code) in enumerate(
            (
                ("reboot", {}, "unknown"),
                ("agent", {}, "malformed"),
                ("agent", {"agent": 3}, "malformed"),
                ("agent", {"agent": "a", "extra": 1}, "malformed"),
                ("agents", {"limit": True}, "malformed"),
                ("behaviour_add", {"files": {"../x": b""}}, "malformed"),
                ("behaviour_add", {"files": {"/x": b""}}, "malformed"),
                ("behaviour_add", {"files": {"x": "text"}}, "malformed"),
                ("behaviour_add", {"files": {}}, "malformed"),
            )
        ):
            await client.send(call(number, method, params))
            assert (await client.receive())["error"]["code"] == code, (method, params)
    assert world.service.calls == []


async def test_call_runs_to_its_end_when_its_client_leaves(world, kit):
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(caller, **params):
        begun.set()
        await may_end.wait()
        ended.set()
        return {"count": 1, "leaf": 1, "unacked": 0}

    world.service.answers["stop"] = slow
    client = await connected(world, kit)
    calling = asyncio.create_task(client.call("stop", target="all"))
    await asyncio.wait_for(begun.wait(), 10)
    await client.close()
    calling.cancel()
    may_end.set()
    await asyncio.wait_for(ended.wait(), 10)


async def test_too_many_strangers_do_not_keep_out_an_operator_for_ever(world, kit, monkeypatch):
    monkeypatch.setattr(server, "MAX_UNPROVED", 2)
    async with kit.raw(world) as one, kit.raw(world) as two:
        await one.receive()
        await two.receive()
        operator = await connected(world, kit)
        assert (await one.receive())["error"]["code"] == "conflict"
        assert await one.closed()
        assert (await operator.call("stop", target="all"))["count"] == 1
        await operator.close()


async def test_places_of_operators_are_bounded_too(world, kit, monkeypatch):
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)
    first, second = await connected(world, kit), await connected(world, kit)
    with pytest.raises(Conflict, match="too many clients"):
        await connected(world, kit)
    await first.close()
    await kit.until(lambda: len(world.server._connections) == 1)
    await (await connected(world, kit)).close()
    await second.close()


async def test_client_that_proves_nothing_is_closed_in_time(world, kit, monkeypatch):
    monkeypatch.setattr(connection, "PROVE_WITHIN_S", 0.01)
    async with kit.raw(world) as client:
        await client.receive()
        assert (await client.receive())["error"]["code"] == "malformed"
        assert await client.closed()


async def test_uid_that_may_not_connect_is_refused_before_a_greeting(world, kit):
    world.server._uids = frozenset({os.geteuid() + 1})
    async with kit.raw(world) as client:
        answer = await client.receive()
        assert answer["t"] == "bye"
        assert await client.closed()
    await kit.until(lambda: world.violations)


async def test_second_server_on_one_socket_is_refused_and_a_dead_ones_socket_is_taken(world, kit):
    with pytest.raises(Conflict, match="already answers"):
        await world.new_server().start()
    await world.server.close()
    assert not world.path.exists()
    world.path.touch()  # what a crash leaves is a socket nobody listens on; a plain file refuses likewise
    world.server = world.new_server()
    await world.server.start()
    await (await connected(world, kit)).close()


async def test_socket_path_too_long_for_the_kernel_is_refused(tmp_path, kit):
    with pytest.raises(Malformed, match="over the kernel's 107"):
        kit.world(tmp_path / ("x" * 120))


async def test_offer_tells_only_which_public_keys_are_enrolled(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    lines = [kit.signer(n).key.line for n in (kit.eve, kit.bo, kit.ana)]
    assert await client.enrolled(lines) == lines[1:]
    await client.close()
