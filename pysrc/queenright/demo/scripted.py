"""The scripted operator: a process of its own that answers the demo's asks, for runs without a person.

It has a key that was made for this demo and is enrolled only in its directory, it fetches each ask over the control
socket and signs like anyone. It approves nothing but the one act the demo is about, and refuses to work on any state
directory that is not the demo's own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from queenright.authority.operators import Operators
from queenright.cli.ask_file import OpenAsk
from queenright.control.client import Client
from queenright.demo.answer import approve_once, fetch, open_asks
from queenright.demo.place import MARKER, SCRIPT, load_key
from queenright.errors import Conflict, NotEntitled, QueenrightError
from queenright.paths import Paths

__all__ = ["check_place", "main", "unwanted"]

APPROVED = ("db.session.kill", "db:shop/main")
POLL_S = 0.2
THINKING_S = 1.0  # a person would at least read the card; this shows the ask on screens for a moment


def check_place(state: Path, key: Path) -> bytes:
    """The runtime key of the demo that `state` belongs to. Raises NotEntitled for any other directory."""
    root = state.resolve().parent
    try:
        marker = json.loads((root / MARKER).read_bytes())
        runtime = bytes.fromhex(marker["runtime"])
        of_this = marker["root"] == str(root) and state.resolve() == root / "state" and len(runtime) == 32
    except (OSError, ValueError, KeyError, TypeError):
        of_this = False
    if not of_this or key.resolve().parent != root / "keys":
        raise NotEntitled(
            f"{state} is not a demo's state directory: the scripted operator answers nobody else's asks"
        )
    return runtime


def check_runtime(client: Client, runtime: bytes, fingerprint: str) -> None:
    """Raise NotEntitled unless this is the demo's own supervisor, with this key enrolled as the script."""
    if client.hello.runtime != runtime:
        raise NotEntitled("another supervisor answers in the demo's directory")
    people = Operators.decode(client.call("operators")["document"]).people
    if (
        client.session is None
        or client.session.operator != SCRIPT
        or client.session.fingerprint != fingerprint
    ):
        raise NotEntitled(f"this key is not enrolled as {SCRIPT}")
    if len(people) != 2:
        raise NotEntitled("somebody besides the demo's two operators is enrolled: this is no demo")


def unwanted(seen: OpenAsk) -> str:
    """Why the script does not approve this, or "": it approves the one act that the demo is about, one at a time."""
    if len(seen.members) != 1 or seen.more:
        return "several asks at once are not what this demo is about"
    if (seen.first.verb, seen.first.resource) != APPROVED:
        return f"{seen.first.verb} on {seen.first.resource} is not what this demo is about"
    return ""


def serve(client: Client, key: Path, seconds: float) -> None:
    signer = load_key(key)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for ask in open_asks(client):
            seen = fetch(client, ask)
            why = unwanted(seen)
            time.sleep(THINKING_S)
            try:
                if why:
                    client.call("ask_deny", ask=ask, reason=why)
                else:
                    approve_once(client, signer, seen)
            except Conflict:
                continue  # somebody else was first, or it is over
        time.sleep(POLL_S)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="queenright.demo.scripted", description="Answers a demo's asks.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600.0)
    asked = parser.parse_args(argv)
    try:
        runtime = check_place(asked.state, asked.key)
        with Client(Paths.of(asked.state, {}).socket) as client:
            signer = load_key(asked.key)
            client.prove(signer)
            check_runtime(client, runtime, signer.key.fingerprint)
            serve(client, asked.key, min(asked.seconds, 3600.0))
    except QueenrightError as error:
        sys.stderr.write(f"queenright: {error.message}\n")
        return 3 if isinstance(error, NotEntitled) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
