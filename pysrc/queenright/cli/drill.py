"""`queenright drill`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import click

from queenright.cli import exit_codes
from queenright.cli.confirm import confirm_signing
from queenright.cli.logs import follow
from queenright.cli.output import Output, clean
from queenright.cli.run import Run, command
from queenright.cli.workspace import diff_command, show_command
from queenright.control.client import Client
from queenright.doctor.doctor import examine
from queenright.drill.attacks.kit import Attack
from queenright.drill.decoys import clear_left
from queenright.drill.drill import Drill, chosen
from queenright.drill.report import Row
from queenright.errors import NoSupervisor, NotEntitled, SandboxRefused

__all__ = ["drill_command"]


@command(
    "drill",
    "queenright drill",
    "queenright drill --yes --json",
    "queenright drill --only read-a-file-outside",
)
@click.option(
    "--list",
    "listing",
    is_flag=True,
    help="Print every attack, what it does and why it is harmless; make none.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only this attack; may be given again.")
@click.option("--yes", is_flag=True, help="Do not ask: sign the drill's order and its intent.")
def drill_command(run: Run, listing: bool, only: tuple[str, ...], yes: bool) -> int:
    """Attack this supervisor from inside cells and commands, from its links and its socket, and say what stopped each attack.

    Every attack aims at decoys that the drill plants and removes, and is harmless if it succeeds. They run one at a time in a
    swarm of the drill's own, under an intent that you sign and that allows nothing else. Needs your key. Ends with 0 only if
    every attack was stopped, none was not run, and everything that should work still does; otherwise with 1.
    """
    attacks = chosen(only)
    if listing:
        run.out.data([_told(attack) for attack in attacks], _list(attacks))
        return exit_codes.OK
    for place in clear_left():
        run.out.say(f"removed what a drill left at {place}")
    try:
        with run.client(give=True) as client:
            return _drill(run, client, attacks, yes)
    except NoSupervisor as none:
        report = examine()
        if report.exit_code == exit_codes.LACKS_FEATURE:
            raise SandboxRefused(
                f"nothing runs here that could be attacked: {none.message}, and this machine can hold no agents",
                step="sandbox", hint="`queenright doctor` says what is missing",
            ) from None  # fmt: skip
        raise


def _drill(run: Run, client: Client, attacks: list[Attack], yes: bool) -> int:
    if client.signer is None:
        raise NotEntitled("the drill is an order: it needs your key", hint="pass --key, or load ssh-agent")
    run.out.say(f"{len(attacks)} attacks, one at a time, on decoys that the drill plants and removes")
    confirm_signing("sign the drill's order and its intent?", yes=yes)

    def say(row: Row) -> None:
        if row.outcome != "stopped":
            run.out.say(f"{row.outcome}: {row.attack}: {clean(row.evidence)}")

    drill = Drill(
        client, client.signer, run.paths(), run.clock, attacks=attacks, show=_Shown(run, client).draw, say=say
    )
    report = drill.run()
    run.out.data(report.body(), [clean(line) for line in report.lines()])
    return exit_codes.OK if report.passed else exit_codes.FAILED


def _told(attack: Attack) -> dict[str, str]:
    return {
        name: getattr(attack, name) for name in ("name", "group", "place", "what", "harmless", "by", "leaf")
    }


def _list(attacks: list[Attack]) -> Iterator[str]:
    for attack in attacks:
        yield f"{attack.name} ({attack.group}, from {WHERE[attack.place]})"
        yield f"  does       {attack.what}"
        yield f"  harmless   {attack.harmless}"
        yield f"  against    {attack.by}"
        yield f"  recorded   {attack.leaf or 'not observable outside the sandbox'}"


WHERE = {
    "cell": "inside a cell",
    "command": "inside a command",
    "agent": "an agent's own steps",
    "link": "a cell's link",
    "client": "the control socket",
}


class _Shown(Run):
    """The command line drawn into memory, over the drill's own connection: what a person would see of hostile text."""

    def __init__(self, run: Run, client: Client) -> None:
        super().__init__(run.environ)
        self.state = run.state
        self._client = client
        self._buffer = io.StringIO()

    @property
    def out(self) -> Output:
        return Output(as_json=self.as_json, out=self._buffer, err=self._buffer)

    @contextmanager
    def client(self, *, give: bool = False, prove: bool = True, remember: bool = True) -> Iterator[Client]:
        yield self._client

    def draw(self, what: str, agent: str, path: str) -> str:
        """What `logs`, `workspace diff` or `workspace show` prints of an agent."""
        self._buffer = io.StringIO()
        self.as_json = False
        if what == "log":
            follow(self, agent, False)
        elif what == "diff":
            diff_command.main([agent], obj=self, standalone_mode=False)
        else:
            # A file's content goes to a pipe as it is: only as JSON is it drawn here.
            self.as_json = what == "content"
            more = ["--content"] if self.as_json else []
            show_command.main([agent, *([path] if path else []), *more], obj=self, standalone_mode=False)
        return self._buffer.getvalue()
