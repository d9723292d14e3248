"""`queenright try`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from queenright.authority.document import INTENT
from queenright.authority.intent_toml import parse_intent
from queenright.behaviours.manifest import Manifest
from queenright.cli import exit_codes
from queenright.cli.behaviour import read_package
from queenright.cli.output import MAX_TEXT, clean
from queenright.cli.run import Run, command
from queenright.cli.signed_file import read_text
from queenright.cli.throwaway import ThrowAway
from queenright.control.client import Client
from queenright.errors import QueenrightError

__all__ = ["try_command"]

LOOK_S = 0.3  # between looks at the folder, the agents and their logs
OWN_INTENT = "intent.toml"  # beside the package's code: what its author wants to try it under
DEFAULT_INTENT = """\
[intent]
purpose = "try {name}"
swarm = "try"
for = "8h"
depth = 3
max_agents = 50

[run]
start = "{name}.{start}"
packages = ["{name}"]

[[allow]]
do = ["fs.read", "fs.write", "shell.run"]
on = "ws:self"
"""


@command("try", "queenright try .", "queenright try ./hello --intent sre.toml --watch", key=False)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--intent", "intent_file", type=click.Path(path_type=Path), help="Try it under this intent.")
@click.option("--watch", is_flag=True, help="Start anew whenever a file of the package is saved.")
def try_command(run: Run, path: Path, intent_file: Path | None, watch: bool) -> int:
    """Run a behaviour folder in real cells under a throw-away supervisor, key and intent, and print what it logs.

    Its agents have their own workspaces and nothing else: no resource is mapped and no secret kept, so acts on real things
    are refused by name. Without --intent the package's own intent.toml is taken, or one that allows files and shell in the
    workspace. Ends when the swarm has ended, or on Ctrl-C; then everything is gone. Asks are shown and can only be denied.
    """
    read_package(path)
    intent = intent_file or (path / OWN_INTENT if (path / OWN_INTENT).exists() else None)
    run.out.say("starting a throw-away supervisor; Ctrl-C ends it")
    with ThrowAway(run.clock) as place, place.client() as client:
        trial = _Trial(run, client, path, intent)
        trial.begin()
        seen = trial.stamp()
        try:
            while not place.ended():
                for _ in client.watch([], idle_s=LOOK_S):
                    pass
                alive = trial.look()
                if watch and trial.stamp() != seen:
                    seen = trial.stamp()
                    trial.again()
                elif not alive and not watch:
                    run.out.say("the swarm has ended")
                    return exit_codes.OK
        except KeyboardInterrupt:
            run.out.say("stopped")
            return exit_codes.OK
        raise QueenrightError("the throw-away supervisor ended", hint="`queenright doctor`")


class _Trial:
    """One package under one intent, begun again on each save."""

    def __init__(self, run: Run, client: Client, path: Path, intent: Path | None) -> None:
        self._run = run
        self._client = client
        self._path = path
        self._intent_file = intent
        self._intent = ""
        self._after: dict[str, int] = {}
        self._asked: set[str] = set()

    def stamp(self) -> frozenset[tuple[str, int]]:
        """When each file was saved."""
        found = set()
        for file in [*self._path.rglob("*"), *([self._intent_file] if self._intent_file else [])]:
            try:
                if file.is_file() and "__pycache__" not in file.parts:
                    found.add((str(file), file.stat().st_mtime_ns))
            except OSError:
                continue  # it was replaced at this moment: the next look sees it
        return frozenset(found)

    def begin(self) -> None:
        """Add the package as it is now, sign an intent for it, and apply it. Raises what is refused."""
        files = read_package(self._path)
        row = self._client.call("behaviour_add", files=files)
        manifest = Manifest.of_files(files)
        if self._intent_file is not None:
            text = read_text(self._intent_file)
        else:
            text = DEFAULT_INTENT.format(name=manifest.name, start=next(iter(manifest.classes)))
        intent = parse_intent(text).compile(
            runtime=self._client.hello.runtime,
            packages={row["name"]: row["digest"]},
            now_ms=self._run.clock.wall_ms(),
            rand=os.urandom,
        )
        document = intent.encode()
        assert self._client.signer is not None
        signature = self._client.signer.sign(INTENT, document)
        self._intent = self._client.call("intent_apply", document=document, signature=signature)["id"]
        self._run.out.say(f"{clean(manifest.name)} {row['digest'].hex()[:12]} runs as {clean(intent.start)}")

    def again(self) -> None:
        """Revoke what runs and begin with the saved files; a mistake in them is printed and waits for the next save."""
        self._run.out.say("saved: starting anew")
        self._client.call("revoke", target=self._intent, reason="saved again")
        try:
            self.begin()
        except QueenrightError as error:
            self._run.out.refusal(error)

    def look(self) -> bool:
        """Print what is new. Whether any agent is left."""
        page = self._client.call("agents", intent=self._intent)
        for agent in page["rows"]:
            self._lines(agent)
        for ask in self._client.call("asks", state="open")["rows"]:
            if ask["id"] not in self._asked:
                self._asked.add(ask["id"])
                self._run.out.say(
                    f"{clean(ask['agent_name'])} asks for {clean(ask['verb'])} on {clean(ask['resource'])}"
                )
        return bool(page["rows"])

    def _lines(self, agent: dict[str, Any]) -> None:
        page = self._client.call("agent_log", agent=agent["id"], after=self._after.get(agent["id"]))
        for line in page["lines"]:
            self._after[agent["id"]] = line["seq"]
            text = f"{clean(agent['name'])} {clean(line['stream'])} {clean(line['text'], MAX_TEXT)}"
            self._run.out.data(line | {"agent": agent["id"], "name": agent["name"]}, [text])
