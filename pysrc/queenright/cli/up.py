"""`queenright up`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

import click

from queenright.cli import exit_codes
from queenright.cli.run import Run, command
from queenright.errors import QueenrightError, SandboxRefused, TimedOut
from queenright.paths import Paths
from queenright.supervisor.founding import read_pinned
from queenright.supervisor.keyring import Keyring

if TYPE_CHECKING:
    from queenright.supervisor.main import Options

__all__ = ["start_detached", "up_command"]

READY_WITHIN_S = (
    60.0  # Argon2id, opening the store and verifying the ledger's tail take seconds on a slow machine
)


@command("up", "queenright up", "queenright up --detach", "queenright up --locked --state ./state", key=False)
@click.option("--detach", is_flag=True, help="Return once it is ready; it goes on in the background.")
@click.option("--locked", is_flag=True, help="Start without the master key: read, deny and revoke only.")
@click.option(
    "--degraded",
    type=click.Choice(["landlock"]),
    help="Where no namespaces can be had, go on with Landlock alone instead of refusing. Recorded, and shown.",
)
@click.option("--master-key-fd", type=int, metavar="N", help="Read the master key from this descriptor.")
@click.option(
    "--own-cells",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="How many agents have a cell of their own at once; the others wait. By default what memory and cores carry.",
)
def up_command(
    this: Run,
    detach: bool,
    locked: bool,
    master_key_fd: int | None,
    degraded: Literal["landlock"] | None,
    own_cells: int | None,
) -> int:
    """Start the supervisor. It stays in the foreground and stops on Ctrl-C, unless --detach is given.

    The master key comes from --master-key-fd, a systemd credential, a passphrase typed here, or the file
    named at init; without any of them it starts LOCKED (`queenright unlock`).
    """
    if locked and master_key_fd is not None:
        raise click.UsageError("--locked and --master-key-fd exclude each other")
    from queenright.supervisor.main import Options, run  # every room of the supervisor's: not for `--help`

    paths = this.paths()
    read_pinned(paths)
    keyring = Keyring.open(paths.keyring, None)
    passphrase = None
    if keyring.kept == "passphrase" and not locked and master_key_fd is None and sys.stdin.isatty():
        passphrase = this.passphrase("passphrase of the state directory: ")
    options = Options(
        paths.state,
        master_key_fd=master_key_fd,
        passphrase=passphrase,
        locked=locked,
        echo_log=not detach,
        degraded=degraded,
        own_cells=own_cells,
    )
    if not detach:
        return run(options)
    pid = start_detached(paths, options)
    this.out.data({"pid": pid, "socket": str(paths.socket)}, [f"ready: pid {pid}, socket {paths.socket}"])
    return exit_codes.OK


def start_detached(paths: Paths, options: Options, *, within_s: float = READY_WITHIN_S) -> int:
    """Start the daemon in a session of its own and wait until it is ready. Returns its pid.

    Raises QueenrightError with the daemon's own words if it refuses, TimedOut if it says nothing.
    """
    from queenright.supervisor.main import Options, to_json

    give_read, give_write = os.pipe()
    ready_read, ready_write = os.pipe()
    options = Options(
        options.state,
        master_key_fd=options.master_key_fd,
        passphrase=options.passphrase,
        locked=options.locked,
        ready_fd=ready_write,
        landlock_abi_cap=options.landlock_abi_cap,
        degraded=options.degraded,
        own_cells=options.own_cells,
    )
    inherited = [give_read, ready_write]
    if options.master_key_fd is not None:
        inherited.append(options.master_key_fd)
    errors = os.open(paths.logs / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-m", "queenright.supervisor", str(give_read)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=inherited,
            start_new_session=True,
            cwd="/",
        )
        os.close(give_read)
        os.close(ready_write)
        with os.fdopen(give_write, "wb") as pipe:
            pipe.write(to_json(options))
        told = _told(ready_read, within_s)
    finally:
        os.close(errors)
        os.close(ready_read)
    if told == b"ready\n":
        return daemon.pid
    if told is None:
        daemon.terminate()
        raise TimedOut(f"the supervisor was not ready within {within_s:.0f} s", hint=f"see {paths.log}")
    daemon.wait()
    try:
        refusal = json.loads(told)
        words, hint, code = refusal["error"], refusal["hint"] or f"see {paths.log}", refusal["exit"]
    except (ValueError, KeyError, TypeError):
        hint = f"see {paths.logs / 'stderr'} and {paths.log}"
        words, code = f"the supervisor ended with {daemon.returncode} before it was ready", exit_codes.FAILED
    if code == exit_codes.LACKS_FEATURE:
        raise SandboxRefused(words, step="start", hint=hint)
    raise QueenrightError(words, hint=hint)


def _told(descriptor: int, within_s: float) -> bytes | None:
    """The one line the daemon writes when it is ready or refuses; empty if it died, None if it stayed silent."""
    ready, _, _ = select.select([descriptor], [], [], within_s)
    return os.read(descriptor, 65536) if ready else None
