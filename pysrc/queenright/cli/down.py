"""`queenright down`."""

from __future__ import annotations

from queenright.cli.run import Run, command

__all__ = ["down_command"]


@command("down", "queenright down", "queenright down --state /var/lib/queenright")
def down_command(run: Run) -> None:
    """Stop the supervisor, every cell and every command.

    The next `up` restores swarms, leases and open asks.
    """
    with run.client() as client:
        done = client.call("down")
    run.out.data(done, [f"stopping: {done['count']} agents, ledger #{done['leaf']}"])
