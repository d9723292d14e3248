"""`queenright sign`."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import click

from queenright.authority.amount import duration_ms
from queenright.authority.document import APPROVE
from queenright.authority.verdict import Answer, make_verdict
from queenright.cli.ask import VERDICT, consent_options, draw, narrowed
from queenright.cli.ask_file import read_ask
from queenright.cli.friction import demand_consent
from queenright.cli.run import Run, command

__all__ = ["sign_command"]

HARDWARE = "sk-ssh-ed25519@openssh.com"


@command("sign", "queenright sign a > a.sig", "queenright sign a --deny 'use the replica' > a.sig")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--drop", "drops", multiple=True, metavar="ARG=ITEM", help="Approve less: leave this item out.")
@click.option("--for", "for_", metavar="TIME", help="Approve for a shorter time: 30s, 2m.")
@click.option("--deny", "reason", metavar="TEXT", help="Sign a denial with this reason instead.")
@consent_options
def sign_command(
    run: Run,
    file: Path,
    drops: tuple[str, ...],
    for_: str | None,
    reason: str | None,
    yes: bool,
    typed: str | None,
    accept_same_user: bool,
) -> None:
    """Sign an exported ask on this machine; no supervisor is needed.

    Draws the card from the canonical bytes, signs the verdict with your key and prints it. Bring it back with
    `queenright ask approve ASK --signature a.sig`.
    """
    if sum(map(bool, (drops, for_, reason))) > 1:
        raise click.UsageError("--drop, --for and --deny exclude each other")
    answer: Answer = "deny" if reason else "narrower" if drops else "shorter" if for_ else "once"
    opened = read_ask(file)
    first = opened.first
    run.out.show(draw(run, opened))
    signer = run.signer(None)
    try:
        distance = "hardware" if signer.key.kind == HARDWARE else _distance_here(run)
        factor = distance
        if answer != "deny":
            factor = demand_consent(
                first.risk,
                first.resource,
                distance=distance,
                typed=typed,
                accept_same_user=accept_same_user,
                yes=yes,
            )
        verdict = make_verdict(
            first.runtime,
            opened.members,
            answer,
            rand=os.urandom,
            args=narrowed(first.args, drops) if drops else None,
            not_after=run.clock.wall_ms() + duration_ms(for_) if for_ else None,
            factor=factor,
            reason=reason or "",
        )
        document = verdict.encode()
        signature = signer.sign(APPROVE, document)
    finally:
        signer.close()
    body = {"v": 1, "kind": VERDICT, "document": base64.b64encode(document).decode(), "signature": signature}
    sys.stdout.write(json.dumps(body, indent=1) + "\n")


def _distance_here(run: Run) -> str:
    """A supervisor of this user on this machine means that nothing separates the key from it."""
    return "none" if run.paths().socket.exists() else "elsewhere"
