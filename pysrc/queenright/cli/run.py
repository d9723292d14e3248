"""What every command shares: its options, its connection to the supervisor, and how its help looks."""

from __future__ import annotations

import getpass
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs

from queenright.cli.output import Output
from queenright.clock import SystemClock
from queenright.control.agent_socket import SshAgent
from queenright.control.client import Client
from queenright.control.ledger_copy import Memory, drive
from queenright.control.operator_key import Signer, choose
from queenright.control.token_file import TokenFile
from queenright.errors import (
    InvalidSignature,
    Malformed,
    NoSupervisor,
    NotEntitled,
    QueenrightError,
    TimedOut,
)
from queenright.paths import Paths

__all__ = ["Command", "Run", "command", "pass_run", "shared_options"]

F = TypeVar("F", bound=Callable[..., Any])


class Run:
    """One run of the command line:

    options, streams, configuration. Commands get it as their first argument.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.state: str | None = None
        self.key: str | None = None
        self.as_json = False
        self.clock = SystemClock()

    @property
    def out(self) -> Output:
        return Output(as_json=self.as_json)

    def paths(self) -> Paths:
        """The places of the chosen state directory.

        Raises Malformed for one whose socket path is too long.
        """
        return Paths.of(self.state, self.environ)

    def config_directory(self) -> Path:
        """The client's own directory: configuration and the checkpoints seen here. QUEENRIGHT_CONFIG wins."""
        return Path(self.environ.get("QUEENRIGHT_CONFIG") or platformdirs.user_config_path("queenright"))

    def configured_key(self) -> str | None:
        """`operator.key` of `config.toml`. Raises Malformed if the file is no TOML."""
        path = self.config_directory() / "config.toml"
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Malformed(
                f"{path} cannot be read: {error}", hint="correct the file, or pass --key"
            ) from None
        key = found.get("operator", {}).get("key")
        if key is not None and not isinstance(key, str):
            raise Malformed(f"`operator.key` in {path} must be a path")
        return key

    def tokens(self) -> TokenFile:
        return TokenFile(self.paths().run)

    def signer(self, client: Client | None) -> Signer:
        """The operator's key; `client` tells which keys of ssh-agent are enrolled. Raises NotEntitled."""
        return choose(
            self.key or self.environ.get("QUEENRIGHT_KEY"),
            self.configured_key(),
            enrolled=client.enrolled if client is not None else lambda lines: lines,
            agent=SshAgent.from_environment(),
            ask=self.passphrase,
        )

    def passphrase(self, prompt: str) -> bytes:
        """A secret typed on the terminal, unseen. Raises NotEntitled without a terminal."""
        if not sys.stdin.isatty():
            raise NotEntitled(
                f"{prompt.rstrip(': ')} is needed, and there is no terminal", hint="use ssh-agent"
            )
        return getpass.getpass(f"queenright: {prompt}", stream=sys.stderr).encode()

    def memory(self) -> Memory:
        """The checkpoints this client has seen."""
        return Memory(self.config_directory() / "checkpoints")

    @contextmanager
    def client(self, *, give: bool = False, prove: bool = True, remember: bool = True) -> Iterator[Client]:
        """A connection with a session. With `give` the operator's key is proved, and kept to sign with.

        Without, a login token serves if there is one. With `remember` the ledger's newest checkpoint is checked against
        the last one seen here: a history that was rewritten or cut is complained of, and nothing is given to it.
        Raises NoSupervisor, NotEntitled, InvalidSignature, LedgerBroken.
        """
        client = self._logged_in() if prove and not give and self.key is None else None
        with client or Client(self.paths().socket, clock=self.clock) as client:
            if prove and client.session is None:
                client.prove(self.signer(client))
            try:
                # A locked supervisor signs no checkpoint, and gives nothing either: `unlock` checks once it is open.
                if prove and remember and not client.hello.locked:
                    self.check_history(client, give=give)
                yield client
            finally:
                if client.signer is not None:
                    client.signer.close()

    def _logged_in(self) -> Client | None:
        """A connection proved by the login file, or None if there is none that still holds."""
        tokens = self.tokens()
        login = tokens.read()
        if login is None:
            return None
        client = Client(self.paths().socket, clock=self.clock)
        try:
            client.prove_login(login)
        except (NotEntitled, InvalidSignature):
            client.close()
            tokens.remove()
            self.out.say("the login has ended; using your key")
            return None
        except BaseException:
            client.close()
            raise
        return client

    def check_history(self, client: Client, *, give: bool) -> None:
        """Check that the ledger continues what was seen here before. With `give` raises LedgerBroken, else complains."""
        try:
            drive(client, self.memory().checking(client.hello.runtime))
        except (NoSupervisor, TimedOut):
            raise
        except QueenrightError as trouble:
            if give:
                raise
            # Reading and taking away must work above all when something is wrong.
            self.out.say(f"LEDGER: {trouble.message}")
        except OSError as error:
            self.out.say(f"the ledger's checkpoint could not be kept: {error.strerror}")


class Command(click.Command):
    """A command whose help ends with examples that can be pasted. A test parses each of them."""

    examples: tuple[str, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(
                    f"{'':>{formatter.current_indent}}{example}\n"
                )  # never wrapped: it is to be pasted


def _state(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Run).state = value


def _key(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Run).key = value


def _json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Run).as_json = True


def shared_options(*, key: bool) -> Callable[[F], F]:
    """`--state`, `--json` and, for what talks to a supervisor, `--key`."""

    def add(function: F) -> F:
        if key:
            function = click.option(
                "--key",
                metavar="PATH",
                expose_value=False,
                callback=_key,
                help="Your operator key (or its .pub).",
            )(function)
        function = click.option(
            "--state", metavar="DIR", expose_value=False, callback=_state, help="The state directory."
        )(function)
        return click.option(
            "--json", is_flag=True, expose_value=False, callback=_json, help="Print the result as JSON."
        )(function)

    return add


def command(name: str, *examples: str, key: bool = True) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command called `name`. Its docstring is the help; it gets the `Run` first."""

    def make(function: Callable[..., Any]) -> Command:
        made = click.command(name, cls=Command)(shared_options(key=key)(pass_run(function)))
        made.examples = examples
        return made

    return make


pass_run = click.make_pass_decorator(Run, ensure=False)
