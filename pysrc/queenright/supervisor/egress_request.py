"""A command's connection in words: the request that an event of the proxy is, and what the command is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queenright.actions.act import ActRequest
from queenright.actions.egress import EgressRequest
from queenright.actions.resources import Resource
from queenright.errors import Denied, Dimension

__all__ = ["LOST", "answer_body", "changed", "nameless", "request_of", "with_args"]

_UNREAD = {
    "verb": "net.connect", "resource": "host:any", "method": "", "host": "", "port": 0, "path": "", "headers": []
}  # fmt: skip
LOST = {"code": "supervisor_stopped", "began": True, "status": 0, "up": 0, "down": 0}


def request_of(who: ActRequest, command: bytes, event: Mapping[str, Any]) -> EgressRequest:
    """What the proxy's event asks for, by the agent whose command it is."""
    return EgressRequest(
        agent=who.agent,
        agent_name=who.agent_name,
        incarnation=who.incarnation,
        cell=who.cell,
        shared=who.shared,
        intent=who.intent,
        grant=who.grant,
        turn=who.turn,
        ordinal=who.ordinal,
        verb=event["verb"],
        resource=event["resource"],
        args={
            "method": event["method"],
            "host": event["host"],
            "port": event["port"],
            "path": event["path"],
            "headers": [list(pair) for pair in event["headers"]],
            "body": b"",
        },
        command=command,
        number=event["id"],
    )


def with_args(request: EgressRequest, **args: Any) -> EgressRequest:
    """The same with more arguments, or others."""
    return replace(request, args={**request.args, **args})


def nameless(
    who: ActRequest, command: bytes, door: int, message: str, reason: str
) -> tuple[EgressRequest, Denied]:
    """The refusal of something that has no name of its own: no request, or one of too many kinds."""
    request = request_of(who, command, {**_UNREAD, "id": -door})
    denied = Denied(message, verb=request.verb, resource=request.resource, dimensions=(), reason=reason)
    return request, denied


def changed(request: EgressRequest, opened: Resource | None) -> Denied:
    """For a request that does not come in the way that its host has now."""
    why = (
        "it is not opened any more"
        if opened is None
        else "TLS to it is opened, for commands that began after it was mapped"
    )
    return Denied(
        f"{request.verb} on {request.resource}: {why}",
        verb=request.verb,
        resource=request.resource,
        dimensions=(Dimension("opened", "egress", why),),
        reason="opened_host",
        hint="use https through CONNECT, from a new command",
    )


def answer_body(code: str, message: str, **more: str) -> str:
    """JSON for the command to read."""
    return json.dumps({"error": code, "message": message, **{k: v for k, v in more.items() if v}}) + "\n"
