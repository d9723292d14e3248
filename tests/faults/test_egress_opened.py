"""TLS opened under a real supervisor, from within its own domain: the credential reaches its host, and nothing else of the machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from supervised import Supervised
from upstreams import TO_LOOPBACK, make_authority, serving_as, upstream, with_tools

pytestmark = [pytest.mark.isolation, with_tools]

TOKEN = "canary-opened-3f81c09a77"
CALLER = """
from queenright.agent import Agent, Context, Message, handles

class Go(Message):
    pass

class Caller(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.send(ctx.self, Go())

    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        done = await ctx.shell("curl -sS -d body https://localhost:{port}/v1/a; env; cat /proc/*/environ; true", timeout=60)
        ctx.log(f"ended {done.code} {done.out[:2000]!r} {done.err!r}")
"""
INTENT = (
    """
[intent]
purpose = "call an api"
swarm = "t"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "caller.Caller"
packages = ["caller"]

[[allow]]
do = ["shell.run", "fs.write"]
on = "ws:self"

[[allow]]
do = ["web.post"]
on = "host:localhost/PORT/v1/**"
"""
    + TO_LOOPBACK
)


def echo(one: socket.socket, first: bytes) -> None:
    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(first), first))


def test_a_command_uses_a_credential_that_is_nowhere_on_the_machine(
    supervised: Supervised, tmp_path: Path
) -> None:
    context = serving_as(tmp_path, "localhost", make_authority(tmp_path))
    with upstream(echo, context) as server:
        supervised.up()
        supervised.call("secret_set", name="api", value=TOKEN.encode(), salt=os.urandom(16))
        supervised.resources(
            f'[host.localhost]\nport = {server.port}\nca = "{tmp_path / "ca.pem"}"\n'
            'inject = {header = "authorization", prefix = "Bearer ", secret = "vault:api"}\n'
        )
        supervised.add("caller", CALLER.replace("{port}", str(server.port)), classes='"Caller"')
        supervised.apply(INTENT.replace("PORT", str(server.port)))
        supervised.until("the request", lambda: server.seen, within_s=60)
        assert server.seen[0].count(f"authorization: Bearer {TOKEN}".encode()) == 1
        supervised.until("its end", lambda: any(e["kind"] == "lease.ended" for e in supervised.entries()))
        (agent,) = supervised.agents()
        supervised.until("the answer", lambda: supervised.log(agent))
        (line,) = supervised.log(agent)
        assert line.startswith("ended 0"), line
        assert "POST /v1/a" in line
        assert "*" * len(TOKEN) in line
        assert "SSL_CERT_FILE=/etc/ssl/queenright.pem" in line
        assert supervised.down() == 0
        state = supervised.paths.state
        assert not [
            path for path in state.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
        ]
