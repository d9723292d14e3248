"""`http.get`: read one of the admin paths that the owner opened for reading, through the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Reach
from queenright.actions.world import Unreachable, World
from queenright.broker.outcome import NotSent
from queenright.errors import UnknownOutcome

__all__ = ["VERB"]


class HttpGet:
    """{"status", "content_type", "json" or "text", "cut"}, scrubbed of the credential."""

    manifest = Manifest(
        "http.get",
        ("svc", "db"),
        "read",
        {"path": Arg("str", least=1, most=1024), "query": Arg("map", None, most=32)},
        secret=True,
    )

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def read(self, world: World, args: Mapping[str, Any]) -> Any:
        admin = world.resource.need("admin", "http.get")
        if args["path"] not in admin.get:
            raise ActionFailed(
                "path_not_mapped",
                f"{world.resource.id} opens for http.get: {', '.join(admin.get) or 'nothing'}",
            )
        try:
            reply = world.admin("http.get", "GET", args["path"], query=args["query"])
        except (NotSent, UnknownOutcome) as error:
            raise Unreachable(error.message) from None
        answer: dict[str, Any] = {
            "status": reply.status,
            "content_type": reply.content_type,
            "cut": reply.cut,
        }
        try:
            return answer | {"json": json.loads(reply.body, parse_float=str, parse_constant=str)}
        except ValueError:
            return answer | {"text": reply.body.decode("utf-8", "replace")}


VERB = HttpGet()
