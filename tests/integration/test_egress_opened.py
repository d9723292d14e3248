"""TLS opened for hosts with a credential: real commands in real sandboxes, and real TLS servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from acting_world import TOKEN, ActingWorld
from authority_world import agent_id
from upstreams import TO_LOOPBACK, Upstream, make_authority, serving_as, shell, silent, upstream, with_tools

from queenright.supervisor.openings import BUNDLE

pytestmark = [pytest.mark.isolation, with_tools]

SECRET = TOKEN.decode()
RULES = (
    TO_LOOPBACK
    + """
[[allow]]
do = ["shell.run", "fs.write"]
on = "ws:self"

[[allow]]
do = ["web.*", "net.connect"]
on = "host:localhost/PORT/**"

[[allow]]
do = ["net.connect"]
on = "host:localhost/PORT"

[[allow]]
do = ["web.post", "web.put", "web.delete"]
on = "host:localhost/PORT/**"
"""
)
MAPPED = """
[host.localhost]
port = PORT
ca = "CA"
inject = {header = "authorization", prefix = "Bearer ", secret = "vault:shop-admin", paths = ["/v1/**"]}
"""
CARRIED = b"authorization: Bearer " + TOKEN
"""The header as the upstream gets it."""


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., ActingWorld]]:
    worlds: list[ActingWorld] = []

    def build(server: Upstream, rules: str = RULES, mapped: str = MAPPED, ca: str = "ca.pem") -> ActingWorld:
        def fill(text: str) -> str:
            return text.replace("PORT", str(server.port)).replace("CA", str(tmp_path / ca))

        (tmp_path / "world").mkdir()
        worlds.append(ActingWorld(tmp_path / "world", fill(rules), fill(mapped)))
        return worlds[-1]

    yield build
    for world in worlds:
        await world.close()
        assert not world.failures


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return serving_as(tmp_path, "localhost", make_authority(tmp_path))


def told(one: socket.socket, first: bytes) -> None:
    """Answers with whether a credential came, and what else did."""
    head = first.partition(b"\r\n\r\n")[0]
    text = b"ok " + b" | ".join(line for line in head.split(b"\r\n") if not line.startswith(CARRIED))
    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


async def test_the_upstream_sees_the_credential_and_nothing_of_the_command_ever_does(
    make: Callable[..., ActingWorld], context: Any, tmp_path: Path
) -> None:
    with upstream(told, context) as server:
        world = make(server)
        url = f"https://localhost:{server.port}"
        value = await shell(
            world,
            f"curl -sS {url}/v1/items?q=1 -H 'Authorization: Bearer placeholder'; echo; "
            f'python3 -c \'import urllib.request as u; print(u.urlopen("{url}/v1/py", data=b"body").read().decode())\'; '
            "env; cat /proc/self/environ; ls -la /etc/ssl; cat /etc/ssl/queenright.pem | grep -c BEGIN",
        )
        assert value["out"].splitlines()[0].startswith("ok GET /v1/items?q=1 HTTP/1.1"), value
        assert "ok POST /v1/py HTTP/1.1" in value["out"], value
        assert len(server.seen) == 2
        for head in server.seen:
            assert head.count(CARRIED) == 1
            assert head.lower().count(b"authorization") == 1
            assert b"accept-encoding: identity\r\n" in head
            assert b"placeholder" not in head
        assert f"SSL_CERT_FILE={BUNDLE}" in value["out"]
        assert SECRET not in json.dumps(value, default=repr)
        for kept in (tmp_path / "world").rglob("*"):
            if kept.is_file():
                assert TOKEN not in kept.read_bytes(), kept
        # It is an act as any other, under a lease that ended with the command.
        world.engine.flush(everything=True)
        (posted,) = [e for e in world.entries("action.started") if e.action and e.action.verb == "web.post"]
        assert posted.action.resource == f"host:localhost/{server.port}/v1/py"
        issued, ended = world.entries("lease.issued"), world.entries("lease.ended")
        assert [entry.facts["delivery"] for entry in issued] == ["inject"]
        assert [entry.lease for entry in ended] == [entry.lease for entry in issued]
        assert not [e for e in world.entries("action.started") if e.action and e.action.verb == "net.connect"]


async def test_only_the_mapped_paths_carry_it_and_what_no_rule_names_is_refused_inside(
    make: Callable[..., ActingWorld], context: Any
) -> None:
    with upstream(told, context) as server:
        world = make(server, RULES.replace('"web.*", "net.connect"', '"web.get"').replace("PORT/**", "PORT/v1/**")
                     + "\n[[allow]]\ndo = ['web.get']\non = 'host:localhost/PORT/open'\n")  # fmt: skip
        url = f"https://localhost:{server.port}"
        value = await shell(
            world,
            f"curl -sS {url}/open -H 'authorization: mine' -H 'AUTHORIZATION: twice' -o /dev/null -w '%{{http_code}}\n'; "
            f"curl -sS {url}/open -H 'authorization: mine' -o /dev/null -w '%{{http_code}}\n'; "
            f"curl -sS {url}/other; curl -sS --path-as-is {url}/v1/../other",
        )
        assert value["out"].splitlines()[:2] == ["400", "200"], value
        refusals = [json.loads(line) for line in value["out"].splitlines()[2:]]
        assert [one["error"] for one in refusals] == ["denied", "malformed"], value
        (head,) = server.seen
        assert b"uthorization" not in head
        assert not world.entries("lease.issued")


async def test_headers_that_a_server_may_take_for_it_are_taken_away(
    make: Callable[..., ActingWorld], context: Any
) -> None:
    with upstream(told, context) as server:
        world = make(server, mapped=MAPPED.replace('"authorization"', '"x-api-key"').replace("Bearer ", "k="))
        url = f"https://localhost:{server.port}/v1/a"
        smuggled = "-H 'X_API_KEY: mine' -H 'x-api_key: mine' -H 'X-Api-Key: mine' -H 'Range: bytes=0-3'"
        value = await shell(world, f"curl -sS {url} {smuggled} -H 'Connection: x-api-key'")
        assert value["out"].startswith("ok"), value
        (head,) = server.seen
        assert b"mine" not in head
        assert b"range" not in head.lower()
        assert head.lower().count(b"api") == 1
        assert b"x-api-key: k=" + TOKEN + b"\r\n" in head


async def test_whatever_comes_back_of_it_is_taken_out_wherever_it_is_cut(
    make: Callable[..., ActingWorld], context: Any
) -> None:
    shapes = [TOKEN, base64.b64encode(TOKEN), base64.b64encode(b"x:" + TOKEN), TOKEN.hex().upper().encode()]

    def echoes(one: socket.socket, first: bytes) -> None:
        one.sendall(b"HTTP/1.1 200 OK\r\nX-Was: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % TOKEN)
        for shape in shapes:
            for piece in (b"<", shape[:7], shape[7:9], shape[9:], b">"):
                one.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        one.sendall(b"0\r\n\r\n")

    def plain(one: socket.socket, first: bytes) -> None:
        one.sendall(b"HTTP/1.1 302 Found\r\nLocation: /?t=%s\r\nContent-Length: %d\r\n\r\n" % (
            quote(SECRET).encode(), len(first)))  # fmt: skip
        one.sendall(first)

    for serve, times in ((echoes, 1 + len(shapes)), (plain, 2)):
        with upstream(serve, context) as server:
            world = make(server)
            value = await shell(world, f"curl -sS -i --max-time 10 https://localhost:{server.port}/v1/echo")
            assert value["code"] == 0, value
            seen = value["out"].encode()
            assert server.seen[0].count(CARRIED) == 1
            assert not any(shape.lower() in seen.lower() for shape in shapes), value
            assert len(re.findall(rb"\*{23,}", seen)) == times, value
            await world.close()
            world.close = _nothing  # type: ignore[method-assign]
            (world.base).rename(world.base.with_name(f"world-{server.port}"))


async def _nothing() -> None:
    pass


async def test_an_answer_in_a_coding_is_refused(make: Callable[..., ActingWorld], context: Any) -> None:
    def coded(one: socket.socket, first: bytes) -> None:
        one.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")

    with upstream(coded, context) as server:
        world = make(server)
        value = await shell(world, f"curl -sS https://localhost:{server.port}/v1/x")
        assert json.loads(value["out"])["error"] == "coded"


async def test_an_upstream_that_is_not_proved_to_be_its_name_gets_nothing(
    make: Callable[..., ActingWorld], context: Any, tmp_path: Path
) -> None:
    stranger = serving_as(tmp_path, "localhost", make_authority(tmp_path, "stranger"))
    other = serving_as(tmp_path, "other.example", tmp_path / "ca.pem")
    for serving, words in ((stranger, "no authority that is trusted"), (other, "for another name")):
        with upstream(told, serving) as server:
            world = make(server)
            value = await shell(world, f"curl -sS -d x https://localhost:{server.port}/v1/x")
            answer = json.loads(value["out"])
            assert answer["error"] == "unverified"
            assert words in answer["message"]
            assert server.seen == []
            (failed,) = [
                e for e in world.entries("action.failed") if e.action and e.action.verb == "web.post"
            ]
            assert failed.result.code == "unverified"
            await world.close()
            world.close = _nothing  # type: ignore[method-assign]
            world.base.rename(world.base.with_name(f"world-{server.port}"))


async def test_another_name_another_host_header_another_protocol_get_no_further(
    make: Callable[..., ActingWorld], context: Any
) -> None:
    with upstream(told, context) as server:
        world = make(server)
        script = f"""python3 - <<'END'
import socket, ssl
def connect(name, alpn=(), ca="{BUNDLE}"):
    raw = socket.create_connection(("127.0.0.1", 3128)); raw.settimeout(20)
    raw.sendall(b"CONNECT localhost:{server.port} HTTP/1.1\\r\\nHost: localhost:{server.port}\\r\\n\\r\\n")
    assert raw.recv(1000).startswith(b"HTTP/1.1 200")
    if name is None: return raw
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    if alpn: context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(raw, server_hostname=name or None)
def outcome(do):
    try: return do()
    except (ssl.SSLError, OSError) as wrong: return type(wrong).__name__ + " " + str(wrong)
def get(tls, host):
    tls.sendall(b"GET /v1/a HTTP/1.1\\r\\nHost: " + host + b"\\r\\n\\r\\n")
    return tls.recv(1000)[:12]
good = b"localhost:{server.port}"
print("name", outcome(lambda: get(connect("other.example"), good)))
print("none", outcome(lambda: get(connect(""), good)))
print("host", outcome(lambda: get(connect("localhost"), b"other.example")))
print("h2", outcome(lambda: get(connect("localhost", ["h2"]), good)))
print("both", outcome(lambda: (lambda tls: (tls.selected_alpn_protocol(), get(tls, good)))(connect("localhost", ["h2", "http/1.1"]))))
raw = connect(None); raw.sendall(b"\\x00garbage" * 50)
print("garbage", outcome(lambda: raw.recv(100)[-1000:]))
END"""
        value = await shell(world, script)
        lines = dict(line.split(" ", 1) for line in value["out"].splitlines())
        assert "SSL" in lines["name"], value
        assert "SSL" in lines["none"], value
        assert lines["host"] == repr(b"HTTP/1.1 400")
        assert "SSL" in lines["h2"], value
        assert lines["both"] == repr(("http/1.1", b"HTTP/1.1 200"))
        assert "HTTP" not in lines["garbage"]
        assert len(server.seen) == 1


async def test_a_client_that_does_not_trust_the_swarms_authority_gets_no_tunnel_around_it(
    make: Callable[..., ActingWorld], context: Any, tmp_path: Path
) -> None:
    with upstream(told, context) as server:
        world = make(server)
        ca = (tmp_path / "ca.pem").read_text()
        value = await shell(
            world,
            f"cat > own.pem <<'END'\n{ca}END\ncurl -sS --cacert own.pem https://localhost:{server.port}/v1/a; echo $?",
        )
        assert value["out"].strip() == "60", value
        assert server.seen == []


async def test_a_host_that_is_not_mapped_is_tunnelled_untouched_and_its_authority_is_its_own(
    make: Callable[..., ActingWorld], context: Any, tmp_path: Path
) -> None:
    with upstream(told, context) as server, upstream(told, context) as other:
        rules = RULES + f"\n[[allow]]\ndo = ['net.connect']\non = 'host:localhost/{other.port}'\n"
        world = make(server, rules)
        ca = (tmp_path / "ca.pem").read_text()
        url = f"https://localhost:{other.port}/v1/a"
        value = await shell(
            world,
            f"cat > own.pem <<'END'\n{ca}END\ncurl -sS --cacert own.pem {url}; echo; curl -sS {url}; echo $?",
        )
        assert value["out"].splitlines()[0].startswith("ok GET"), value
        assert value["out"].splitlines()[-1] == "60", value
        assert all(TOKEN not in head for head in other.seen)
        assert server.seen == []


async def test_a_tunnel_is_never_blind_for_an_intent_that_names_only_tunnels(
    make: Callable[..., ActingWorld], context: Any
) -> None:
    with upstream(told, context) as server:
        rules = (
            RULES.split('[[allow]]\ndo = ["web.*"')[0]
            + "[[allow]]\ndo = ['net.connect']\non = 'host:localhost/PORT'\n"
        )
        world = make(server, rules)
        value = await shell(
            world,
            f"curl -sS https://localhost:{server.port}/v1/a -o /dev/null -w '%{{http_connect}}'; ls /etc/ssl",
        )
        assert value["out"].startswith("403"), value
        assert "queenright.pem" not in value["out"]
        (denied,) = [e for e in world.entries("action.denied") if e.action and e.action.verb == "net.connect"]
        assert denied.facts["reason"] == "opened_host"
        assert server.seen == []


@pytest.mark.parametrize("how", ["revoke", "freeze", "expiry", "cut", "lease"])
async def test_authority_that_ends_cuts_an_opened_connection(
    make: Callable[..., ActingWorld], context: Any, how: str
) -> None:
    with upstream(silent, context) as server:
        world = make(server)
        running = asyncio.create_task(
            shell(world, f"curl -sS -d x --max-time 60 https://localhost:{server.port}/v1/slow; echo $?")
        )
        async with asyncio.timeout(30):
            while not server.seen:
                await asyncio.sleep(0.01)
        grants, leases = world.authority.grants, world.authority.leases
        (lease,) = [entry.lease for entry in world.entries("lease.issued")]
        if how == "revoke":
            world.commit(grants.revoke(agent_id(0)))
        elif how == "freeze":
            world.commit(grants.freeze(world.standing.intent.id))
        elif how == "expiry":
            world.clock.advance(3 * 60 * 60 * 1000)
        elif how == "cut":
            assert len(world.egress.cut(frozenset({agent_id(0)}))) == 1
        else:
            world.commit(leases.end(lease, "a person ended it"))
            assert len(world.egress.cut_lease(lease)) == 1
        value = await running
        assert value["out"].strip() in ("52", "56"), value
        (ended,) = [e for e in world.entries("action.unknown") if e.action and e.action.verb == "web.post"]
        assert ended.result.code in ("cut", "unknown_outcome"), ended


async def test_a_command_whose_lease_was_revoked_gets_no_other(
    make: Callable[..., ActingWorld], context: Any
) -> None:
    with upstream(told, context) as server:
        world = make(server)
        url = f"https://localhost:{server.port}/v1/a"
        running = asyncio.create_task(
            shell(world, f"curl -sS {url}; echo; touch done; while ! test -e /tmp/go; do curl -sS {url} >/tmp/last; "
                         "grep -q lease_ended /tmp/last && touch /tmp/go; sleep 0.2; done; cat /tmp/last")
        )  # fmt: skip
        async with asyncio.timeout(30):
            while not server.seen:
                await asyncio.sleep(0.01)
        (lease,) = [entry.lease for entry in world.entries("lease.issued")]
        world.commit(world.authority.leases.end(lease, "a person ended it"))
        value = await running
        assert json.loads(value["out"].splitlines()[-1])["error"] == "lease_ended", value
        assert len(world.entries("lease.issued")) == 1
