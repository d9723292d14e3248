"""`queenright completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from queenright.cli.run import Run, command

__all__ = ["completion_command"]


@command("completion", 'eval "$(queenright completion bash)"', "queenright completion zsh", key=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(run: Run, shell: str) -> None:
    """Print the completion script of a shell: put its evaluation into the shell's start file."""
    from queenright.cli.app import root

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click completes no {shell}")
    source = found(root, {}, "queenright", "_QUEENRIGHT_COMPLETE").source()
    run.out.data({"shell": shell, "script": source}, source.splitlines())
