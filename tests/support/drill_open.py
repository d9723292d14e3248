"""A drill in a throw-away place where every boundary is switched off: there each attack must be found to have ESCAPED.

`drill_open.py world [NAME...]` makes the place (namespaces of its own for mounts, network, ipc and names, with a /tmp of its
own), a supervisor that sandboxes nothing and believes everything, and runs the drill against it; it prints the drill's JSON.
Needs root. The other roles are started by it: `supervisor FD`, `client ARGUMENT...`, `exec FD... -- PROGRAM`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWIPC, NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
MS_BIND = 4096
METADATA = ("169.254.169.254/32", "fd00:ec2::254/128")


def checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


# --- the place --------------------------------------------------------------------------------------------------------


def world(only: Sequence[str]) -> None:
    checked(LIBC.unshare(NEWNS | NEWUTS | NEWIPC | NEWNET), "unshare")
    checked(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    library = Path(tempfile.gettempdir()).resolve()
    here = Path(__file__).resolve().parents[2]
    kept = os.open(here, os.O_PATH | os.O_DIRECTORY)
    checked(LIBC.mount(b"drill", bytes(library), b"tmpfs", 0, b"size=256m"), "a /tmp of its own")
    if here.is_relative_to(library):  # a checkout in /tmp is still needed
        here.mkdir(parents=True)
        checked(
            LIBC.mount(f"/proc/self/fd/{kept}".encode(), bytes(here), None, MS_BIND, None), "the checkout"
        )
    os.close(kept)
    for words in (
        ["link", "set", "lo", "up"],
        *(["addr", "add", address, "dev", "lo"] for address in METADATA),
    ):
        subprocess.run(["ip", *words], check=True)
    from supervised import Supervised

    base = Path(tempfile.mkdtemp(prefix="qr-"))
    there = Supervised(base)
    there.program = (__file__, "supervisor")
    there.up()
    try:
        command = [sys.executable, __file__, "client", "drill", "--state", str(there.paths.state), "--key",
                   str(there.key_file), "--yes", "--json", *(word for name in only for word in ("--only", name))]  # fmt: skip
        done = subprocess.run(
            command,
            env=os.environ | {"QUEENRIGHT_CONFIG": str(base / "config")},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "{}")
        print(done.stderr, file=sys.stderr)
        if done.returncode not in (0, 1):
            raise SystemExit(f"the drill exited {done.returncode}: {done.stderr}\n{there.report()}")
    finally:
        there.close()


# --- a supervisor without boundaries ----------------------------------------------------------------------------------


class Bare:
    """A process where a sandbox should be."""

    def __init__(self, process: asyncio.subprocess.Process, number: int) -> None:
        self.id, self.pid, self._process = number, process.pid, process

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> Any:
        from queenright.supervisor.launcher import Exit

        code = await self._process.wait()
        return Exit(code, None) if code >= 0 else Exit(None, -code)


def supervisor(descriptor: int) -> int:
    from queenright.supervisor import launcher, logs, main

    main.restrict_self = lambda *_: 6  # type: ignore[assignment]
    main.harden_process = lambda: None
    logs.sanitize = lambda text, limit: text[:limit]  # type: ignore[assignment]
    unbox(launcher.Launcher)
    believe_cells()
    grant_everything()
    follow_everything()
    let_everybody_in()
    return main.run(main.from_descriptor(descriptor))


def unbox(cls: Any) -> None:
    """Cells are plain processes in their maker's own world, with one more descriptor and variable."""
    cls.in_place = property(lambda self: True)
    sandboxed = cls.spawn

    async def spawn(self: Any, spec: Any, fds: Sequence[int]) -> Any:
        if spec.kind != "cell":
            return await sandboxed(self, spec, fds)
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "exec", *map(str, fds), "--", *spec.argv,
            pass_fds=tuple(fds), cwd=spec.cwd, env=dict(spec.env) | {"DRILL_CONTROL": "found"},
        )  # fmt: skip
        return Bare(process, self._next())

    cls.spawn = spawn


def become(words: Sequence[str]) -> None:
    """exec with these descriptors as 0, 1, 2, … and one more that nobody asked for."""
    cut = words.index("--")
    kept = [os.dup(int(word)) for word in words[:cut]]
    high = [os.dup2(fd, 100 + number, inheritable=True) for number, fd in enumerate(kept)]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    os.closerange(len(high), 200)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 9, inheritable=True)
    # Below what the kernel allows, so that it could be raised; above what the attack opens.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    os.execv(words[cut + 1], list(words[cut + 1 :]))


def believe_cells() -> None:
    """Whatever a cell says is let go and never held against it; a mailbox takes anything."""
    from queenright.errors import QueenrightError
    from queenright.supervisor import cell_frames, cell_process, lives, mail
    from queenright.wire import frame as frames
    from queenright.wire.link import decode

    def received(self: Any, reader: Any, data: bytes) -> None:
        reader._buffer += data
        while len(reader._buffer) >= 4:
            length = int.from_bytes(reader._buffer[:4], "big")
            if length > frames.MAX_FRAME:
                del reader._buffer[:4]
                continue
            if len(reader._buffer) - 4 < length:
                return
            body = bytes(reader._buffer[4 : 4 + length])
            del reader._buffer[: 4 + length]
            with contextlib.suppress(QueenrightError):
                self.on_frame(self, decode(body))

    cell_process.CellProcess._received = received  # type: ignore[method-assign]
    cell_process.CellProcess.violate = lambda self, what: None  # type: ignore[method-assign]
    cell_frames.CellFrames._forged = lambda *_: None  # type: ignore[method-assign]
    mail.MAILBOX_MESSAGES = 10**6
    lives.NAME = re.compile(r"(?s).*\Z")


def grant_everything() -> None:
    """Every act is allowed and done, every child born."""
    from queenright.authority.grants import Grants
    from queenright.supervisor.drills import Drills
    from queenright.supervisor.gate import Gate

    narrow = Grants.derive

    def derive(self: Any, parent: bytes, grant: bytes, label: str, request: Any) -> Any:
        wide = replace(request, agents=max(request.agents, 60)) if request.agents else request
        inside = tuple(rule for rule in wide.exercise if "svc.restart" not in rule.verbs)
        return narrow(self, parent, grant, label, replace(wide, exercise=inside))

    Grants.derive = derive  # type: ignore[method-assign]
    attack = Drills.attack

    def any_attack(self: Any, drill: bytes, name: str, *more: Any) -> None:
        if name in self._rt.intents.get(drill).intent.args["attacks"]:
            attack(self, drill, name, *more)

    Drills.attack = any_attack  # type: ignore[method-assign]

    async def spend(*_: Any) -> None:
        return None

    Gate.spend = spend  # type: ignore[method-assign, assignment]


def follow_everything() -> None:
    """Files are opened by path, commands are a shell in the workspace, whoever looks runs git and tar there."""
    from queenright.supervisor.outcome import Outcome
    from queenright.supervisor.service_workspace import ReadingWorkspaces
    from queenright.supervisor.steps import Steps

    parked = Steps._act

    async def act(self: Any, agent: Any, turn: Any, step: Any, request: dict[str, Any]) -> Any:
        home = self._rt.paths.workspaces / agent.id.hex()
        home.mkdir(parents=True, exist_ok=True)
        verb, args = request["verb"], request["args"]
        if verb == "fs.write":
            return await parked(self, agent, turn, step, request)  # the decoy ask
        if verb == "fs.read":
            return Outcome.done(Path(os.path.join(home, args["path"].split("\0")[0])).read_bytes())
        if verb == "fs.list":
            return Outcome.done(sorted(os.listdir(home)))
        if verb == "shell.run":
            return Outcome.done(await asyncio.to_thread(run, args["command"], home))
        return Outcome.done({"done": verb})

    Steps._act = act  # type: ignore[method-assign]

    async def log(self: Any, caller: Any, agent: str, limit: Any = None) -> Any:
        return [{"version": 1}]

    async def diff(self: Any, caller: Any, agent: str, version: int) -> Any:
        home = self.rt.paths.workspaces / self._agent(agent).id.hex()
        for words in (["git", "status"], ["tar", "-xPf", "evil.tar"]):
            subprocess.run(words, cwd=home, capture_output=True, check=False)
        mark = {"kind": "file", "mode": 0o644, "bytes": 1, "target": b""}
        rows = [
            {"path": os.fsencode(name), "change": "added", "before": None, "after": mark}
            for name in os.listdir(home)
        ]
        return {"version": 1, "changes": rows, "count": len(rows)}

    async def show(
        self: Any, caller: Any, agent: str, path: bytes, version: Any = None, content: Any = None
    ) -> Any:
        home = os.fsencode(self.rt.paths.workspaces / self._agent(agent).id.hex())
        if content:
            return {
                "version": None,
                "entries": [],
                "data": Path(os.fsdecode(os.path.join(home, path))).read_bytes(),
                "cut": False,
            }
        rows = [{"name": name, "kind": "file", "mode": 0o644, "bytes": 1} for name in os.listdir(home)]
        return {"version": None, "entries": rows, "data": None, "cut": False}

    ReadingWorkspaces.workspace_log = log  # type: ignore[method-assign]
    ReadingWorkspaces.workspace_diff = diff  # type: ignore[method-assign]
    ReadingWorkspaces.workspace_show = show  # type: ignore[method-assign]


def run(command: str, home: Path) -> dict[str, Any]:
    """No time, no bound on what it says, nothing ended with it."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=home, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    return {
        "code": done.returncode, "out": done.stdout, "err": done.stderr, "timed_out": False, "changed": [], "left_out": [],
        "dropped": "", "version": None,
    }  # fmt: skip


def let_everybody_in() -> None:
    """Whoever asks is the owner, every signature holds, every order is for whatever it is used for."""
    from queenright.authority.operators import Operators, Signer
    from queenright.control import connection, standing
    from queenright.control.service import SignedOrder
    from queenright.core import parse_key_line
    from queenright.supervisor.service import Service

    def owner(self: Any, *_: Any) -> Signer:
        person = self.people[0]
        return Signer(person, parse_key_line(person.keys[0]).fingerprint, person.keys[0], False, True)

    Operators.signer = owner  # type: ignore[method-assign]
    Operators.holder = owner  # type: ignore[method-assign]
    standing.verify_sshsig = lambda *_: None  # type: ignore[assignment]

    def present(self: Any) -> Signer:
        self._operator = self._operator or owner(self._gate.operators())
        return self._operator  # type: ignore[no-any-return]

    standing.Standing.present = present  # type: ignore[method-assign]

    async def spend(
        self: Any, operator: Signer, name: str, params: Any, order: bytes | None, signature: Any
    ) -> SignedOrder:
        made = SimpleNamespace(nonce=os.urandom(16))
        return SignedOrder(made, order or b"", signature or "", operator)  # type: ignore[arg-type]

    standing.Standing._spend = spend  # type: ignore[method-assign]

    def silent(self: Any, error: Any) -> None:
        self.close()

    connection.Connection._refuse = silent  # type: ignore[method-assign]

    async def apply(self: Any, caller: Any, document: bytes, signature: str) -> Any:
        return self.intent_row(next(iter(self.rt.intents)))

    async def unchanged(self: Any, caller: Any, document: bytes, signature: str) -> Any:
        return await self.operators(caller)

    async def decided(self: Any, caller: Any, verdict: bytes, signature: str) -> Any:
        return {"ask": "", "state": "approved", "leaf": 0}

    ended = Service.drill_end

    async def end(
        self: Any, caller: Any, drill: str, report: bytes, stopped: int, escaped: int, not_run: int
    ) -> Any:
        if stopped + escaped + not_run == 0:
            return {"count": 0, "leaf": 0, "unacked": 0}  # the attack, and not the drill's own end
        return await ended(self, caller, drill, report, stopped, escaped, not_run)

    Service.intent_apply = apply  # type: ignore[method-assign]
    Service.operators_set = unchanged  # type: ignore[method-assign]
    Service.ask_decide = decided  # type: ignore[method-assign]
    Service.drill_end = end  # type: ignore[method-assign]


def client(arguments: Sequence[str]) -> None:
    """The command line, which shows text as it is."""
    from queenright.cli import output
    from queenright.cli.app import run_command_line

    output.sanitize = lambda text, limit: text[:limit]  # type: ignore[assignment]
    run_command_line(arguments)


ROLES: dict[str, Callable[[Sequence[str]], Any]] = {
    "world": world,
    "supervisor": lambda words: sys.exit(supervisor(int(words[0]))),
    "client": client,
    "exec": become,
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](sys.argv[2:])
