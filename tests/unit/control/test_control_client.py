"""What the two clients check before they sign, and how they live through a restart of the supervisor."""

from __future__ import annotations

import asyncio
import os
import socket
import threading

import pytest

from queenright.control.client import AsyncClient, Client
from queenright.control.frames import to_frame
from queenright.control.session import TOKEN_LIFE_MS
from queenright.control.token_file import TokenFile
from queenright.errors import (
    Denied,
    Dimension,
    InvalidSignature,
    Malformed,
    NoSupervisor,
    NotEntitled,
    QueenrightError,
)


def test_blocking_client_reads_takes_and_gives(served, kit):
    with Client(served.path, clock=served.clock) as client:
        assert client.call("health") == {"agents": 3}
        signer = kit.signer(kit.ana)
        assert client.enrolled([signer.key.line]) == [signer.key.line]
        assert client.prove(signer).operator == "ana"
        assert client.call("stop", target="all", reason="drill")["count"] == 1
        assert client.call("unfreeze", target=kit.agent)["count"] == 1
    assert served.service.called("stop") == [{"target": "all", "reason": "drill"}]


def test_blocking_client_keeps_events_that_come_between_answers(served, kit):
    def tell(caller, **params):
        served.hub.publish("status", {"agents": 5})
        return {"agents": 4}

    served.service.answers["status"] = tell
    with Client(served.path, clock=served.clock) as client:
        client.prove(kit.signer(kit.ana))
        events = client.watch(["status"], idle_s=10)
        assert client.call("status") == {"agents": 4}
        assert next(events)["data"] == {"agents": 5}
        assert list(client.watch([], idle_s=0.01)) == []


def test_no_supervisor_is_told_with_the_way_out(kit):
    with kit.short_directory() as directory:
        for path in (directory / "none.sock", directory / "no" / "such" / "place"):
            with pytest.raises(NoSupervisor) as refused:
                Client(path)
            assert "queenright up" in refused.value.hint


def test_directory_that_others_may_write_is_refused_before_anything_is_sent(served):
    served.path.parent.chmod(0o777)
    with pytest.raises(QueenrightError, match="others may write"):
        Client(served.path)


def _impostor(path, hello):
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()
    heard = []

    def serve():
        client, _ = listening.accept()
        with client, listening:
            client.sendall(to_frame(hello))
            while data := client.recv(65536):
                heard.append(data)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, heard


def test_relayed_greeting_is_not_signed(served, kit):
    """A program that passes on a real supervisor's greeting from elsewhere gets no signature."""
    with kit.short_directory() as directory:
        path = directory / "control.sock"
        hello = {
            "t": "hello",
            "v": 1,
            "version": "x",
            "runtime": kit.runtime,
            "nonce": bytes(32),
            "now_ms": 1,
        }
        thread, heard = _impostor(path, hello | {"socket": str(served.path), "locked": False})
        with pytest.raises(NotEntitled, match="listens elsewhere"):
            Client(path, clock=served.clock)
        thread.join(10)
        assert heard == []


@pytest.mark.parametrize("change", [{"v": 2}, {"nonce": "text"}, {"t": "answer"}, {"runtime": None}])
def test_greeting_of_another_version_or_shape_is_refused(kit, change):
    with kit.short_directory() as directory:
        path = directory / "control.sock"
        hello = {
            "t": "hello",
            "v": 1,
            "version": "x",
            "runtime": kit.runtime,
            "nonce": bytes(32),
            "now_ms": 1,
        }
        thread, _ = _impostor(path, hello | {"socket": str(path), "locked": False} | change)
        with pytest.raises(Malformed):
            Client(path)
        thread.join(10)


def test_order_follows_the_supervisors_clock_and_not_ours(served, kit):
    """An operator's laptop an hour off still signs orders that hold."""
    from queenright.clock import ManualClock

    ours = ManualClock(served.clock.wall_ms() - 3_600_000)
    with Client(served.path, clock=ours) as client:
        client.prove(kit.signer(kit.ana))
        assert client.call("unfreeze", target=kit.agent)["count"] == 1


def test_denial_crosses_the_socket_with_every_dimension(served, kit):
    dimensions = (Dimension("budget", "intent", "2/2 used"), Dimension("time", "grant", "ended"))
    served.service.answers["can"] = Denied(
        "denied svc.restart", verb="svc.restart", resource="svc:x", dimensions=dimensions, amendment="max 3"
    )
    with Client(served.path, clock=served.clock) as client:
        client.prove(kit.signer(kit.ana))
        with pytest.raises(Denied) as refused:
            client.call("can", agent="a", verb="svc.restart", resource="svc:x")
    assert refused.value.dimensions == dimensions
    assert (refused.value.verb, refused.value.amendment) == ("svc.restart", "max 3")


def test_login_reads_and_takes_away_but_never_gives(served, kit):
    with Client(served.path, clock=served.clock) as client:
        client.prove(kit.signer(kit.ana))
        login = client.call("login")
    with Client(served.path, clock=served.clock) as client:
        assert client.prove_login(login).level == "token"
        assert client.call("stop", target="all")["count"] == 1
        with pytest.raises(NotEntitled):
            client.call("unfreeze", target=kit.agent)
        for method, params in (("login", {}), ("behaviour_add", {"files": {"a": b""}}), ("unlock", {})):
            with pytest.raises(NotEntitled, match="needs a key"):
                client.call(method, **params)
    assert served.service.called("unfreeze") == []


def test_login_is_proved_without_sending_its_secret(served, kit):
    with Client(served.path, clock=served.clock) as client:
        client.prove(kit.signer(kit.ana))
        login = client.call("login")
    sent = []
    with Client(served.path, clock=served.clock) as client:
        client._send = lambda message, send=client._send: (sent.append(to_frame(message)), send(message))
        client.prove_login(login)
    assert all(login["secret"] not in frame for frame in sent)


def test_login_ends_after_eight_hours_at_logout_and_with_its_operator(served, kit):
    def fresh():
        with Client(served.path, clock=served.clock) as client:
            client.prove(kit.signer(kit.ana))
            return client.call("login")

    def use(login):
        with Client(served.path, clock=served.clock) as client:
            client.prove_login(login)
            return client.call("health")

    old = fresh()
    use(old)
    served.clock.step_wall(-10 * TOKEN_LIFE_MS)
    served.clock.advance(TOKEN_LIFE_MS)
    with pytest.raises(NotEntitled, match="has ended"):
        use(old)
    second, third = fresh(), fresh()
    with Client(served.path, clock=served.clock) as client:
        client.prove_login(second)
        assert client.call("logout") == {"ended": 2}
        with pytest.raises(NotEntitled):
            client.call("agents")
    with pytest.raises(NotEntitled):
        use(third)
    forged = fresh()
    with pytest.raises(InvalidSignature):
        use(forged | {"secret": bytes(32)})
    served.gate.remove("ana")
    with pytest.raises(NotEntitled):
        use(forged)


def test_login_file_is_0600_and_one_that_others_can_read_is_refused(tmp_path):
    tokens = TokenFile(tmp_path)
    assert tokens.read() is None
    login = {"id": b"i" * 16, "secret": b"s" * 32, "expires_ms": 5}
    tokens.write(login)
    tokens.write(login)
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    assert tokens.read() == login
    tokens.path.chmod(0o640)
    with pytest.raises(NotEntitled):
        tokens.read()
    tokens.path.chmod(0o600)
    for broken in ("", "[]", '{"id": "zz"}', '{"id": "", "secret": "", "expires_ms": "soon"}'):
        tokens.path.write_text(broken)
        with pytest.raises(Malformed):
            tokens.read()
    tokens.remove()
    tokens.remove()
    os.symlink("/etc/hostname", tokens.path)
    with pytest.raises(OSError):
        tokens.read()


async def test_lost_connection_ends_waiting_calls_and_events(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    begun = asyncio.Event()

    async def hang(caller, **params):
        begun.set()
        await asyncio.Event().wait()

    world.service.answers["agents"] = hang
    calling = asyncio.create_task(client.call("agents"))
    await asyncio.wait_for(begun.wait(), 10)
    await world.server.close()
    with pytest.raises(NoSupervisor):
        await calling
    assert [event async for event in client.events()] == []
    with pytest.raises(NoSupervisor):
        await client.call("health")
    await client.close()


async def test_reconnect_proves_the_login_again_and_asks_for_a_new_listing(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    signer = kit.signer(kit.ana)
    await client.prove(signer)
    await client.watch(["agents", "asks"])
    signed = signer.signed
    tokens = world.server.tokens
    await world.server.close()
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            world.server = world.new_server()
            world.server.tokens = tokens  # the same supervisor, its socket made anew
            await world.server.start()

    await client.reconnect(60, sleep=sleep)
    assert slept == [0.1, 0.2, 0.4]
    event = await asyncio.wait_for(anext(client.events()), 10)
    assert (event["topic"], event["data"]) == ("resync", {"topics": ["agents", "asks"]})
    world.hub.publish("asks", {"id": "ask-1"}, "ask-1")
    assert (await asyncio.wait_for(anext(client.events()), 10))["data"] == {"id": "ask-1"}
    assert signer.signed == signed
    await client.close()


async def test_reconnect_after_a_restart_says_that_the_login_has_ended(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    await world.server.close()
    world.server = world.new_server()
    await world.server.start()
    with pytest.raises(NotEntitled, match="not known here"):
        await client.reconnect(1)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    assert (await client.call("health"))["agents"] == 3
    await client.close()


async def test_reconnect_gives_up_when_its_patience_ends(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    await world.server.close()
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    with pytest.raises(NoSupervisor):
        await client.reconnect(5, sleep=sleep)
    assert sum(slept) >= 5
    assert max(slept) == 2.0
    await client.close()


async def test_only_the_sessions_own_key_can_be_armed(world, kit):
    client = AsyncClient(world.path, clock=world.clock)
    await client.connect()
    await client.prove(kit.signer(kit.ana))
    with pytest.raises(NotEntitled, match="not the key of this session"):
        client.arm(kit.signer(kit.bo))
    await client.close()
