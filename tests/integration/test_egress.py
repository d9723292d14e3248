"""A command's way to the network: real commands in real sandboxes, the proxy, the engine, and servers on loopback."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from acting_world import ActingWorld
from authority_world import agent_id
from upstreams import echo, hello, redirect, shell, silent, swallow, upstream, with_tools

from queenright.actions.act import AskOpened, Refused
from queenright.actions.resources import OWN_WORKSPACE, Resource
from queenright.supervisor import egress

pytestmark = [pytest.mark.isolation, with_tools]

SHELL = """
[[allow]]
do = ["shell.run", "fs.write"]
on = "ws:self"
"""
LOOPBACK = """
[[allow]]
do = ["net.private"]
on = "addr:127/0/0/1"
"""


def allow(verbs: str, on: str, *, mode: str = "allow", more: str = "") -> str:
    return f"\n[[{mode}]]\ndo = [{', '.join(repr(verb) for verb in verbs.split())}]\non = '{on}'\n{more}\n"


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[[str], ActingWorld]]:
    worlds: list[ActingWorld] = []

    def build(rules: str) -> ActingWorld:
        worlds.append(ActingWorld(tmp_path, SHELL + rules))
        return worlds[-1]

    yield build
    for world in worlds:
        await world.close()
        assert not world.failures


def leaves(world: ActingWorld, kind: str, verb: str) -> list[Any]:
    return [entry for entry in world.entries(kind) if entry.action is not None and entry.action.verb == verb]


async def test_without_a_host_in_the_grant_a_command_has_no_listener_and_no_network(
    make: Callable[[str], ActingWorld],
) -> None:
    world = make(allow("web.* net.*", "**"))
    value = await shell(world, "env | grep -ic proxy; curl -sS --max-time 5 http://127.0.0.1:3128/ 2>&1")
    assert value["out"].startswith("0\n")
    assert value["code"] != 0
    (started,) = leaves(world, "action.started", "shell.run")
    assert started.action.reversibility == "exact"
    assert world.egress._proxy is None


async def test_a_named_host_is_reached_and_each_request_is_an_act(make: Callable[[str], ActingWorld]) -> None:
    with upstream(hello) as server:
        at = f"127.0.0.1:{server.port}"
        world = make(
            LOOPBACK
            + allow("web.get", f"host:127.0.0.1/{server.port}/ok/**")
            + allow("web.post", f"host:127.0.0.1/{server.port}/ok/post")
        )
        value = await shell(
            world,
            f"curl -sS http://{at}/ok/a?q=1; echo; curl -sS -d body http://{at}/ok/post; echo; "
            f"python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{at}/ok/b\").read().decode())'",
        )
        assert value["out"].splitlines() == [
            "hello GET /ok/a?q=1 HTTP/1.1", "hello POST /ok/post HTTP/1.1", "hello GET /ok/b HTTP/1.1"
        ], value  # fmt: skip
        # The command that could connect has no undo for what it sent, and says so before it ran.
        (started,) = leaves(world, "action.started", "shell.run")
        assert started.action.reversibility == "none"
        command = world.engine.acts.all()[0]
        assert "with a way to the network" in world.engine.acts.shown(command.id)["effect"]
        assert "stays sent" in world.engine.acts.shown(command.id)["undo"]
        # A write is an act of its own: begun before it was sent, with its bytes and its answer at its end.
        (posted,) = leaves(world, "action.started", "web.post")
        assert posted.actor.id == agent_id(0)
        assert posted.facts["command"] == command.id.hex()[:12]
        (done,) = leaves(world, "action.done", "web.post")
        assert (done.facts["up"], done.facts["status"]) == (4, 200)
        assert done.facts["down"] == len("hello POST /ok/post HTTP/1.1")
        # Reads are counted with their minute.
        world.engine.flush(everything=True)
        reads = {entry.facts["resource"]: entry for entry in world.entries("reads.summary")}
        assert reads[f"host:127.0.0.1/{server.port}/ok/a"].facts["count"] == 1
        assert reads[f"host:127.0.0.1/{server.port}/ok/a"].result.length == len(
            "hello GET /ok/a?q=1 HTTP/1.1"
        )


async def test_what_no_rule_names_is_refused_by_name_and_counted(make: Callable[[str], ActingWorld]) -> None:
    with upstream(hello) as server:
        at = f"http://127.0.0.1:{server.port}"
        world = make(LOOPBACK + allow("web.get", f"host:127.0.0.1/{server.port}/ok/**"))
        value = await shell(
            world,
            f"for path in / /other /ok/../x /ok//x /ok%2fx '/ok/%2e%2e/x'; do "
            f"curl -sS --path-as-is -o /dev/null -w '%{{http_code}} ' {at}$path; done; "
            f"curl -sS -X POST -o /dev/null -w '%{{http_code}} ' {at}/ok/a; "
            f"curl -sS -o /dev/null -w '%{{http_connect}} ' -p {at}/ok/a; "
            "curl -sS -o /dev/null -w '%{http_code} ' http://localhost:1/; "
            f"for i in 1 2 3 4 5 6 7 8; do curl -sS -o /dev/null {at}/loop; done",
        )
        assert value["out"].split() == ["403", "403", "400", "400", "400", "400", "403", "403", "403"], value
        assert server.seen == []
        (denied,) = [
            e for e in leaves(world, "action.denied", "web.get") if e.action.resource.endswith("loop")
        ]
        assert (denied.facts["count"], denied.facts["dimensions"]) == (1, "scope")
        world.engine.flush(everything=True)
        counts = [
            entry.facts["count"]
            for entry in leaves(world, "action.denied", "web.get")
            if entry.action.resource.endswith("loop")
        ]
        assert counts == [1, 7]


async def test_an_address_that_is_not_of_the_public_network_must_be_named_itself(
    make: Callable[[str], ActingWorld],
) -> None:
    with upstream(hello) as server:
        world = make(
            allow("web.get", "host:*/**")
            + allow("net.*", "addr:127/0/0/1")
            + allow("net.*", "addr6:0/0/0/0/0/0/0/1")
        )
        hosts = [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "0.0.0.0",
            "10.0.0.1",
        ]
        value = await shell(
            world,
            f"for host in {' '.join(hosts)}; do curl -sS -g http://$host:{server.port}/latest/; done",
        )
        refusals = [json.loads(line) for line in value["out"].splitlines()]
        assert [one["error"] for one in refusals] == ["address_refused"] * len(hosts), value
        assert "link-local or metadata" in refusals[3]["message"]
        assert 'do = "net.private", on = "addr:127/0/0/1"' in refusals[0]["hint"]
        assert server.seen == []


async def test_a_redirect_to_the_metadata_address_leads_nowhere(make: Callable[[str], ActingWorld]) -> None:
    with upstream(redirect) as server:
        world = make(LOOPBACK + allow("web.get", "host:*/**"))
        value = await shell(world, f"curl -sSL http://127.0.0.1:{server.port}/")
        assert json.loads(value["out"])["error"] == "address_refused"
        assert len(server.seen) == 1


async def test_a_tunnel_carries_tls_untouched(make: Callable[[str], ActingWorld], tmp_path: Path) -> None:
    certificate = await asyncio.to_thread(_certificate, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        one, _ = listener.accept()
        with context.wrap_socket(one, server_side=True) as served:
            served.recv(65536)
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsealed")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    world = make(LOOPBACK + allow("net.connect", f"host:localhost/{port}") + allow("net.private", "addr6:**"))
    value = await shell(
        world,
        f"cat > ca.pem <<'END'\n{certificate.read_text()}END\ncurl -sS --cacert ca.pem https://localhost:{port}/x",
    )
    assert value["out"] == "sealed", value
    (done,) = leaves(world, "action.done", "net.connect")
    assert done.facts["up"] > 200
    assert done.facts["down"] > 500
    assert done.action.resource == f"host:localhost/{port}"
    await asyncio.to_thread(thread.join, 10)
    listener.close()


async def test_git_clones_through_it(make: Callable[[str], ActingWorld], tmp_path: Path) -> None:
    source, bare = tmp_path / "source", tmp_path / "served" / "repo.git"
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (
        ["init", "-q", source],
        ["-C", source, *who, "commit", "-q", "--allow-empty", "-m", "first"],
        ["clone", "-q", "--bare", source, bare],
        ["-C", bare, "update-server-info"],
    ):
        await asyncio.to_thread(subprocess.run, ["git", *words], check=True)
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(bare.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world = make(LOOPBACK + allow("web.get web.head", f"host:127.0.0.1/{server.server_port}/repo.git/**"))
        value = await shell(
            world,
            f"git clone -q http://127.0.0.1:{server.server_port}/repo.git w && git -C w log --format=%s",
        )
        server.shutdown()
    assert value["out"] == "first\n", value


async def test_an_ask_in_the_middle_of_a_command_names_itself_and_its_approval_is_spent_once(
    make: Callable[[str], ActingWorld],
) -> None:
    with upstream(hello) as server:
        at = f"http://127.0.0.1:{server.port}"
        world = make(LOOPBACK + allow("web.*", f"host:127.0.0.1/{server.port}/**", mode="ask"))
        post = f"curl -sS -d body=1 {at}/order"
        told = json.loads((await shell(world, post))["out"])
        assert told["error"] == "ask_opened"
        assert server.seen == []
        (head,) = [head for head in world.authority.asks._all.values() if head.verb == "web.post"]
        assert told["ask"] == f"ask-{head.id.hex()[:12]}"
        again = json.loads((await shell(world, post, 1))["out"])
        assert again["ask"] == told["ask"]
        shown = world.engine.acts.shown(head.id)
        assert shown["effect"] == f"POST {at}/order"
        assert "body=1" in shown["diff"]
        world.answer(head.id)
        # Another byte is another act.
        other = json.loads((await shell(world, post.replace("=1", "=2"), 2))["out"])
        assert other["ask"] != told["ask"]
        assert server.seen == []
        assert (await shell(world, post, 3))["out"].startswith("hello POST /order")
        assert json.loads((await shell(world, post, 4))["out"])["error"] == "ask_opened"
        assert len(server.seen) == 1
        (started,) = leaves(world, "action.started", "web.post")
        assert (started.ask, started.verdict is not None) == (head.id, True)


async def test_a_denied_request_gets_no_second_card(make: Callable[[str], ActingWorld]) -> None:
    with upstream(hello) as server:
        world = make(LOOPBACK + allow("web.post", f"host:127.0.0.1/{server.port}/**", mode="ask"))
        post = f"curl -sS -d body http://127.0.0.1:{server.port}/order"
        await shell(world, post)
        (head,) = [head for head in world.authority.asks._all.values() if head.verb == "web.post"]
        _, change = world.authority.asks.deny(head.id, "ana", "no")
        world.commit(change)
        assert json.loads((await shell(world, post, 1))["out"])["error"] == "denied_recently"
        assert server.seen == []


async def test_counts_of_a_rule_hold_for_connections(make: Callable[[str], ActingWorld]) -> None:
    with upstream(hello) as server:
        world = make(LOOPBACK + allow("web.put", f"host:127.0.0.1/{server.port}/**", more="max = 2"))
        put = f"curl -sS -o /dev/null -w '%{{http_code}} ' -X PUT -d x http://127.0.0.1:{server.port}/x;"
        value = await shell(world, put * 4)
        assert value["out"].split() == ["200", "200", "403", "403"]
        assert len(server.seen) == 2


async def test_one_that_failed_before_it_reached_anybody_costs_nothing(
    make: Callable[[str], ActingWorld],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        world = make(LOOPBACK + allow("web.put", f"host:127.0.0.1/{port}/**", more="max = 1"))
        put = f"curl -sS -o /dev/null -w '%{{http_code}} ' -X PUT -d x http://127.0.0.1:{port}/x;"
        assert (await shell(world, put * 2))["out"].split() == ["502", "502"]
        assert [entry.result.code for entry in leaves(world, "action.failed", "web.put")] == [
            "unreachable"
        ] * 2


@pytest.mark.parametrize("how", ["revoke", "freeze", "expiry", "cut"])
async def test_authority_that_ends_cuts_a_live_tunnel(make: Callable[[str], ActingWorld], how: str) -> None:
    with upstream(echo) as server:
        world = make(LOOPBACK + allow("net.connect", f"host:127.0.0.1/{server.port}"))
        script = (
            "python3 - <<'END'\nimport socket\n"
            "one = socket.create_connection(('127.0.0.1', 3128))\n"
            f"one.sendall(b'CONNECT 127.0.0.1:{server.port} HTTP/1.1\\r\\nHost: 127.0.0.1:{server.port}\\r\\n\\r\\nping')\n"
            "got = b''\n"
            "while not got.endswith(b'ping'): got += one.recv(100)\n"
            "print('up', flush=True)\n"
            "one.settimeout(20)\n"
            "print(one.recv(100))\nEND"
        )
        running = asyncio.create_task(shell(world, script))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while not server.seen:
                await asyncio.sleep(0.01)
        grants = world.authority.grants
        began = loop.time()
        if how == "revoke":
            world.commit(grants.revoke(agent_id(0)))
        elif how == "freeze":
            world.commit(grants.freeze(world.standing.intent.id))
        elif how == "expiry":
            world.clock.advance(3 * 60 * 60 * 1000)
        else:
            assert world.egress.counts() == {agent_id(0): 1}
            assert len(world.egress.cut(frozenset({agent_id(0)}))) == 1
        value = await running
        print(f"cut after {loop.time() - began:.2f} s")
        assert value["out"].splitlines() == ["up", "b''"], value
        (ended,) = leaves(world, "action.failed", "net.connect")
        assert (ended.result.code, ended.facts["up"], ended.facts["down"]) == ("cut", 4, 4)


async def test_a_command_that_ends_leaves_no_connection(make: Callable[[str], ActingWorld]) -> None:
    with upstream(silent) as server:
        world = make(LOOPBACK + allow("web.post", f"host:127.0.0.1/{server.port}/**"))
        await shell(world, f"curl -sS --max-time 1 -d x http://127.0.0.1:{server.port}/", timeout_ms=20_000)
        # It was sent, and nobody saw an answer.
        (ended,) = leaves(world, "action.unknown", "web.post")
        assert ended.facts["up"] == 1


async def test_a_body_of_a_gibibyte_is_passed_on_and_never_held(make: Callable[[str], ActingWorld]) -> None:
    with upstream(swallow) as server:
        world = make(LOOPBACK + allow("web.post", f"host:127.0.0.1/{server.port}/**"))
        before = _resident()
        value = await shell(
            world,
            "head -c 1073741824 /dev/zero | curl -sS -H 'Content-Length: 1073741824' -H 'Transfer-Encoding:' -T - -X POST "
            f"http://127.0.0.1:{server.port}/big",
            timeout_ms=120_000,
        )
        assert value["out"] == "1073741824", value
        assert _resident() - before < 64 << 20
        (done,) = leaves(world, "action.done", "web.post")
        assert done.facts["up"] == 1 << 30


async def test_a_thousand_connections_of_one_command_disturb_no_other(
    make: Callable[[str], ActingWorld],
) -> None:
    with upstream(hello) as server:
        world = make(LOOPBACK + allow("web.get", f"host:127.0.0.1/{server.port}/**"))
        flood = (
            "ulimit -n 1024; python3 - <<'END'\nimport socket\nopen_ = []\n"
            "for _ in range(1000):\n"
            "    one = socket.socket(); one.setblocking(False)\n"
            "    try: one.connect(('127.0.0.1', 3128))\n"
            "    except BlockingIOError: pass\n"
            "    open_.append(one)\n"
            "print(len(open_))\nimport time\ntime.sleep(2)\nEND"
        )
        place = world.engine.hands.target(agent_id(0), bytes(32), bytes(32), Resource(OWN_WORKSPACE)).space
        assert place is not None
        flooding = asyncio.create_task(world.running.run(place, flood, 60_000, keep=True))
        async with asyncio.timeout(30):
            while not world.egress._doors:
                await asyncio.sleep(0.01)
        # Another command, through its own listener.
        other = await world.running.run(
            place, f"curl -sS http://127.0.0.1:{server.port}/x", 60_000, keep=True
        )
        assert other["out"].startswith(b"hello GET /x")
        assert not flooding.done()
        assert (await flooding)["out"] == b"1000\n"


async def test_a_loop_of_connections_is_bounded_in_the_ledger(make: Callable[[str], ActingWorld]) -> None:
    world = make(LOOPBACK + allow("web.get", "host:named.example/80/**"))
    loop = (
        "python3 - <<'END'\nimport http.client\ncodes = set()\nfor n in range(300):\n"
        "    one = http.client.HTTPConnection('127.0.0.1', 3128)\n"
        "    one.request('GET', f'http://h{n}.example/')\n"
        "    codes.add(one.getresponse().status)\n    one.close()\nprint(sorted(codes))\nEND"
    )
    value = await shell(world, loop)
    assert value["out"] == "[403, 429]\n", value
    world.engine.flush(everything=True)
    denied = [entry for entry in world.entries("action.denied")]
    assert sum(entry.facts["count"] for entry in denied) == 300
    assert len(denied) <= egress.REFUSAL_KINDS + 2


async def test_a_way_out_makes_a_command_irreversible_so_that_a_family_of_verbs_does_not_allow_it(
    tmp_path: Path,
) -> None:
    world = ActingWorld(tmp_path, allow("shell.*", "ws:self") + allow("web.get", "host:named.example/80/**"))
    try:
        assert isinstance(await world.act("shell.run", "ws:self", command="true"), AskOpened)
    finally:
        await world.close()


async def test_an_agent_cannot_make_a_connection_without_a_command(
    make: Callable[[str], ActingWorld],
) -> None:
    world = make(allow("web.get", "host:named.example/80/**"))
    refused = await world.act("web.get", "host:named.example/80")
    assert isinstance(refused, Refused)
    assert refused.denied.reason == "unknown_verb"


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def _certificate(folder: Path) -> Path:
    """For localhost, by openssl as anybody makes one."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "ca.pem", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "ca.pem"
