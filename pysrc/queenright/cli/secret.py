"""`queenright secret …`."""

from __future__ import annotations

import os
import sys

import click

from queenright.cli.output import clean, table, when
from queenright.cli.run import Run, command
from queenright.errors import Malformed

__all__ = ["list_command", "remove_command", "set_command"]

MAX_SECRET = 64 * 1024  # a private key or a kubeconfig, not a data set


@command("set", "queenright secret set shop-admin", "queenright secret set shop-admin < token.txt")
@click.argument("name")
def set_command(run: Run, name: str) -> None:
    """Put a secret into the vault: typed unseen on a terminal, else read from stdin, never from argv.

    One closing newline is taken off. Needs your key: it gives.
    """
    if sys.stdin.isatty():
        value = run.passphrase(f"value of {name}: ")
    else:
        value = sys.stdin.buffer.read(MAX_SECRET + 1).removesuffix(b"\n")
    if not value or len(value) > MAX_SECRET:
        raise Malformed(f"a secret is 1 to {MAX_SECRET} bytes", hint="nothing was stored")
    with run.client(give=True) as client:
        # The salt keeps the order's digest from telling a short secret to whoever reads the ledger.
        row = client.call("secret_set", name=name, value=value, salt=os.urandom(32))
    run.out.data(row, [f"{clean(row['name'])} set"])


@command("list", "queenright secret list", "queenright secret list --json")
def list_command(run: Run) -> None:
    """List the names of secrets, when they were set and which resources use them. Never a value."""
    with run.client() as client:
        secrets = client.call("secret_list")
    lines = table(
        ("NAME", "SET", "USED BY"),
        ((row["name"], when(row["set_ms"]), ", ".join(row["resources"]) or "-") for row in secrets),
    )
    run.out.data(secrets, lines)


@command("remove", "queenright secret remove shop-admin")
@click.argument("name")
def remove_command(run: Run, name: str) -> None:
    """Remove a secret from the vault; leases that use it end. Needs your key."""
    with run.client(give=True) as client:
        done = client.call("secret_remove", name=name)
    run.out.data(done, [f"{clean(name)} removed, {done['count']} leases ended, ledger #{done['leaf']}"])
