"""`queenright intent …`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import click

from queenright.authority.document import INTENT
from queenright.authority.intent import Amends, Intent
from queenright.authority.intent_explain import explain
from queenright.authority.intent_toml import Draft, IntentMalformed, parse_intent
from queenright.authority.operators import Operators
from queenright.cli import exit_codes
from queenright.cli.act import act, resolve
from queenright.cli.confirm import confirm_signing
from queenright.cli.output import MAX_TEXT, clean, left, table
from queenright.cli.run import Run, command
from queenright.cli.signed_file import read_signed, read_text, write_new, write_signed
from queenright.control.client import Client
from queenright.errors import NotEntitled
from queenright.supervisor.founding import OPERATORS_DOCUMENT

__all__ = [
    "apply_command",
    "check_command",
    "diff_command",
    "explain_command",
    "list_command",
    "new_command",
    "revoke_command",
    "show_command",
    "sign_command",
]

KIND = "intent"
TEMPLATE = """\
# What the agents of one swarm may do. `queenright intent check FILE`, then `queenright intent apply FILE`.
[intent]
purpose = "look after svc:shop/web"
swarm = "{swarm}"              # members are those spawned under it, never those who say so
for = "2h"                 # when it ends, everything under it ends
depth = 2
max_agents = 20

[run]
start = "{package}.{start}"      # the first agent
packages = ["{package}"]         # pinned to their digests when you sign
args = {{}}

[[allow]]
do = ["logs.read", "metrics.read"]
on = "svc:shop/**"
rate = "20/s per agent, 200/s in all"

[[allow]]
do = ["svc.restart"]
on = "svc:shop/web"
max = 2
min_gap = "5m"

[[ask]]
do = ["db.session.kill"]
on = "db:shop/*"
answer_within = "10m"
max = 1

[[never]]
do = ["secret.reveal"]
"""
_file = click.argument("file", type=click.Path(path_type=Path))


@command(
    "new",
    "queenright intent new sre.toml",
    "queenright intent new sre.toml --package sre --start Watcher",
    key=False,
)
@_file
@click.option("--swarm", default="sre", show_default=True, help="The swarm it founds.")
@click.option("--package", default="sre", show_default=True, help="The behaviour package it runs.")
@click.option("--start", default="Watcher", show_default=True, help="The class of the first agent.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new_command(run: Run, file: Path, swarm: str, package: str, start: str, force: bool) -> None:
    """Write a first intent to start from, with every kind of clause in it."""
    text = TEMPLATE.format(swarm=swarm, package=package, start=start)
    parse_intent(text)
    write_new(file, text.encode(), force=force)
    run.out.data({"file": str(file)}, [f"wrote {clean(str(file))}"])
    run.out.hint(f"edit it, then `queenright intent check {file}`")


@command("check", "queenright intent check sre.toml", "queenright intent check sre.toml --json", key=False)
@_file
def check_command(run: Run, file: Path) -> int:
    """Check an intent file: every problem with its line and column. Needs no supervisor.

    If the state directory's operators document can be read, an ask that nobody enrolled could answer is a
    problem too.
    """
    try:
        draft = parse_intent(read_text(file))
    except IntentMalformed as wrong:
        problems = [{"line": p.line, "column": p.column, "what": p.what} for p in wrong.problems]
        lines = [f"{clean(str(file))}:{p.line}:{p.column}: {clean(p.what)}" for p in wrong.problems]
        run.out.data({"file": str(file), "ok": False, "problems": problems}, lines)
        return exit_codes.FAILED
    intent = _preview(draft)
    unanswerable = _unanswerable(run, intent)
    words = [f"{clean(str(file))}: {clean(problem)}" for problem in unanswerable]
    found = {"file": str(file), "ok": not unanswerable, "problems": [{"what": what} for what in unanswerable]}
    run.out.data(found, words or [f"{clean(str(file))}: ok"])
    return exit_codes.FAILED if unanswerable else exit_codes.OK


def _preview(draft: Draft) -> Intent:
    """The intent as it would be compiled, for a runtime and packages that are not known yet."""
    packages = {name: bytes(32) for name in draft.packages}
    return draft.compile(runtime=bytes(32), packages=packages, now_ms=0, rand=bytes)


def _unanswerable(run: Run, intent: Intent) -> tuple[str, ...]:
    path = run.paths().documents / OPERATORS_DOCUMENT
    try:
        operators = Operators.decode(path.read_bytes())
    except OSError:
        run.out.say("who could answer the asks was not checked: no operators document here")
        return ()
    return operators.unanswerable(intent, run.clock.wall_ms())


@command("explain", "queenright intent explain sre.toml", "queenright intent explain sre.signed", key=False)
@_file
def explain_command(run: Run, file: Path) -> None:
    """Say in words what an intent allows: a file you write, or one that is signed."""
    if file.suffix == ".toml":
        lines = explain(_preview(parse_intent(read_text(file))).encode())[3:]
    else:
        lines = explain(read_signed(file, KIND)[0])
    run.out.data({"file": str(file), "lines": lines}, [clean(line, MAX_TEXT) for line in lines])


@command(
    "sign",
    "queenright intent sign sre.toml",
    "queenright intent sign sre.toml --out sre.signed --yes",
    "queenright intent sign sre.toml --amends intent-9f3c",
)
@_file
@click.option(
    "--out", "target", type=click.Path(path_type=Path), help="Where to write it (default: FILE.signed)."
)
@click.option("--amends", metavar="INTENT", help="Make it the next revision of this intent.")
@click.option("--yes", is_flag=True, help="Do not ask after showing what is signed.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def sign_command(
    run: Run, file: Path, target: Path | None, amends: str | None, yes: bool, force: bool
) -> None:
    """Compile an intent for this supervisor, show what the bytes say, and sign them with your key."""
    with run.client(give=True) as client:
        document, signature = _sign(run, client, file, amends, yes=yes)
    out = target or file.with_suffix(".signed")
    write_signed(out, KIND, document, signature, force=force)
    intent = Intent.decode(document)
    run.out.data({"file": str(out), "id": f"intent-{intent.id.hex()}"}, [f"wrote {clean(str(out))}"])
    run.out.hint(
        f"apply it within {left(intent.apply_by, run.clock.wall_ms())}: `queenright intent apply {out}`"
    )


def _sign(run: Run, client: Client, file: Path, amends: str | None, *, yes: bool) -> tuple[bytes, str]:
    draft = parse_intent(read_text(file))
    packages: dict[str, bytes] = {}
    for row in client.call("behaviours"):  # oldest first: the newest of a name is what is pinned
        packages[row["name"]] = row["digest"]
    intent = draft.compile(
        runtime=client.hello.runtime,
        packages=packages,
        now_ms=run.clock.wall_ms() + client.hello.skew_ms,
        rand=os.urandom,
        amends=_amends(client, amends) if amends else None,
    )
    document = intent.encode()
    run.out.show([clean(line, MAX_TEXT) for line in explain(document)])
    confirm_signing("sign exactly this?", yes=yes)
    if client.signer is None:
        raise NotEntitled("signing needs your key", hint="pass --key, or load ssh-agent")
    return document, client.signer.sign(INTENT, document)


def _amends(client: Client, text: str) -> Amends:
    detail = client.call("intent", intent=resolve(client, text, "intent"))
    current = Intent.decode(detail["document"])
    return Amends(current.id, current.revision + 1, current.digest)


@command(
    "apply",
    "queenright intent apply sre.signed",
    "queenright intent apply sre.toml --yes",
    "queenright intent apply sre.toml --amends intent-9f3c",
)
@_file
@click.option(
    "--amends", metavar="INTENT", help="With a .toml file: make it the next revision of this intent."
)
@click.option("--yes", is_flag=True, help="With a .toml file: do not ask after showing what is signed.")
def apply_command(run: Run, file: Path, amends: str | None, yes: bool) -> None:
    """Apply a signed intent: its swarm starts. A .toml file is shown and signed with your key first."""
    by_hand = file.suffix == ".toml"
    if not by_hand and (amends or yes):
        raise click.UsageError("--amends and --yes go with a .toml file; this one is signed already")
    with run.client(give=by_hand) as client:
        document, signature = (
            _sign(run, client, file, amends, yes=yes) if by_hand else read_signed(file, KIND)
        )
        method = "intent_amend" if Intent.decode(document).amends else "intent_apply"
        row = client.call(method, document=document, signature=signature)
    line = (
        f"{row['id'][:19]} revision {row['revision']}: swarm {clean(row['swarm'])} is {clean(row['state'])}"
    )
    run.out.data(row, [f"{line}, ends in {left(row['not_after_ms'], run.clock.wall_ms())}"])


@command("show", "queenright intent show sre", "queenright intent show intent-9f3c --json")
@click.argument("intent")
def show_command(run: Run, intent: str) -> None:
    """Show what was signed, in words drawn from the signed bytes, and how much of each budget is used."""
    with run.client() as client:
        detail = client.call("intent", intent=resolve(client, intent, "intent"))
    row = detail["row"]
    lines = [clean(line, MAX_TEXT) for line in explain(detail["document"])]
    lines.append(
        f"{row['state']}, signed by {clean(row['operator'])}, "
        f"ends in {left(row['not_after_ms'], run.clock.wall_ms())}; "
        f"agents {row['agents']} of {row['max_agents']}, asks {row['asks_open']}, leases {row['leases']}"
    )
    for budget in detail["budgets"]:
        most = "no limit" if budget["max"] is None else f"{budget['used']} of {budget['max']} used"
        lines.append(f"  {', '.join(map(clean, budget['verbs']))} on {clean(budget['resource'])}: {most}")
    run.out.data(detail, lines)


@command("list", "queenright intent list", "queenright intent list --json")
def list_command(run: Run) -> None:
    """List the intents of this supervisor."""
    with run.client() as client:
        rows = client.call("intents")
    now = run.clock.wall_ms()
    lines = table(
        ("INTENT", "SWARM", "REV", "STATE", "BY", "TTL", "PURPOSE"),
        (
            (
                row["id"][:19],
                row["swarm"],
                row["revision"],
                row["state"],
                row["operator"],
                left(row["not_after_ms"], now),
                row["purpose"],
            )
            for row in rows
        ),
    )
    run.out.data(rows, lines)


@command("diff", "queenright intent diff sre.toml sre", "queenright intent diff sre.toml intent-9f3c --json")
@_file
@click.argument("intent")
def diff_command(run: Run, file: Path, intent: str) -> None:
    """Show in words what a file would change against an intent that is applied:

    - is taken away, + is given.
    """
    draft = parse_intent(read_text(file))
    with run.client() as client:
        detail = client.call("intent", intent=resolve(client, intent, "intent"))
    before, after = explain(detail["document"])[3:], explain(_preview(draft).encode())[3:]
    changes = [
        line
        for line in difflib.ndiff(before, after)
        if line.startswith(("- ", "+ "))  # the hints that ndiff puts between lines say nothing here
    ]
    run.out.data({"changes": changes}, [clean(line, MAX_TEXT) for line in changes] or ["no difference"])


@command("revoke", "queenright intent revoke intent-9f3c --reason 'incident over'")
@click.argument("intent")
@click.option("--reason", metavar="TEXT", help="Recorded with the act.")
def revoke_command(run: Run, intent: str, reason: str | None) -> int:
    """End an intent and everything under it: agents, grants, leases, open asks."""
    return act(run, "revoke", intent, "intent", reason=reason)
