"""What the commands that change one thing share: name it in full, call the method, say what it reached."""

from __future__ import annotations

from typing import Any

from queenright.cli.output import clean
from queenright.cli.run import Run
from queenright.control.client import Client

__all__ = ["EVERYTHING", "act", "resolve"]

EVERYTHING = "all"


def resolve(client: Client, text: str, kind: str | None) -> str:
    """The id in full behind a prefix or a name. Raises Unknown, or Conflict when several answer to it."""
    found: dict[str, Any] = client.call("resolve", text=text, kind=kind)
    return str(found["id"])


def act(
    run: Run, method: str, target: str, kind: str | None, *, reason: str | None = None, give: bool = False
) -> None:
    """Call `method` on one thing, or on `all`; print how many it reached and where it is recorded."""
    with run.client(give=give) as client:
        full = target if target == EVERYTHING else resolve(client, target, kind)
        params = {"target": full} if reason is None else {"target": full, "reason": reason}
        done = client.call(method, **params)
    line = f"{method} {clean(full)}: {done['count']} reached, ledger #{done['leaf']}"
    run.out.data(done | {"target": full}, [line])
    if done["unacked"]:
        run.out.say(f"{done['unacked']} have not acknowledged yet; `queenright status` shows when they have")
