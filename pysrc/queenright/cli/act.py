"""What the commands that change one thing share: name it in full, call the method, say what it reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.cli import exit_codes
from queenright.cli.output import clean
from queenright.cli.run import Run
from queenright.control.client import Client

__all__ = ["EVERYTHING", "act", "resolve", "told"]

EVERYTHING = "all"


def resolve(client: Client, text: str, kind: str | None) -> str:
    """The id in full behind a prefix or a name. Raises Unknown, or Conflict when several answer to it."""
    found: dict[str, Any] = client.call("resolve", text=text, kind=kind)
    return str(found["id"])


def act(
    run: Run, method: str, target: str, kind: str | None, *, reason: str | None = None, give: bool = False
) -> int:
    """Call `method` on one thing, or on `all`; print what it reached and where it is recorded. The exit code: NO_ANSWER if
    something that it ends was still there after its time.
    """
    with run.client(give=give) as client:
        full = target if target == EVERYTHING else resolve(client, target, kind)
        params = {"target": full} if reason is None else {"target": full, "reason": reason}
        done = client.call(method, **params)
    line = f"{method} {clean(full)}: {done['count']} reached, ledger #{done['leaf']}"
    return told(run, done | {"target": full}, line)


def told(run: Run, done: Mapping[str, Any], line: str) -> int:
    """Print an order's answer: `line`, then what is gone by whose word, then by name what is not."""
    reach = done.get("reach")
    run.out.data(dict(done), [line] if reach is None else [line, *_reached(reach)])
    if reach is None or not reach["unreached"]:
        return exit_codes.OK
    run.out.say(f"NOT REACHED: {reach['unreached']} still there after {reach['ms']} ms")
    for name in reach["late"]:
        run.out.say(f"  NOT REACHED: {name}")
    run.out.hint("they are ended again until they are gone; `queenright status` names those that are left")
    return exit_codes.NO_ANSWER


def _reached(reach: Mapping[str, Any]) -> list[str]:
    """The acknowledgement in words: what the kernel, or a shared cell, has said."""
    kinds = (("cells", "cell"), ("commands", "command"), ("acts", "act"))
    gone = [f"{reach[key]} {one}{'s' * (reach[key] != 1)}" for key, one in kinds if reach[key]]
    lines = []
    if gone:
        lines.append(f"  gone by the kernel's word: {', '.join(gone)} ({reach['processes']} processes)")
    if reach["turns"]:
        lines.append(f"  let go by their shared cell: {reach['turns']}")
    if reach["connections"]:
        lines.append(f"  cut at the proxy: {reach['connections']} connections")
    lines.append(
        f"  {'all of it' if not reach['unreached'] else 'the rest'} {reach['ms']} ms after the order"
    )
    if not gone and not reach["turns"] and not reach["connections"] and not reach["unreached"]:
        lines = ["  nothing of it was running"]
    lines += [f"  goes on to its own end: {clean(name)}" for name in reach["finishing"]]
    lines += [f"  UNKNOWN, ended in its effect: {clean(name)}" for name in reach["unknown"]]
    return lines
