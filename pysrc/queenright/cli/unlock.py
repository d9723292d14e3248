"""`queenright unlock`."""

from __future__ import annotations

from pathlib import Path

import click

from queenright.cli.run import Run, command
from queenright.supervisor.keyring import Keyring
from queenright.supervisor.master import MasterKey, find_master

__all__ = ["unlock_command"]


@command("unlock", "queenright unlock", "queenright unlock --master-file ~/.queenright-master")
@click.option("--master-file", metavar="PATH", help="Read the master key from this 0600 file.")
@click.option("--master-key-fd", type=int, metavar="N", help="Read the master key from this descriptor.")
def unlock_command(run: Run, master_file: str | None, master_key_fd: int | None) -> None:
    """Give the master key to a LOCKED supervisor:

    a passphrase typed here, a file or a descriptor. Needs your key.
    """
    paths = run.paths()
    keyring = Keyring.open(paths.keyring, None)
    named = Path(master_file).expanduser() if master_file else keyring.file
    given: dict[str, bytes] = {}
    if keyring.wants_passphrase and master_key_fd is None and master_file is None:
        given["passphrase"] = run.passphrase("passphrase of the state directory: ")
    else:
        found = find_master(state=paths.state, environ=run.environ, fd=master_key_fd, file=named)
        if not isinstance(found, MasterKey):
            raise click.UsageError("name where the master key is: --master-file or --master-key-fd")
        given["master_key"] = found.reveal()
    with run.client(give=True) as client:
        health = client.call("unlock", **given)
        run.check_history(
            client, give=True
        )  # only an unlocked supervisor signs a checkpoint that could be checked
    run.out.data(
        health, [f"unlocked: {health['agents']} agents, {health['asks_open']} asks wait for a person"]
    )
