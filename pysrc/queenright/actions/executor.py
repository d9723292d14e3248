"""An executor's process: runs one verb on one resource, held by Landlock to exactly that resource's paths.

It has no keyring and at most one secret, for one act. It does one request at a time, in order, and ends when
the supervisor closes the channel (descriptor 3).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from typing import Any

from queenright.actions import channel
from queenright.actions.keep import KEEP
from queenright.actions.observe import OBSERVE
from queenright.actions.plan import Plan
from queenright.actions.registry import find_verb
from queenright.actions.resources import Resource
from queenright.actions.verb import TOUCHING, ActionFailed, Effect, Unsure
from queenright.actions.world import Place, World
from queenright.broker.outcome import NotSent
from queenright.broker.secret import Secret
from queenright.core import digest
from queenright.errors import Malformed, QueenrightError, UnknownOutcome

__all__ = ["main", "serve"]

CHANNEL = 3


def main() -> int:
    """Serve until the supervisor closes the channel."""
    with socket.socket(fileno=CHANNEL) as link:
        serve(link)
    return 0


def serve(link: socket.socket) -> None:
    """Answer requests from `link` until it is closed."""
    world: World | None = None
    while True:
        try:
            request = channel.receive_now(link)
        except channel.Closed:
            return
        if request.get("op") == "begin":
            world = _begin(link, request)
            answer: dict[str, Any] = {"t": "ok", "value": None}
        elif world is None:
            answer = {"t": "failed", "code": "malformed", "message": "no act was begun", "began": False}
        else:
            answer = _answer(world, request)
        channel.send_now(link, answer)


def _begin(link: socket.socket, request: Mapping[str, Any]) -> World:
    given = request["secret"]
    secret = None if given is None else Secret(given["name"], given["version"], given["value"])
    space = request["space"]

    def ask(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
        channel.send_now(link, {"t": "ask", "kind": kind, "facts": facts})
        reply = channel.receive_now(link)
        if reply["t"] != "answer":
            raise ActionFailed(str(reply["code"]), str(reply["message"]), began=bool(reply["began"]))
        facts_back: dict[str, Any] = reply["facts"]
        return facts_back

    return World(
        resource=Resource.from_map(request["resource"]),
        secret=secret,
        space=None if space is None else Place.from_map(space),
        history=request["history"],
        images=request["images"],
        key=request["key"],
        ask=ask,
    )


def _answer(world: World, request: Mapping[str, Any]) -> dict[str, Any]:
    """One request's answer. Whatever a verb raises becomes one; only a bug's kind is told, never its text."""
    try:
        return {"t": "ok", "value": _do(world, request)}
    except ActionFailed as failed:
        return {"t": "failed", "code": failed.code, "message": failed.message, "began": failed.began}
    except (Unsure, UnknownOutcome) as unsure:
        return {"t": "unknown", "message": unsure.message}
    except NotSent as failed:
        return {"t": "failed", "code": failed.code, "message": failed.message, "began": False}
    except QueenrightError as failed:
        # A verb that had begun says so itself, by ActionFailed or Unsure.
        return {"t": "failed", "code": failed.code, "message": failed.message, "began": False}
    except Exception as bug:
        if request["op"] in TOUCHING:
            return {"t": "unknown", "message": f"the executor failed in the act: {type(bug).__name__}"}
        return {
            "t": "failed",
            "code": "error",
            "message": f"internal error ({type(bug).__name__})",
            "began": False,
        }


def _do(world: World, request: Mapping[str, Any]) -> Any:
    if request["op"] == "observe":
        return OBSERVE.observe(world)
    if request["op"] == "keep":
        return KEEP.keep(world, request["what"], request["facts"])
    verb: Any = find_verb(request["verb"])
    match request["op"]:
        case "read":
            return verb.read(world, request["args"])
        case "plan" | "rehearse" as op:
            draft = (
                verb.plan(world, request["args"]) if op == "plan" else verb.rehearse(world, request["args"])
            )
            return {
                "args": dict(draft.args),
                "effect": draft.effect,
                "precondition": dict(draft.precondition),
                "undo": None if draft.undo is None else dict(draft.undo),
                "undo_text": draft.undo_text,
                "images": dict(draft.images),
                "class": draft.klass,
                "resources": draft.resources,
            }
        case "run":
            effect = verb.run(world, _sealed_plan(verb, request))
            return {"value": effect.value, "after": dict(effect.after)}
        case "verify":
            done = Effect(request["effect"]["value"], request["effect"]["after"])
            return verb.verify(world, _sealed_plan(verb, request), done)
        case "conflict":
            return verb.conflict(world, _sealed_plan(verb, request), request["after"])
        case "undo":
            plan = _sealed_plan(verb, request)
            conflict = verb.conflict(world, plan, request["after"])
            if conflict:
                raise ActionFailed("conflict", conflict)
            return {"what": verb.undo(world, plan, request["after"]).what}
        case other:
            raise Malformed(f"no such request: {str(other)[:40]}")


def _sealed_plan(verb: Any, request: Mapping[str, Any]) -> Plan:
    """The plan whose digest was recorded (and, above the grant, approved), and no other bytes."""
    if digest("plan", request["plan"]) != request["digest"]:
        raise ActionFailed("plan_changed", "the plan is not the one that was recorded")
    plan = Plan.decode(request["plan"])
    if plan.verb != request["verb"] or plan.manifest != verb.manifest.digest:
        raise ActionFailed("plan_changed", "the plan was made by another version of this action")
    return plan


if __name__ == "__main__":
    sys.exit(main())
