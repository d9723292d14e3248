"""A real supervisor for a test: a fresh state directory, a throw-away key, a daemon, a client that signs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from running import naming

from queenright.actions.resources import NAMESPACE as RESOURCES
from queenright.actions.resources_toml import compile_resources
from queenright.authority.document import APPROVE, INTENT
from queenright.authority.intent_toml import parse_intent
from queenright.authority.verdict import make_verdict
from queenright.clock import SystemClock
from queenright.control.client import Client
from queenright.control.operator_key import FileSigner
from queenright.core.operator import OperatorKey
from queenright.paths import Paths
from queenright.supervisor.founding import found_state
from queenright.supervisor.main import Options, to_json
from queenright.supervisor.master import create_key_file
from queenright.workspace import open_root, remove_tree

WITHIN_S = 30.0


class Supervised:
    """One state directory and, while it is up, its supervisor."""

    program: tuple[str, ...] = ("-m", "queenright.supervisor")

    def __init__(self, base: Path) -> None:
        self.base = base
        self.paths = Paths(base / "s")
        self.key = OperatorKey.generate(os.urandom(32), "test")
        self.key_file = base / "owner"
        self.key_file.write_text(self.key.to_openssh(None, None))
        self.key_file.chmod(0o600)
        self.signer = FileSigner(self.key_file, self.key)
        self.daemon: subprocess.Popen[bytes] | None = None
        master = create_key_file(base / "master", self.paths.state)
        found_state(
            self.paths, owner="ana", key_line=self.key.public_line, sign=self.key.sign, master=master, kept="file",
            clock=SystemClock(),
        )  # fmt: skip

    # --- the daemon -----------------------------------------------------------------------------------------------

    def up(
        self,
        *,
        locked: bool = False,
        degraded: Literal["landlock"] | None = None,
        own_cells: int | None = None,
    ) -> None:
        give_read, give_write = os.pipe()
        ready_read, ready_write = os.pipe()
        options = Options(
            self.paths.state, locked=locked, ready_fd=ready_write, degraded=degraded, own_cells=own_cells
        )
        with (self.base / "stderr").open("ab") as errors:
            self.daemon = subprocess.Popen(
                [sys.executable, "-P", *self.program, str(give_read)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, pass_fds=[give_read, ready_write],
                start_new_session=True,
            )  # fmt: skip
        os.close(give_read)
        os.close(ready_write)
        with os.fdopen(give_write, "wb") as pipe:
            pipe.write(to_json(options))
        told = os.read(ready_read, 65536) if select.select([ready_read], [], [], WITHIN_S)[0] else b"silence"
        os.close(ready_read)
        assert told == b"ready\n", (told, (self.base / "stderr").read_text()[-3000:])

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait(WITHIN_S)
        self.daemon = None

    def down(self) -> int:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(WITHIN_S)
        self.daemon = None
        return code

    def close(self) -> None:
        if self.daemon is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.daemon.send_signal(signal.SIGTERM)
                self.daemon.wait(20)
            if self.daemon.poll() is None:
                self.kill()

    # --- talking to it --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        with Client(self.paths.socket) as client:
            client.prove(self.signer)
            yield client

    def call(self, method: str, **params: Any) -> Any:
        with self.client() as client:
            return client.call(method, **params)

    def until(self, what: str, condition: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
        """Ask again and again until it is true; a bounded wait on a condition, not on luck."""
        deadline = time.monotonic() + within_s
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.report()}")
            time.sleep(0.02)

    def report(self) -> str:
        """What helps after a failure."""
        parts = [(self.base / "stderr").read_text()[-3000:]]
        if self.paths.log.exists():
            parts.append(self.paths.log.read_text()[-4000:])
        with contextlib.suppress(Exception):
            for row in self.call("agents")["rows"]:
                lines = self.call("agent_log", agent=row["id"])["lines"]
                parts.append(
                    f"{row['name']} {row['state']} {row['doing']}: {[line['text'] for line in lines][-8:]}"
                )
        return "\n".join(parts)

    # --- giving it something to do --------------------------------------------------------------------------------

    def add(self, name: str, source: str, *, classes: str, extra: str = "") -> bytes:
        """A package of one module."""
        manifest = f'name = "{name}"\nversion = "1"\nclasses = [{classes}]\n{extra}\n'
        row = self.call(
            "behaviour_add", files={"behaviour.toml": manifest.encode(), "__init__.py": source.encode()}
        )
        digest: bytes = row["digest"]
        return digest

    def apply(self, text: str) -> str:
        """Sign and apply an intent; its id."""
        packages = {row["name"]: row["digest"] for row in self.call("behaviours")}
        with self.client() as client:
            intent = parse_intent(text).compile(
                runtime=client.hello.runtime,
                packages=packages,
                now_ms=SystemClock().wall_ms(),
                rand=os.urandom,
            )
            document = intent.encode()
            row = client.call("intent_apply", document=document, signature=self.key.sign(INTENT, document))
        found: str = row["id"]
        return found

    def resources(self, text: str) -> None:
        document = compile_resources(text).encode()
        self.call("resources_set", document=document, signature=self.key.sign(RESOURCES, document))

    def decide(self, ask: str, answer: str = "once", **more: Any) -> Any:
        """Answer an ask as an operator would: from the canonical bytes it was sent."""
        detail = self.call("ask", ask=ask)
        with self.client() as client:
            verdict = make_verdict(
                client.hello.runtime, list(zip(detail["members"], detail["reasons"], strict=True)), answer,  # type: ignore[arg-type]
                rand=os.urandom, **more,
            )  # fmt: skip
            document = verdict.encode()
            return client.call("ask_decide", verdict=document, signature=self.key.sign(APPROVE, document))

    # --- looking --------------------------------------------------------------------------------------------------

    def agents(self) -> dict[str, Any]:
        return {row["name"]: row for row in self.call("agents")["rows"]}

    def log(self, agent: str) -> list[str]:
        return [line["text"] for line in self.call("agent_log", agent=agent)["lines"]]

    def entries(self, query: str = "") -> list[dict[str, Any]]:
        rows = self.call("ledger", query=query, newest=False, limit=500)["rows"]
        return [json.loads(row["entry"]) for row in rows]

    def processes(self) -> list[int]:
        """Every process that has this state directory, or a cell's fixed places, in its command line."""
        return naming(str(self.paths.state))


def remove(base: Path) -> None:
    """A state directory holds read-only packages, and links that agents made: those are never followed."""
    parent = open_root(base.parent)
    try:
        remove_tree(parent, base.name)
    finally:
        os.close(parent)
