"""`queenright down`."""

from __future__ import annotations

from queenright.cli.act import told
from queenright.cli.run import Run, command

__all__ = ["down_command"]


@command("down", "queenright down", "queenright down --state /var/lib/queenright")
def down_command(run: Run) -> int:
    """Stop the supervisor, every cell, every command and every act.

    Says what is gone before the supervisor ends itself; what it could not reach ends with its launcher. The next `up` restores
    swarms, leases and open asks.
    """
    with run.client() as client:
        done = client.call("down")
    return told(run, done, f"down: {done['count']} cells, ledger #{done['leaf']}")
