"""`queenright tui`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import click

from queenright.cli.run import Run, command
from queenright.control.agent_socket import SshAgent
from queenright.control.client import AsyncClient, Client
from queenright.control.operator_key import AskPassphrase, Signer, open_path
from queenright.errors import QueenrightError

__all__ = ["tui_command"]

_SIZE = re.compile(r"(\d{2,3})x(\d{2,3})")


@command("tui", "queenright tui", "queenright tui --read-only", "queenright tui --ascii --start inbox")
@click.option("--read-only", is_flag=True, help="Never arm: watch and take away only.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII alone.")
@click.option(
    "--start", default="swarm", show_default=True, help="The place to open first: swarm, inbox, ledger."
)
@click.option("--screenshot", type=click.Path(path_type=Path), help="Draw the place once, as SVG, and end.")
@click.option("--size", default="120x36", show_default=True, help="Cells of the screenshot.")
def tui_command(
    run: Run, read_only: bool, ascii_only: bool, start: str, screenshot: Path | None, size: str
) -> int:
    """Open the terminal. It attaches to the supervisor and detaches with `q`; nothing stops when you leave."""
    if run.as_json:
        raise click.UsageError("a terminal has no JSON; every act of it has a command that has")
    cells = _SIZE.fullmatch(size)
    if cells is None:
        raise click.UsageError(f"--size is COLUMNSxROWS, not {size!r}")
    from queenright.cli.terminal import verdict_bytes, verifier
    from queenright_tui.app import run_tui

    path = run.paths().socket
    with Client(path, clock=run.clock) as probe:
        # The key is chosen, and its passphrase asked for, before the screen is taken.
        signer = run.signer(probe)
    where = _again(signer)

    unused: list[Signer] = [signer]

    async def connect() -> AsyncClient:
        client = AsyncClient(path, clock=run.clock)
        await client.connect()
        proving = unused.pop() if unused else await asyncio.to_thread(where, _no_terminal)
        try:
            await client.prove(proving)
        finally:
            proving.close()  # the screen opens in OBSERVE: the key is opened again when the operator arms
        client.signer_again = lambda: where(_no_terminal)
        return client

    try:
        return run_tui(
            connect,
            where,
            make_verdict=verdict_bytes,
            verify_ledger=verifier(run.memory()),
            screenshot=screenshot,
            size=(int(cells[1]), int(cells[2])) if screenshot else None,
            read_only=read_only,
            start=start,
            ascii_only=ascii_only,
            clock=run.clock,
        )
    finally:
        signer.close()


def _again(signer: Signer) -> Callable[[AskPassphrase], Signer]:
    """Opens the same key anew: from its file, with a passphrase if it has one, or through ssh-agent."""

    def open_again(ask: AskPassphrase) -> Signer:
        if signer.where.startswith("ssh-agent "):
            return signer
        return open_path(Path(signer.where), agent=SshAgent.from_environment(), ask=ask)

    return open_again


def _no_terminal(prompt: str) -> bytes:
    raise QueenrightError(
        "the login has ended and the key has a passphrase", hint="leave with q and attach again"
    )
