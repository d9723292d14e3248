"""From the bytes the runtime sent to what is drawn and signed. Nothing the runtime says *about* the bytes is believed.

An ask's id is the digest of its bytes, so bytes under another id are refused; members of a group are equal in everything a
verdict depends on, so a different request can never ride along unseen.
"""

from __future__ import annotations

from typing import Any, Final

from queenright.control.protocol import AskDetail, UndoPreview
from queenright.core import decode, digest, leaf_hash, merkle_root
from queenright.errors import Malformed
from queenright_tui.feed import OpenAsk

__all__ = ["open_ask", "undo_digest"]

# Without these a request cannot be shown whole; whatever else is in its bytes is shown too.
NEEDED: Final = frozenset(
    ("verb", "resource", "args", "risk", "answer_by", "not_after", "agent", "intent", "revision")
)
# What may differ between equal requests: who asks, by which chain, until when, and the number used once.
MAY_DIFFER: Final = frozenset(("agent", "chain", "answer_by", "not_after", "nonce"))
WAY_OUT: Final = "it cannot be decided here; deny it with `queenright ask deny`"


def open_ask(detail: AskDetail) -> OpenAsk:
    """The request, read from its bytes. Raises Malformed if they are not what the runtime says they are."""
    members, reasons = detail["members"], detail["reasons"]
    if not members or members[0] != detail["bytes"] or len(members) != len(reasons):
        raise Malformed("the request and the list of its members do not agree", hint=WAY_OUT)
    bodies = [_body(data) for data in members]
    hashes = [digest("ask", data) for data in members]
    if detail["row"]["id"] != f"ask-{hashes[0].hex()}":
        raise Malformed("these bytes are not the request of that id", hint=WAY_OUT)
    first = _shared(bodies[0])
    for body in bodies[1:]:
        if _shared(body) != first:
            raise Malformed("a request of another content stands among equal ones", hint=WAY_OUT)
    if len(set(hashes)) != len(hashes):
        raise Malformed("one request stands twice among equal ones", hint=WAY_OUT)
    return OpenAsk(
        detail,
        bodies[0],
        hashes[0] if len(hashes) == 1 else merkle_root([leaf_hash(found) for found in hashes]),
        min(body["answer_by"] for body in bodies),
        min(body["not_after"] for body in bodies),
    )


def _body(data: bytes) -> dict[str, Any]:
    body = decode(data)
    if not isinstance(body, dict) or body.get("v") != 1 or body.get("kind") != "ask":
        raise Malformed("these bytes are not an ask of version 1", hint=WAY_OUT)
    missing = NEEDED - body.keys()
    if missing:
        raise Malformed(f"the request's bytes hold no `{min(missing)}`", hint=WAY_OUT)
    for name, kind in (
        ("verb", str),
        ("resource", str),
        ("args", dict),
        ("answer_by", int),
        ("not_after", int),
    ):
        if type(body[name]) is not kind:
            raise Malformed(f"`{name}` of the request has the wrong type", hint=WAY_OUT)
    return body


def _shared(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in MAY_DIFFER}


def undo_digest(preview: UndoPreview) -> bytes:
    """What an order to undo covers: exactly this preview."""
    return digest("undo", preview["bytes"])
