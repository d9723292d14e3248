"""`queenright operator …`: each edit shows the difference and is signed by an owner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from queenright.authority.amount import show_time
from queenright.authority.document import OPERATORS
from queenright.authority.operators import EVERYTHING, Operators, Person, Right
from queenright.cli.confirm import confirm_signing
from queenright.cli.output import clean
from queenright.cli.run import Run, command
from queenright.cli.signed_file import read_text
from queenright.control.client import Client
from queenright.control.operator_key import read_public
from queenright.core import KeyLine, parse_key_line
from queenright.errors import Conflict, Malformed, NotEntitled, Unknown

__all__ = ["add_command", "list_command", "remove_command", "rotate_command"]

_yes = click.option("--yes", is_flag=True, help="Do not ask after showing the difference.")


def _lines(operators: Operators) -> list[str]:
    owners = {parse_key_line(line).fingerprint for line in operators.owners}
    lines: list[str] = []
    for person in operators.people:
        ends = "" if person.not_after is None else f", until {show_time(person.not_after)}"
        groups = "".join(f" @{group}" for group in person.groups)
        lines.append(f"{person.name}{groups}{ends}")
        for line in person.keys:
            key = parse_key_line(line)
            lines.append(
                f"  key {key.kind} {key.fingerprint}{' (owner)' if key.fingerprint in owners else ''}"
            )
        for power in ("intents", "approvals", "undo"):
            rights: tuple[Right, ...] = getattr(person, power)
            lines += [f"  may sign {power}: {', '.join(right.verbs)} on {right.resource}" for right in rights]
        if person.break_glass:
            lines.append("  may break glass")
        if person.records:
            lines.append("  keeps records")
    return lines


def _named(operators: Operators) -> list[str]:
    """The same lines, each with its person's name: two people's equal rights are two lines."""
    named: list[str] = []
    name = ""
    for line in _lines(operators):
        if line.startswith("  "):
            named.append(f"{name}: {line.strip()}")
        else:
            name = line.split()[0]
            named.append(line)
    return named


def _current(client: Client) -> Operators:
    return Operators.decode(client.call("operators")["document"])


def _submit(run: Run, client: Client, before: Operators, after: Operators, *, yes: bool) -> None:
    old, new = _named(before), _named(after)
    # The whole of it, not the difference alone: what the supervisor called the version before may not be what you knew.
    run.out.show([f"operators as they will be in version {after.version}:"])
    run.out.show([f"  {clean(line)}" for line in _lines(after)])
    run.out.show([f"what changes against version {before.version}:"])
    run.out.show([f"- {clean(line)}" for line in old if line not in new])
    run.out.show([f"+ {clean(line)}" for line in new if line not in old])
    lost = before.removed_keys(after)
    if lost:
        run.out.show(["  removed keys void their unspent verdicts and freeze the intents that rest on them"])
    confirm_signing("sign this version?", yes=yes)
    if client.signer is None:
        raise NotEntitled("an owner's key is needed", hint="pass --key, or load ssh-agent")
    document = after.encode()
    view = client.call("operators_set", document=document, signature=client.signer.sign(OPERATORS, document))
    run.out.data(view, [f"operators version {view['version']} is in force"])


def _read_key(path: Path) -> KeyLine:
    return read_public(read_text(path).strip())


def _rights(given: tuple[str, ...], *, everything: bool) -> tuple[Right, ...]:
    """`VERB[,VERB] on RESOURCE`, as many as given. Raises Malformed."""
    if everything:
        return EVERYTHING
    found = []
    for text in given:
        verbs, mark, resource = text.partition(" on ")
        if not mark:
            raise Malformed(
                f"`{text}` is not `VERBS on RESOURCE`", hint="for example 'db.*,svc.restart on svc:shop/**'"
            )
        right = {"verbs": [verb.strip() for verb in verbs.split(",")], "resource": resource.strip()}
        found.append(Right.from_map(right))
    return tuple(found)


@command("list", "queenright operator list", "queenright operator list --json")
def list_command(run: Run) -> None:
    """List who is enrolled, by which keys, and what each may sign."""
    with run.client() as client:
        operators = _current(client)
    people = [person.to_map() for person in operators.people]
    told = {"version": operators.version, "owners": list(operators.owners), "people": people}
    run.out.data(told, [clean(line) for line in _lines(operators)])


@command(
    "add",
    "queenright operator add bo --key-file bo.pub --approvals 'db.* on db:shop/*' --group oncall-db",
    "queenright operator add carol --key-file carol.pub --everything --owner --yes",
)
@click.argument("name")
@click.option("--key-file", required=True, type=click.Path(path_type=Path), help="Their public key (.pub).")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group they are in.")
@click.option(
    "--intents", multiple=True, metavar="RIGHT", help="'VERBS on RESOURCE' they may sign intents for."
)
@click.option("--approvals", multiple=True, metavar="RIGHT", help="'VERBS on RESOURCE' they may approve.")
@click.option("--undo", "undos", multiple=True, metavar="RIGHT", help="'VERBS on RESOURCE' they may undo.")
@click.option("--everything", is_flag=True, help="All three, on everything.")
@click.option("--owner", is_flag=True, help="Make them an owner: they may change this document.")
@_yes
def add_command(
    run: Run,
    name: str,
    key_file: Path,
    groups: tuple[str, ...],
    intents: tuple[str, ...],
    approvals: tuple[str, ...],
    undos: tuple[str, ...],
    everything: bool,
    owner: bool,
    yes: bool,
) -> None:
    """Enrol a person's key. Without rights they may read and take away, nothing else."""
    key = _read_key(key_file)
    person = Person(
        name,
        (key.line,),
        groups=groups,
        intents=_rights(intents, everything=everything),
        approvals=_rights(approvals, everything=everything),
        undo=_rights(undos, everything=everything),
    )
    with run.client(give=True) as client:
        before = _current(client)
        if any(known.name == name for known in before.people):
            raise Conflict(f"{name} is enrolled already", hint="`queenright operator rotate` replaces a key")
        owners = (*before.owners, key.line) if owner else before.owners
        after = before.edited(run.clock.wall_ms(), people=(*before.people, person), owners=owners)
        _submit(run, client, before, after, yes=yes)


@command(
    "remove",
    "queenright operator remove bo",
    "queenright operator remove bo --fingerprint SHA256:Qk3v --yes",
)
@click.argument("name")
@click.option("--fingerprint", metavar="SHA256:…", help="Only this key of theirs (a prefix will do).")
@_yes
def remove_command(run: Run, name: str, fingerprint: str | None, yes: bool) -> None:
    """Remove a person, or one of their keys. Their unspent verdicts are void; intents resting on the key freeze."""
    with run.client(give=True) as client:
        before = _current(client)
        person = before.person(name)
        gone = set(person.keys) if fingerprint is None else {_one_key(person, fingerprint)}
        kept = tuple(line for line in person.keys if line not in gone)
        others = tuple(known for known in before.people if known.name != name)
        people = (*others, replace(person, keys=kept)) if kept else others
        owners = tuple(line for line in before.owners if line not in gone)
        if not owners:
            raise Conflict(
                "that is the last owner's key", hint="make another owner first: `queenright operator add`"
            )
        after = before.edited(run.clock.wall_ms(), people=people, owners=owners)
        _submit(run, client, before, after, yes=yes)


@command(
    "rotate",
    "queenright operator rotate bo --key-file new.pub",
    "queenright operator rotate bo --old SHA256:Qk3v --key-file new.pub --yes",
)
@click.argument("name")
@click.option("--key-file", required=True, type=click.Path(path_type=Path), help="The new public key (.pub).")
@click.option(
    "--old", metavar="SHA256:…", help="Which key is replaced, if they have several (a prefix will do)."
)
@_yes
def rotate_command(run: Run, name: str, key_file: Path, old: str | None, yes: bool) -> None:
    """Replace a person's key by a new one, with the same rights. The old key's unspent verdicts are void."""
    new = _read_key(key_file)
    with run.client(give=True) as client:
        before = _current(client)
        person = before.person(name)
        if old is None and len(person.keys) > 1:
            raise Conflict(f"{name} has {len(person.keys)} keys", hint="say which: --old SHA256:…")
        gone = person.keys[0] if old is None else _one_key(person, old)
        turned = replace(person, keys=tuple(new.line if line == gone else line for line in person.keys))
        people = tuple(turned if known.name == name else known for known in before.people)
        owners = tuple(new.line if line == gone else line for line in before.owners)
        after = before.edited(run.clock.wall_ms(), people=people, owners=owners)
        _submit(run, client, before, after, yes=yes)


def _one_key(person: Person, fingerprint: str) -> str:
    found = [line for line in person.keys if parse_key_line(line).fingerprint.startswith(fingerprint)]
    if len(found) != 1:
        known = ", ".join(parse_key_line(line).fingerprint for line in person.keys)
        raise Unknown(f"{len(found)} keys of {person.name} begin with {fingerprint}: they have {known}")
    return found[0]
