"""Tunnels under a real supervisor, which resolves their host from within its own domain: what ends an agent's authority, or the
supervisor, ends them too.
"""

from __future__ import annotations

import pytest
from supervised import Supervised
from upstreams import TO_LOOPBACK, Upstream, echo, upstream, with_tools

pytestmark = [pytest.mark.isolation, with_tools]

HOLDER = """
from queenright.agent import Agent, Context, Message, handles

SCRIPT = '''
import socket
one = socket.create_connection(("127.0.0.1", 3128))
one.sendall(b"CONNECT localhost:{port} HTTP/1.1\\\\r\\\\nHost: localhost:{port}\\\\r\\\\n\\\\r\\\\nping")
while one.recv(100): pass
'''

class Go(Message):
    pass

class Holder(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.send(ctx.self, Go())

    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        await ctx.files.write("hold.py", SCRIPT.encode())
        try:
            done = await ctx.shell("python3 hold.py", timeout=120)
            ctx.log(f"ended {done.code}")
        except Exception as refused:
            ctx.log(f"refused {type(refused).__name__} {refused}")
"""
INTENT = (
    """
[intent]
purpose = "hold a tunnel"
swarm = "t"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "holder.Holder"
packages = ["holder"]

[[allow]]
do = ["shell.run", "fs.write"]
on = "ws:self"

[[allow]]
do = ["net.connect"]
on = "host:localhost/PORT"
"""
    + TO_LOOPBACK
)


def holding(supervised: Supervised, server: Upstream) -> str:
    """A supervisor with an agent whose command holds a tunnel; the intent's id."""
    supervised.up()
    supervised.add("holder", HOLDER.replace("{port}", str(server.port)), classes='"Holder"')
    intent = supervised.apply(INTENT.replace("PORT", str(server.port)))
    supervised.until("the tunnel", lambda: server.seen == [b"ping"], within_s=60)
    return intent


def acts(supervised: Supervised, kind: str) -> list[str]:
    found = [entry for entry in supervised.entries() if entry["kind"] == kind]
    return [entry["action"]["verb"] for entry in found if "action" in entry]


def test_killing_the_supervisor_ends_a_tunnel_whose_act_is_unknown_afterwards(supervised: Supervised) -> None:
    with upstream(echo) as server:
        holding(supervised, server)
        assert "net.connect" in acts(supervised, "action.started")
        supervised.kill()
        supervised.until("the upstream's end", lambda: server.ended == 1)
        supervised.up()
        supervised.until("what nobody saw", lambda: "net.connect" in acts(supervised, "action.unknown"))


def test_freezing_an_intent_ends_its_tunnel(supervised: Supervised) -> None:
    with upstream(echo) as server:
        intent = holding(supervised, server)
        supervised.call("freeze", target=intent)
        supervised.until("the upstream's end", lambda: server.ended == 1, within_s=5)
        supervised.until("its record", lambda: "net.connect" in acts(supervised, "action.failed"))


def test_a_sandboxed_command_is_the_only_way_to_its_listener(supervised: Supervised) -> None:
    """Nothing listens on the machine's own loopback for it, and the supervisor stops in order with a tunnel open."""
    with upstream(echo) as server:
        holding(supervised, server)
        with open("/proc/net/tcp") as table:
            assert not any(line.split()[1:2] == ["0100007F:0C38"] for line in table)
        assert supervised.down() == 0
        supervised.until("the upstream's end", lambda: server.ended == 1)
