"""The broker's token, looked for everywhere an agent, a thief of the disk or a screen could find it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from supervised import Supervised

TOKEN = "canary-7f3a9b/51c2+d8e4=x"
CALLER = """
from queenright.agent import Agent, Context, Message, handles

class Again(Message):
    n: int

class Caller(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.send(ctx.self, Again(1))

    @handles
    async def again(self, ctx: Context, message: Again) -> None:
        answer = await ctx.act("http.get", "svc:shop/web", path="/admin/echo")
        await ctx.act("fs.write", "ws:self", path="answer.txt", data=str(answer).encode())
        ctx.log(f"answer {message.n}: {answer}")
        await ctx.sleep(0.05)
        if message.n < 5:
            ctx.send(ctx.self, Again(message.n + 1))
"""
INTENT = """
[intent]
purpose = "call the admin api"
swarm = "c"
for = "10m"
depth = 0
max_agents = 1

[run]
start = "caller.Caller"
packages = ["caller"]

[[allow]]
do = ["http.get"]
on = "svc:shop/web"

[[allow]]
do = ["fs.write"]
on = "ws:self"
"""


class Echo(BaseHTTPRequestHandler):
    """An admin API that is opened by the token and, unkindly, gives it back."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        allowed = given == f"Bearer {TOKEN}"
        body = f'{{"you_sent": "{given}", "encoded": "{base64.b64encode(TOKEN.encode()).decode()}"}}'.encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)
        type(self).calls += allowed

    calls = 0

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    Echo.calls = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def shapes() -> list[bytes]:
    raw = TOKEN.encode()
    return [
        raw,
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw),
        raw.hex().encode(),
        quote(TOKEN, safe="").encode(),
    ]


def memory(pid: int) -> Iterator[bytes]:
    """Every readable mapping of a process, and its environment."""
    yield Path(f"/proc/{pid}/environ").read_bytes()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            span, mode = line.split()[:2]
            if "r" not in mode or "[v" in line:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            with contextlib.suppress(OSError, ValueError):
                mem.seek(start)
                yield mem.read(end - start)


def family(pid: int) -> list[int]:
    found = [pid]
    for child in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            if int((child / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found += family(int(child.name))
    return found


def test_the_brokers_token_is_in_no_cell_no_workspace_no_record_and_on_no_screen(
    supervised: Supervised, admin: int, tmp_path: Path
) -> None:
    supervised.up()
    supervised.call("secret_set", name="shop-admin", value=TOKEN.encode(), salt=os.urandom(16))
    supervised.resources(
        '[svc."shop/web"]\n'
        f'admin = {{url = "http://127.0.0.1:{admin}", secret = "vault:shop-admin", get = ["/admin/echo"]}}\n'
    )
    supervised.add("caller", CALLER, classes='"Caller"')
    supervised.apply(INTENT)
    supervised.until(
        "five answers", lambda: any(text.startswith("answer 5") for text in supervised.log("c/caller"))
    )
    assert Echo.calls == 5, "the token was never used, so finding it nowhere would prove nothing"
    places: dict[str, bytes] = {}
    for entry in supervised.entries():
        if entry["kind"] == "cell.started":
            for pid in family(entry["facts"]["pid"]):
                places[f"memory of cell process {pid}"] = b"".join(memory(pid))
    assert any(len(found) > 1 << 20 for found in places.values()), "no cell's memory could be read"
    for path in supervised.paths.state.rglob("*"):
        if path.is_file() and not path.is_symlink():
            places[str(path.relative_to(supervised.paths.state))] = path.read_bytes()
    places["the agent's log"] = "\n".join(supervised.log("c/caller")).encode()
    places["the ledger over the socket"] = repr(supervised.entries()).encode()
    for screen in ("swarm", "inbox", "ledger"):
        picture = tmp_path / f"{screen}.svg"
        subprocess.run(
            [sys.executable, "-m", "queenright.cli", "--state", str(supervised.paths.state), "tui", "--key",
             str(supervised.key_file), "--start", screen, "--screenshot", str(picture)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        places[f"screen {screen}"] = picture.read_bytes()
    found = {name: shape for name, data in places.items() for shape in shapes() if shape in data}
    assert found == {}
    assert re.search(rb"answer 5", places["the agent's log"])
