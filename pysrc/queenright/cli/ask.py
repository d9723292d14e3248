"""`queenright ask …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from queenright.authority.amount import duration_ms
from queenright.authority.document import APPROVE
from queenright.authority.verdict import Answer, Verdict, make_verdict
from queenright.cli import exit_codes
from queenright.cli.act import resolve
from queenright.cli.ask_file import OpenAsk
from queenright.cli.card import card
from queenright.cli.friction import demand_consent
from queenright.cli.output import ago, clean, left, table
from queenright.cli.run import Run, command
from queenright.cli.signed_file import read_signed
from queenright.control.client import Client
from queenright.errors import Malformed, NotEntitled

__all__ = [
    "VERDICT",
    "approve_command",
    "consent_options",
    "decide",
    "deny_command",
    "export_command",
    "list_command",
    "narrow_command",
    "narrowed",
    "shorten_command",
    "show_command",
]

VERDICT = "verdict"  # the kind of a signed file


def consent_options(function: Any) -> Any:
    """What every command that signs a verdict takes."""
    function = click.option("--yes", is_flag=True, help="LOW and MED: do not ask after showing the card.")(
        function
    )
    function = click.option("--type", "typed", metavar="WORD", help="HIGH, CRITICAL: what would be typed.")(
        function
    )
    return click.option(
        "--accept-same-user",
        is_flag=True,
        help="Above MED with a key of the supervisor's own user: take that risk.",
    )(function)


@command("list", "queenright ask list", "queenright ask list --all --json")
@click.option("--all", "everything", is_flag=True, help="Decided and expired ones too.")
def list_command(run: Run, everything: bool) -> None:
    """List the asks that wait for a person, the riskiest first."""
    with run.client() as client:
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = client.call("asks", state=None if everything else "open", after=after)
            found += page["rows"]
            after = page["next"]
            if after is None:
                break
    now = run.clock.wall_ms()
    order = {"CRITICAL": 0, "HIGH": 1, "MED": 2, "LOW": 3}
    found.sort(key=lambda row: (order.get(row["risk"], 0), row["raised_ms"]))
    lines = table(
        ("RISK", "ASK", "WHO", "WANTS", "ON", "AGE", "LEFT", "GROUP", "STATE"),
        (
            (
                row["risk"],
                row["id"][:16],
                row["agent_name"],
                row["verb"],
                row["resource"],
                ago(row["raised_ms"], now),
                left(row["deadline_ms"], now),
                f"x{row['members']}",
                row["state"] if row["state"] == "open" else f"{row['verdict']} by {row['decided_by']}",
            )
            for row in found
        ),
    )
    run.out.data(found, lines if found else ["nobody waits"])


@command("show", "queenright ask show ask-9f3c", "queenright ask show ask-9f3c --json")
@click.argument("ask")
def show_command(run: Run, ask: str) -> None:
    """Show the card of one ask, drawn from its canonical bytes, and its digest, computed here."""
    with run.client() as client:
        detail = client.call("ask", ask=resolve(client, ask, "ask"))
    opened = OpenAsk.from_detail(detail)
    run.out.data(detail | {"digest": opened.first.hash}, draw(run, opened))


def draw(run: Run, opened: OpenAsk) -> list[str]:
    """The card's lines."""
    return card(
        opened.members, opened.context, name=opened.name, now_ms=run.clock.wall_ms(), more=opened.more
    )


@command(
    "approve",
    "queenright ask approve ask-9f3c",
    "queenright ask approve ask-9f3c --type web --accept-same-user",
    "queenright ask approve ask-9f3c --signature a.sig",
)
@click.argument("ask")
@click.option(
    "--signature", metavar="FILE", type=click.Path(path_type=Path), help="A verdict signed elsewhere."
)
@consent_options
def approve_command(
    run: Run, ask: str, signature: Path | None, yes: bool, typed: str | None, accept_same_user: bool
) -> int:
    """Approve exactly what is asked, once.

    Shows the card, asks as hard as the risk demands, and signs with your key.
    """
    if signature is not None:
        return _bring(run, ask, signature)
    return decide(run, ask, "once", yes=yes, typed=typed, accept_same_user=accept_same_user)


@command(
    "narrow",
    "queenright ask narrow ask-9f3c --drop hosts=web-3",
    "queenright ask narrow ask-9f3c --drop paths=/etc/a --drop paths=/etc/b --yes",
)
@click.argument("ask")
@click.option(
    "--drop", "drops", multiple=True, required=True, metavar="ARG=ITEM", help="Leave this item of a list out."
)
@consent_options
def narrow_command(
    run: Run, ask: str, drops: tuple[str, ...], yes: bool, typed: str | None, accept_same_user: bool
) -> int:
    """Approve less than was asked: the same arguments with items of their lists left out."""
    return decide(run, ask, "narrower", drops=drops, yes=yes, typed=typed, accept_same_user=accept_same_user)


@command(
    "shorten", "queenright ask shorten ask-9f3c --for 2m", "queenright ask shorten ask-9f3c --for 30s --yes"
)
@click.argument("ask")
@click.option("--for", "for_", required=True, metavar="TIME", help="It may start within this time: 30s, 2m.")
@consent_options
def shorten_command(
    run: Run, ask: str, for_: str, yes: bool, typed: str | None, accept_same_user: bool
) -> int:
    """Approve exactly what is asked, for a shorter time."""
    return decide(
        run, ask, "shorter", for_ms=duration_ms(for_), yes=yes, typed=typed, accept_same_user=accept_same_user
    )


@command(
    "deny",
    "queenright ask deny ask-9f3c --reason 'use the replica'",
    "queenright ask deny ask-9f3c --reason 'odd' --freeze",
)
@click.argument("ask")
@click.option("--reason", required=True, metavar="TEXT", help="Goes to the agent, and into the ledger.")
@click.option("--freeze", is_flag=True, help="Freeze the asking agent and its subtree as well.")
def deny_command(run: Run, ask: str, reason: str, freeze: bool) -> None:
    """Deny an ask. Needs no signature: a session is enough to take away."""
    with run.client() as client:
        decided = client.call("ask_deny", ask=resolve(client, ask, "ask"), reason=reason, freeze=freeze)
    run.out.data(decided, [f"{decided['ask'][:16]} {decided['state']}, ledger #{decided['leaf']}"])


@command("export", "queenright ask export ask-9f3c > a", "queenright ask export ask-9f3c --json")
@click.argument("ask")
def export_command(run: Run, ask: str) -> None:
    """Print an ask's canonical bytes and what stands beside them, for `queenright sign` on another machine."""
    with run.client() as client:
        detail = client.call("ask", ask=resolve(client, ask, "ask"))
    sys.stdout.write(OpenAsk.from_detail(detail).to_json().decode())


def narrowed(asked: Mapping[str, Any], drops: tuple[str, ...]) -> dict[str, Any]:
    """The arguments without the items named as ARG=ITEM. Raises Malformed for what is not there."""
    left_over = {
        key: list(value) if isinstance(value, list | tuple) else value for key, value in asked.items()
    }
    for drop in drops:
        key, mark, item = drop.partition("=")
        items = left_over.get(key)
        if not mark or not isinstance(items, list):
            lists = (
                ", ".join(key for key, value in asked.items() if isinstance(value, list | tuple)) or "none"
            )
            raise Malformed(
                f"`{drop}` is not ARG=ITEM of a list; this ask has {lists}", hint="`queenright ask show`"
            )
        found = next((place for place in items if str(place) == item), None)
        if found is None:
            raise Malformed(f"`{item}` is not in `{key}`", hint="`queenright ask show` lists what is asked")
        items.remove(found)
    return left_over


def decide(
    run: Run,
    ask: str,
    answer: Answer,
    *,
    yes: bool,
    typed: str | None,
    accept_same_user: bool,
    drops: tuple[str, ...] = (),
    for_ms: int | None = None,
) -> int:
    """Fetch, draw, ask for consent, sign here, send.

    Raises what the supervisor refuses, above all Conflict.
    """
    with run.client(give=True) as client:
        opened = OpenAsk.from_detail(client.call("ask", ask=resolve(client, ask, "ask")))
        run.out.show(draw(run, opened))
        if opened.context["forbidden"]:
            raise NotEntitled(opened.context["forbidden"], hint="another operator decides it")
        distance = client.call("whoami")["distance"]
        first = opened.first
        factor = demand_consent(
            first.risk,
            first.resource,
            distance=distance,
            typed=typed,
            accept_same_user=accept_same_user,
            yes=yes,
        )
        verdict = make_verdict(
            client.hello.runtime,
            opened.members,
            answer,
            rand=os.urandom,
            args=narrowed(first.args, drops) if drops else None,
            not_after=None if for_ms is None else run.clock.wall_ms() + client.hello.skew_ms + for_ms,
            factor=factor,
        )
        if client.signer is None:
            raise NotEntitled("approving needs your key", hint="pass --key, or load ssh-agent")
        document = verdict.encode()
        return _send(run, client, document, client.signer.sign(APPROVE, document))


def _bring(run: Run, ask: str, path: Path) -> int:
    document, signature = read_signed(path, VERDICT)
    verdict = Verdict.decode(document)
    with run.client() as client:
        full = resolve(client, ask, "ask")
        if full not in {f"ask-{member.hex()}" for member in verdict.asks}:
            raise Malformed(
                f"{path} decides another ask than {full[:16]}", hint="name the ask that was exported"
            )
        return _send(run, client, document, signature)


def _send(run: Run, client: Client, document: bytes, signature: str) -> int:
    decided = client.call("ask_decide", verdict=document, signature=signature)
    run.out.data(decided, [f"{decided['ask'][:16]} {clean(decided['state'])}, ledger #{decided['leaf']}"])
    return exit_codes.OK
