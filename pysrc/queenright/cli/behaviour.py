"""`queenright behaviour …`."""

from __future__ import annotations

from pathlib import Path

import click

from queenright.behaviours import new, read_files
from queenright.behaviours.manifest import Manifest
from queenright.cli.output import clean, table, when
from queenright.cli.run import Run, command
from queenright.errors import Unknown

__all__ = ["add_command", "list_command", "new_command", "read_package", "test_command"]

_path = click.argument("path", type=click.Path(path_type=Path))


def read_package(path: Path) -> dict[str, bytes]:
    """The files of a package directory, checked against its `behaviour.toml`. Raises Unknown or Malformed."""
    if not path.is_dir():
        raise Unknown(f"there is no directory {path}", hint="make one: `queenright behaviour new NAME`")
    files = read_files(path)
    Manifest.of_files(files)
    return files


@command(
    "new", "queenright behaviour new hello", "queenright behaviour new hello --path ./agents/hello", key=False
)
@click.argument("name")
@click.option("--path", type=click.Path(path_type=Path), help="Where (default: ./NAME).")
def new_command(run: Run, name: str, path: Path | None) -> None:
    """Make a behaviour package that runs, with its test."""
    target = path or Path(name)
    made = new(target, name)
    told = {"path": str(target), "files": [str(file) for file in made]}
    run.out.data(told, [f"made {clean(str(file))}" for file in made])
    run.out.hint(f"`cd {target} && queenright behaviour test . && queenright try .`")


@command("add", "queenright behaviour add ./hello", "queenright behaviour add ./hello --json")
@_path
def add_command(run: Run, path: Path) -> None:
    """Copy a package into the supervisor's store and print its digest, which is what an intent names.

    It may not run before an intent names it. Needs your key.
    """
    files = read_package(path)
    with run.client(give=True) as client:
        row = client.call("behaviour_add", files=files)
    run.out.data(row, [f"{clean(row['name'])} {clean(row['version'])} is here as {row['digest'].hex()}"])


@command("test", "queenright behaviour test .", "queenright behaviour test ./hello", key=False)
@_path
def test_command(run: Run, path: Path) -> int:
    """Run a package's own tests, without a supervisor. They run as you, not in a sandbox: it is your code."""
    if run.as_json:
        raise click.UsageError("the tests print their own report; --json has no form for it")
    from queenright.testing import run_behaviour_tests  # tests alone need it, and pytest with it

    return run_behaviour_tests(path)


@command("list", "queenright behaviour list", "queenright behaviour list --json")
def list_command(run: Run) -> None:
    """List the packages an intent can name, the oldest first: an intent pins the newest of a name when it is signed."""
    with run.client() as client:
        rows = client.call("behaviours")
    lines = table(
        ("NAME", "VERSION", "DIGEST", "CELL", "CLASSES", "ADDED", "USED BY"),
        (
            (
                row["name"],
                row["version"],
                row["digest"].hex()[:16],
                f"{row['cell']}, cold: {row['cold']}"
                if row["cell"] == "own" and row["cold"]
                else row["cell"],
                ", ".join(row["classes"]),
                when(row["added_ms"]),
                ", ".join(used[:19] for used in row["used_by"]) or "-",
            )
            for row in rows
        ),
    )
    run.out.data(rows, lines if rows else ["no package: `queenright behaviour add PATH`"])
