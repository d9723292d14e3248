"""The root command:

finds a command by the registry, loads its file, and turns a refusal into words and an exit code.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from queenright.cli import exit_codes, registry
from queenright.cli.output import Output
from queenright.cli.run import Command, Run, shared_options
from queenright.errors import QueenrightError

__all__ = ["root", "run_command_line"]

NOUNS = {
    "intent": "what agents may do, signed once",
    "behaviour": "packages of agents' code",
    "resource": "the real things that actions may touch",
    "operator": "who may sign what",
    "ask": "requests that wait for a person",
    "lease": "live rights to use a credential",
    "agent": "the agents that run",
    "swarm": "the agents of one intent",
    "workspace": "agents' files, as versions",
    "secret": "what brokers hold and agents never see",
    "ledger": "the record that outsiders can verify",
}


def _complete(
    group: click.Group, ctx: click.Context, words: dict[str, str], begun: str
) -> list[CompletionItem]:
    """Completions from the registry: no command is loaded for a key press."""
    items = [CompletionItem(word, help=about) for word, about in words.items() if word.startswith(begun)]
    return items + click.Command.shell_complete(group, ctx, begun)


class Noun(click.Group):
    """A noun's commands, loaded when one is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, help=NOUNS[name].capitalize() + ".", short_help=NOUNS[name])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.words.split()[1] for entry in registry.nouns()[str(self.name)]]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return load(f"{self.name} {cmd_name}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._words().items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return _complete(self, ctx, self._words(), incomplete)

    def _words(self) -> dict[str, str]:
        return {entry.words.split()[1]: entry.about for entry in registry.nouns()[str(self.name)]}


class Root(click.Group):
    """`queenright`: one-word commands and nouns, none of them loaded before it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*registry.top(), *registry.nouns()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in registry.nouns():
            return Noun(cmd_name)
        if cmd_name in registry.top():
            return load(cmd_name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(words, entry.about) for words, entry in registry.top().items()])
        with formatter.section("Nouns"):
            formatter.write_dl([(noun, NOUNS[noun]) for noun in registry.nouns()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        words = {word: entry.about for word, entry in registry.top().items()} | NOUNS
        return _complete(self, ctx, words, incomplete)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exit_codes.MEANINGS.items()])
        with formatter.section("Examples"):
            formatter.write_text("queenright demo")
            formatter.write_text("queenright init && queenright up --detach && queenright tui")


def load(words: str) -> Command:
    """The command of these words, from its module. Raises KeyError for words the registry does not hold."""
    entry = registry.find(words)
    module = importlib.import_module(entry.module)
    command = getattr(module, words.split()[-1].replace("-", "_") + "_command")
    if not isinstance(command, Command):
        raise TypeError(f"{entry.module} holds no command for `{words}`")
    return command


@click.command("queenright", cls=Root, help="A runtime and a terminal for secure agent swarms.")
@click.version_option(package_name="queenright", message="queenright %(version)s")
@shared_options(key=False)
def root() -> None: ...


def run_command_line(args: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code. Never returns."""
    run = Run(os.environ)
    try:
        code = root.main(args, prog_name="queenright", standalone_mode=False, obj=run)
    except QueenrightError as error:
        Output(as_json=run.as_json).refusal(error)
        sys.exit(exit_codes.of(error))
    except click.UsageError as error:
        error.show()
        sys.exit(exit_codes.USAGE)
    except click.ClickException as error:
        Output(as_json=run.as_json).say(error.format_message())
        sys.exit(exit_codes.FAILED)
    except (click.Abort, KeyboardInterrupt):
        Output(as_json=False).say("stopped: nothing was done after this point")
        sys.exit(exit_codes.FAILED)
    except BrokenPipeError:
        # Whoever read our output has had enough; without this Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exit_codes.OK)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        Output(as_json=run.as_json).refusal(QueenrightError(f"{where}{error.strerror or error}"))
        sys.exit(exit_codes.FAILED)
    sys.exit(code if isinstance(code, int) else exit_codes.OK)
