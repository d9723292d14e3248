"""The demo's directory: keys made for it, a supervisor of its own, and the documents its operator signs.

Everything goes over the control socket as any operator's would. The keys exist only here: nobody's own keys, agent or
configuration are read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from queenright.authority.document import INTENT, OPERATORS
from queenright.authority.intent_toml import parse_intent
from queenright.authority.operators import Operators, Person, Right
from queenright.clock import SystemClock
from queenright.control.client import Client
from queenright.control.operator_key import FileSigner, open_path
from queenright.core.operator import OperatorKey
from queenright.demo.processes import Processes
from queenright.errors import NoSupervisor, QueenrightError, SandboxRefused
from queenright.paths import Paths
from queenright.supervisor.founding import Pinned, found_state
from queenright.supervisor.master import MasterKey

__all__ = ["MARKER", "OWNER", "SCRIPT", "Place", "command_line", "load_key"]

OWNER = "you"  # the demo's operator, by a key made for the demo
SCRIPT = "demo-script"  # the scripted operator's name in the operators document
MARKER = "demo.json"  # says that a directory is a demo's, and which runtime is its
READY_WITHIN_S = 60.0
LACKS_FEATURE = 6  # the exit code of a machine without what sandboxes need
ANSWERED = (Right(("db.session.kill",), "db:shop/main"),)  # all the script may approve


def command_line(*args: str) -> list[str]:
    """The installed `queenright` command, run by this interpreter."""
    return [sys.executable, "-c", "from queenright.cli import main; main()", *args]


def make_key(path: Path, comment: str) -> FileSigner:
    """A new Ed25519 key in a 0600 file, without a passphrase: it lives as long as the demo."""
    key = OperatorKey.generate(os.urandom(32), comment)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.to_openssh(None, None))
    return load_key(path)


def load_key(path: Path) -> FileSigner:
    """The key at `path`. Raises QueenrightError for one that is not a plain key file of ours."""
    signer = open_path(path, agent=None, ask=lambda _: b"")
    if not isinstance(signer, FileSigner):
        raise QueenrightError(f"{path} is not a private key file")
    return signer


class Place:
    """One demo's directory, `root`, which must be fresh and ours alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths.of(root / "state", {})
        self._master = os.urandom(32)
        (root / "keys").mkdir(mode=0o700)
        self.owner = make_key(root / "keys" / "operator", "queenright demo operator")
        self.script = make_key(root / "keys" / "script", "queenright demo script")
        self.pinned: Pinned = found_state(
            self.paths, owner=OWNER, key_line=self.owner.key.line, sign=self.owner.sign,
            master=MasterKey(self._master), kept="fd", clock=SystemClock(),
        )  # fmt: skip
        marker = {
            "root": str(root),
            "runtime": self.pinned.runtime.hex(),
            "owner": self.owner.key.fingerprint,
        }
        (root / MARKER).write_text(json.dumps(marker))

    def up(self, processes: Processes) -> None:
        """`queenright up` on this directory, the throw-away master key on a descriptor. Returns once it is ready."""
        read, write = os.pipe()
        os.write(write, self._master)
        os.close(write)
        argv = command_line("up", "--state", str(self.paths.state), "--master-key-fd", str(read))
        with (self.root / "supervisor.out").open("wb") as out:
            child = processes.start(
                "supervisor", argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[read]
            )
        os.close(read)
        limit = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < limit:
            if child.poll() is not None:
                said = (self.root / "supervisor.out").read_text(errors="replace").strip()
                if child.returncode == LACKS_FEATURE:
                    raise SandboxRefused(
                        said.removeprefix("queenright: "), step="start", hint="`queenright doctor`"
                    )
                raise NoSupervisor(f"the supervisor ended with {child.returncode}: {said[-2000:]}")
            try:
                with Client(self.paths.socket) as client:
                    if not client.call("health")["locked"]:
                        return
            except NoSupervisor:
                pass
            time.sleep(0.05)
        raise NoSupervisor(f"the supervisor was not ready within {READY_WITHIN_S:.0f} s")

    def client(self) -> Client:
        """A new connection that proved the operator's key."""
        client = Client(self.paths.socket)
        try:
            client.prove(self.owner)
        except BaseException:
            client.close()
            raise
        return client

    def enrol_script(self, client: Client) -> None:
        """Version 2 of the operators document: beside its owner, a script that may answer one kind of ask."""
        now = client.call("operators")
        operators = Operators.decode(now["document"])
        script = Person(SCRIPT, (self.script.key.line,), approvals=ANSWERED)
        new = replace(
            operators, version=operators.version + 1, previous=operators.digest,
            signed_at=SystemClock().wall_ms(), people=(*operators.people, script),
        )  # fmt: skip
        document = new.encode()
        client.call("operators_set", document=document, signature=self.owner.sign(OPERATORS, document))

    def start_script(self, processes: Processes) -> None:
        """The scripted operator, as a process that has its own key and the way to the socket, and nothing else."""
        module = ["-m", "queenright.demo.scripted", "--state", str(self.paths.state)]
        with (self.root / "script.out").open("wb") as out:
            processes.start(
                "script", [sys.executable, *module, "--key", str(self.root / "keys" / "script")],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def add_behaviour(self, client: Client) -> bytes:
        """Put the swarm's package into the supervisor's store; its digest."""
        package = files("queenright.demo") / "sre"
        names = [item for item in package.iterdir() if item.name.endswith((".py", ".toml"))]
        row = client.call("behaviour_add", files={item.name: item.read_bytes() for item in names})
        digest: bytes = row["digest"]
        return digest

    def apply(self, client: Client, text: str, package: bytes) -> str:
        """Sign the intent that `text` says and apply it; its id."""
        intent = parse_intent(text).compile(
            runtime=self.pinned.runtime,
            packages={"sre": package},
            now_ms=SystemClock().wall_ms(),
            rand=os.urandom,
        )
        document = intent.encode()
        row = client.call("intent_apply", document=document, signature=self.owner.sign(INTENT, document))
        return str(row["id"])
