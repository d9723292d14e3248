"""The supervisor's process from start to end.

Order matters and is the security argument: the launcher starts first, while this process holds no secret; then the process
makes itself undumpable and drops its environment; only then are keys read, and the last thing before serving is a
Landlock domain of its own that reaches its state, its code and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import queenright
from queenright.clock import SystemClock
from queenright.core.host import harden_process, restrict_self
from queenright.errors import QueenrightError, SandboxRefused
from queenright.paths import Paths
from queenright.supervisor.boot import Booted, boot
from queenright.supervisor.founding import Pinned, read_pinned
from queenright.supervisor.keyring import Keyring
from queenright.supervisor.launcher import Launcher
from queenright.supervisor.logs import Log
from queenright.supervisor.master import MasterKey, Passphrase, find_master
from queenright.supervisor.own_cells import default_most

__all__ = ["Options", "from_descriptor", "run", "to_json"]

EXIT_OK, EXIT_FAILED, EXIT_LACKS = 0, 1, 6
# What of the environment a daemon needs; everything else, SSH_AUTH_SOCK first, is not ours to hold.
KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Options:
    """What `queenright up` decided. `passphrase` was typed on a terminal; descriptors are inherited."""

    state: Path
    master_key_fd: int | None = None
    passphrase: bytes | None = None
    locked: bool = False
    ready_fd: int | None = None
    echo_log: bool = False
    landlock_abi_cap: int | None = None
    degraded: Literal["landlock"] | None = (
        None  # an operator's word: without namespaces rather than not at all
    )
    own_cells: int | None = (
        None  # agents that have a cell of their own at the same time; None: what the machine carries
    )


def from_descriptor(descriptor: int) -> Options:
    """Options as `to_json` wrote them, read to the end of a descriptor so that no secret is in argv or environ."""
    with os.fdopen(descriptor, "rb") as pipe:
        body = json.loads(pipe.read(65536))
    passphrase = body.pop("passphrase")
    return Options(
        state=Path(body.pop("state")),
        passphrase=passphrase.encode() if passphrase is not None else None,
        **body,
    )


def to_json(options: Options) -> bytes:
    """The other half of `from_descriptor`."""
    return json.dumps(
        {
            "state": str(options.state),
            "master_key_fd": options.master_key_fd,
            "passphrase": options.passphrase.decode() if options.passphrase is not None else None,
            "locked": options.locked,
            "ready_fd": options.ready_fd,
            "echo_log": options.echo_log,
            "landlock_abi_cap": options.landlock_abi_cap,
            "degraded": options.degraded,
            "own_cells": options.own_cells,
        }
    ).encode()


def run(options: Options) -> int:
    """Serve until told to stop. Returns an exit code of design section 2; says why on stderr when it is not 0."""
    try:
        paths = Paths.of(options.state, {})
        pinned = read_pinned(paths)
        keyring = Keyring.open(paths.keyring, None)
        launcher = Launcher.start(landlock_abi_cap=options.landlock_abi_cap, degraded=options.degraded)
    except SandboxRefused as error:
        return _refuse(options, error, EXIT_LACKS)
    except (QueenrightError, OSError) as error:
        return _refuse(options, error, EXIT_FAILED)
    try:
        harden_process()
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        for name in list(os.environ):
            if name not in KEPT_ENVIRONMENT:
                del os.environ[name]
        _unlock(keyring, options, paths, credentials)
        log = Log(paths.log, SystemClock(), echo=options.echo_log)
        abi = restrict_self(_code_paths(), _own_paths(paths))
        log.info(
            "supervisor.starting",
            pid=os.getpid(),
            landlock_abi=abi,
            locked=keyring.locked,
            tier=launcher.tier,
            memory=launcher.memory,
        )
        if launcher.instead_of:
            log.error("supervisor.tier", tier=launcher.tier, instead_of=launcher.instead_of)
        return asyncio.run(_serve(options, paths, pinned, keyring, launcher, log, abi))
    except SandboxRefused as error:
        return _refuse(options, error, EXIT_LACKS)
    except (QueenrightError, OSError) as error:
        return _refuse(options, error, EXIT_FAILED)
    finally:
        launcher.close()


def _unlock(keyring: Keyring, options: Options, paths: Paths, credentials: str | None) -> None:
    """Open the keyring with what was given. Nothing given: LOCKED. Something wrong given: refuse to start."""
    master: MasterKey | Passphrase | None
    if options.locked:
        return
    if options.passphrase is not None:
        master = Passphrase(options.passphrase)
    else:
        environ = {"CREDENTIALS_DIRECTORY": credentials} if credentials else {}
        master = find_master(state=paths.state, environ=environ, fd=options.master_key_fd, file=keyring.file)
    if master is not None:
        keyring.unlock(master)


async def _serve(
    options: Options, paths: Paths, pinned: Pinned, keyring: Keyring, launcher: Launcher, log: Log, abi: int
) -> int:
    stopped = asyncio.Event()
    failure: list[str] = []

    def fatal(why: str) -> None:
        failure.append(why)
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    booted: Booted = await boot(
        paths=paths,
        pinned=pinned,
        keyring=keyring,
        launcher=launcher,
        log=log,
        clock=SystemClock(),
        rand=os.urandom,
        landlock_abi=abi,
        own_cells=options.own_cells if options.own_cells is not None else default_most(),
        stop=stopped.set,
        fatal=fatal,
    )
    paths.pid.write_text(f"{os.getpid()}\n")
    if options.ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(options.ready_fd, b"ready\n")
            os.close(options.ready_fd)
    log.info("supervisor.ready", socket=str(paths.socket))
    try:
        await stopped.wait()
    finally:
        await booted.close()
        with contextlib.suppress(FileNotFoundError):
            paths.pid.unlink()
        log.info("supervisor.stopped", failure=failure[0] if failure else "")
        log.close()
    return EXIT_FAILED if failure else EXIT_OK


def _refuse(options: Options, error: Exception, code: int) -> int:
    text = error.message if isinstance(error, QueenrightError) else str(error)
    hint = error.hint if isinstance(error, QueenrightError) else ""
    line = f"queenright: {text}" + (f"\n\nhint: {hint}" if hint else "")
    print(line, file=sys.stderr, flush=True)
    if options.ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(
                options.ready_fd, json.dumps({"error": text, "hint": hint, "exit": code}).encode() + b"\n"
            )
            os.close(options.ready_fd)
    return code


def _code_paths() -> list[str]:
    """What a Python process reads to run: the interpreter, its libraries, the system's shared objects and zones, and how names
    are resolved.
    """
    wanted = [
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sys.path,
        "/usr",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/localtime",
        # Names of hosts that an intent lets commands reach are resolved here.
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/nsswitch.conf",
        "/etc/host.conf",
        "/etc/gai.conf",
        # Whom this machine trusts: upstreams whose TLS is opened are verified here.
        "/etc/ssl/certs",
        "/etc/ssl/cert.pem",
        "/etc/pki/tls/certs",
        "/etc/pki/ca-trust",
        "/dev/urandom",
        "/proc/self",
        os.path.dirname(queenright.__file__ or ""),
    ]
    found = {os.path.realpath(path) for path in wanted if path and os.path.exists(path)}
    # `python -m` puts the directory it was started in on sys.path: that is nobody's code, and may be `/`.
    return sorted(found - {"/", os.path.realpath(os.getcwd())})


def _own_paths(paths: Paths) -> list[str]:
    return [os.path.realpath(paths.state), "/dev/null"]
