"""The ledger that a real supervisor writes, killed and restarted, verified as an outsider would."""

from __future__ import annotations

from supervised import Supervised

from queenright.ledger import verify_directory
from queenright.ledger.log import LOG_VKEY

HELLO = """
from queenright.agent import Agent, Context

class Hello(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.log("hello")
"""
INTENT = """
[intent]
purpose = "say hello"
swarm = "hi"
for = "10m"
depth = 1
max_agents = 4

[run]
start = "hello.Hello"
packages = ["hello"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def test_an_outsider_verifies_what_a_killed_and_restarted_supervisor_wrote(supervised: Supervised) -> None:
    supervised.up()
    supervised.add("hello", HELLO, classes='"Hello"')
    supervised.apply(INTENT)
    supervised.until("hello", lambda: "hello" in supervised.log("hi/hello"))
    seen = supervised.call("ledger_checkpoint")["note"].encode()
    supervised.kill()
    supervised.up()
    assert supervised.down() == 0
    ledger = supervised.paths.ledger
    vkey = (ledger / LOG_VKEY).read_text()
    report = verify_directory(ledger, vkey, seen, [supervised.key.public_line])
    assert (report.exit_code, report.tail) == (0, "checked"), report.lines()
    assert report.signed == report.size, "closing signs what is left"
    assert report.signatures >= 2, "the intent, by the operator; the birth, by the runtime"

    entries = ledger / "entries"
    whole = entries.read_bytes()
    entries.write_bytes(whole.replace(b"intent.applied", b"intent.amended"))
    assert verify_directory(ledger, vkey, seen, [supervised.key.public_line]).exit_code == 1
