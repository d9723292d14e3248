"""`queenright resource …`: what is put in force is shown as a difference and signed by an owner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from queenright.actions.resources import NAMESPACE, Resource, ResourceMap
from queenright.actions.resources_toml import check_host, compile_resources
from queenright.cli import exit_codes
from queenright.cli.confirm import confirm_signing
from queenright.cli.output import MAX_TEXT, clean, table
from queenright.cli.run import Run, command
from queenright.cli.signed_file import read_text
from queenright.control.client import Client
from queenright.errors import Malformed, NotEntitled, Unknown

__all__ = ["add_command", "check_command", "list_command", "set_command", "show_command"]

_file = click.argument("file", type=click.Path(path_type=Path))
_yes = click.option("--yes", is_flag=True, help="Do not ask after showing the difference.")


def _facts(resource: Resource) -> dict[str, Any]:
    """What the owner wrote of it: fields that are mapped."""
    return {
        name: value
        for name, value in resource.to_map().items()
        if name != "id" and value not in (None, "", [], {})
    }


def _lines(resource: Resource) -> list[str]:
    facts = _facts(resource)
    return [resource.id, *(f"  {name} = {value}" for name, value in sorted(facts.items()))]


def _current(client: Client) -> ResourceMap:
    """What is in force; nothing before an owner signed the first document."""
    document = client.call("resources")["document"]
    return ResourceMap.decode(document) if document else ResourceMap()


def _submit(run: Run, client: Client, before: ResourceMap, after: ResourceMap, *, yes: bool) -> None:
    shown: list[str] = []
    for name in sorted({item.id for item in before} | {item.id for item in after}):
        old, new = before.find(name), after.find(name)
        if old != new:
            shown += [f"- {clean(line, MAX_TEXT)}" for line in (_lines(old) if old else [])]
            shown += [f"+ {clean(line, MAX_TEXT)}" for line in (_lines(new) if new else [])]
    if not shown:
        run.out.data({"changed": 0, "digest": after.digest}, ["nothing to change"])
        return
    run.out.show(shown)
    confirm_signing("sign these resources?", yes=yes)
    if client.signer is None:
        raise NotEntitled("an owner's key is needed", hint="pass --key, or load ssh-agent")
    document = after.encode()
    view = client.call("resources_set", document=document, signature=client.signer.sign(NAMESPACE, document))
    run.out.data(view, [f"{len(after)} resources are in force, digest {view['digest'].hex()[:12]}"])


@command(
    "check",
    "queenright resource check resources.toml",
    "queenright resource check resources.toml --json",
    key=False,
)
@_file
def check_command(run: Run, file: Path) -> int:
    """Check a resources file, and whether what it names is on this machine. Needs no supervisor."""
    try:
        found = compile_resources(read_text(file), name=str(file))
    except Malformed as wrong:
        run.out.data(
            {"file": str(file), "ok": False, "problems": [wrong.message]}, [clean(wrong.message, MAX_TEXT)]
        )
        return exit_codes.FAILED
    problems = check_host(found, forbidden=(run.paths().state,))
    told = {
        "file": str(file),
        "ok": not problems,
        "resources": [item.id for item in found],
        "problems": problems,
    }
    run.out.data(
        told, [clean(problem, MAX_TEXT) for problem in problems] or [f"{clean(str(file))}: ok, {len(found)}"]
    )
    return exit_codes.FAILED if problems else exit_codes.OK


@command("add", "queenright resource add web.toml", "queenright resource add web.toml --yes")
@_file
@_yes
def add_command(run: Run, file: Path, yes: bool) -> None:
    """Add the resources of a file to those in force, replacing those of the same name. Needs an owner's key."""
    given = compile_resources(read_text(file), name=str(file))
    with run.client(give=True) as client:
        before = _current(client)
        after = ResourceMap({item.id: item for item in before} | {item.id: item for item in given})
        _submit(run, client, before, after, yes=yes)


@command("set", "queenright resource set resources.toml", "queenright resource set resources.toml --yes")
@_file
@_yes
def set_command(run: Run, file: Path, yes: bool) -> None:
    """Put exactly the resources of a file in force: what it does not name is taken away. Needs an owner's key."""
    after = compile_resources(read_text(file), name=str(file))
    with run.client(give=True) as client:
        _submit(run, client, _current(client), after, yes=yes)


@command("list", "queenright resource list", "queenright resource list --json")
def list_command(run: Run) -> None:
    """List the resources in force and what each maps."""
    with run.client() as client:
        view = client.call("resources")
        found = _current(client) if view["document"] else ResourceMap()
    lines = table(
        ("RESOURCE", "RISK", "MAPS"),
        ((item.id, item.risk or "computed", ", ".join(sorted(_facts(item)))) for item in found),
    )
    told = {
        "digest": view["digest"],
        "signer": view["signer"],
        "resources": [item.to_map() for item in found],
    }
    run.out.data(
        told,
        lines if len(found) else ["no resources: an owner signs some with `queenright resource set FILE`"],
    )


@command("show", "queenright resource show svc:shop/web", "queenright resource show svc:shop/web --json")
@click.argument("resource")
def show_command(run: Run, resource: str) -> None:
    """Show what one resource maps to: paths, URLs, commands; a secret by its name only."""
    with run.client() as client:
        found = _current(client).find(resource)
    if found is None:
        raise Unknown(f"no resource `{resource}` is mapped", hint="`queenright resource list`")
    run.out.data(found.to_map(), [clean(line, MAX_TEXT) for line in _lines(found)])
