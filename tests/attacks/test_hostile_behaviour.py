"""A hostile behaviour in a real cell, and a hostile shell command, under a real supervisor: they get nothing.

What reaches the supervisor is attributed in the ledger; what the kernel hides leaves no trace, and no test here wants one.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from supervised import Supervised

SPY = """
import json, os, socket
from queenright.agent import Agent, Context, Denied, Message, handles

PLACES = {places!r}

def attempt(name, fn):
    try:
        return name, "GOT " + repr(fn())[:80]
    except BaseException as error:
        return name, type(error).__name__

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        sock.connect(address)
        return "connected"

class Spy(Agent):
    async def on_start(self, ctx: Context) -> None:
        found = [attempt("read " + place, lambda place=place: open(place, "rb").read(64)) for place in PLACES]
        found += [attempt("list " + place, lambda place=place: os.listdir(os.path.dirname(place))) for place in PLACES]
        found.append(attempt("network", lambda: connect(socket.AF_INET, ("127.0.0.1", {port}))))
        found.append(attempt("control socket", lambda: connect(socket.AF_UNIX, {socket!r})))
        found.append(attempt("environment", lambda: {{k: v for k, v in os.environ.items() if "SSH" in k or "QUEENRIGHT" in k}} or 1 / 0))
        found.append(attempt("processes", lambda: [p for p in os.listdir("/proc") if p.isdigit() and p not in (str(os.getpid()), "1")] or 1 / 0))
        for verb, resource in (("db.session.kill", "db:shop/main"), ("fs.write", "svc:shop/web"), ("no.such", "ws:self")):
            try:
                await ctx.act(verb, resource)
                found.append((verb, "GOT"))
            except Exception as error:
                found.append((verb, type(error).__name__))
        out = await ctx.shell("cat {key} {state}/keyring {state}/workspaces/*/* 2>/dev/null; id -u; env | grep -c SSH; ls /proc | grep -c '^[0-9]'")
        found.append(("shell", out.out))
        ctx.log(json.dumps(dict(found)))
"""
INTENT = """
[intent]
purpose = "spy"
swarm = "spy"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "spy.Spy"
packages = ["spy"]

[[allow]]
do = ["shell.run"]
on = "ws:self"
"""


def test_a_hostile_behaviour_reads_no_key_no_state_no_neighbour_and_no_network(
    supervised: Supervised,
) -> None:
    neighbour = supervised.paths.workspaces / ("ab" * 32)
    neighbour.mkdir(parents=True, exist_ok=True)
    (neighbour / "secret.txt").write_text("NEIGHBOUR-CANARY")
    places = [
        str(supervised.key_file), str(supervised.base / "master"), str(supervised.paths.keyring),
        str(supervised.paths.store / "state.db"), str(supervised.paths.ledger / "entries"), str(neighbour / "secret.txt"),
        "/etc/shadow", str(Path.home() / ".ssh" / "id_ed25519"),
    ]  # fmt: skip
    supervised.up()
    source = SPY.format(
        places=places,
        port=1,
        socket=str(supervised.paths.socket),
        key=supervised.key_file,
        state=supervised.paths.state,
    )
    supervised.add("spy", source, classes='"Spy"')
    supervised.apply(INTENT)
    line = supervised.until(
        "the spy's report",
        lambda: next((text for text in supervised.log("spy/spy") if text.startswith("{")), None),
    )
    report = json.loads(line)
    # The sandbox's own /etc (a made-up passwd, the loader's cache) may be listed; the machine's is not there.
    got = {
        name: what for name, what in report.items() if what.startswith("GOT") and name != "list /etc/shadow"
    }
    assert "shadow" not in report["list /etc/shadow"]
    assert got == {}, got
    shell = report.pop("shell")
    assert "CANARY" not in shell
    assert "OPENSSH" not in shell
    denied = {
        (e["action"]["verb"]) for e in supervised.entries() if e["kind"] == "action.denied" and "action" in e
    }
    refused = [e for e in supervised.entries() if e["kind"] == "action.denied"]
    assert len(refused) >= 2, denied
    assert all(e["actor"]["name"] == "spy/spy" for e in refused)


HOSTILE_FRAMES = """
import os
from queenright.agent import Agent, Context

class Spy(Agent):
    async def on_start(self, ctx: Context) -> None:
        {attack}
        ctx.log("still here")
"""


def broken(supervised: Supervised, attack: str) -> list[dict[str, object]]:
    supervised.up()
    supervised.add("spy", HOSTILE_FRAMES.format(attack=attack), classes='"Spy"')
    supervised.apply(INTENT)

    def recorded() -> list[dict[str, object]]:
        return [entry for entry in supervised.entries() if entry["kind"] == "protocol.violation"]

    return supervised.until("the violation", recorded)


def test_an_oversize_frame_ends_the_cell_and_is_attributed(supervised: Supervised) -> None:
    found = broken(supervised, 'os.write(3, b"\\xff\\xff\\xff\\xff" + b"x" * 1000)')
    assert "over the limit" in found[0]["facts"]["what"]


def test_a_forged_leaf_frame_ends_the_cell_and_is_attributed(supervised: Supervised) -> None:
    found = broken(
        supervised,
        'from queenright.core import canonical; body = canonical({"t": "leaf", "kind": "action.done"}); '
        'os.write(3, len(body).to_bytes(4, "big") + body)',
    )
    assert "unknown link frame" in found[0]["facts"]["what"]


def test_a_client_that_sends_rubbish_is_refused_and_recorded(supervised: Supervised) -> None:
    import socket

    supervised.up()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(str(supervised.paths.socket))
        with contextlib.suppress(OSError):
            sock.sendall(b"\xff\xff\xff\xffrubbish" * 100)
            while sock.recv(65536):
                pass
    supervised.until(
        "the refusal", lambda: [e for e in supervised.entries() if e["kind"] == "control.refused"]
    )
    assert supervised.call("health")["ledger_ok"]
