"""An ask in a file:

what `ask export` writes and `sign` draws the card from, on a machine that has no supervisor.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queenright.authority.ask import Ask
from queenright.cli.signed_file import read_bytes
from queenright.errors import Malformed

__all__ = ["OpenAsk", "read_ask"]


@dataclass(frozen=True, slots=True)
class OpenAsk:
    """The asks of one card as they are drawn and signed: (canonical bytes, the agent's words) each."""

    members: tuple[tuple[bytes, str], ...]
    name: str
    context: Mapping[str, Any]
    more: int

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> OpenAsk:
        """From the supervisor's answer. Raises Malformed where it contradicts itself."""
        documents, reasons = detail["members"], detail["reasons"]
        if not documents or len(documents) != len(reasons) or documents[0] != detail["bytes"]:
            raise Malformed("the supervisor sent an ask whose members do not fit together")
        return cls(
            tuple(zip(documents, reasons, strict=True)),
            detail["row"]["agent_name"],
            detail["context"],
            detail["more"],
        )

    @property
    def first(self) -> Ask:
        return Ask.decode(self.members[0][0])

    def to_json(self) -> bytes:
        """As `read_ask` reads it."""
        members = [
            {"document": base64.b64encode(document).decode(), "reason": said}
            for document, said in self.members
        ]
        body = {
            "v": 1,
            "kind": "ask",
            "members": members,
            "name": self.name,
            "context": self.context,
            "more": self.more,
        }
        return json.dumps(body, indent=1).encode() + b"\n"


def read_ask(path: Path) -> OpenAsk:
    """An exported ask. Raises Malformed."""
    try:
        body: Any = json.loads(read_bytes(path))
        if body.keys() != {"v", "kind", "members", "name", "context", "more"} or body["v"] != 1:
            raise ValueError
        if body["kind"] != "ask" or not body["members"] or not isinstance(body["context"], dict):
            raise ValueError
        members = tuple(
            (base64.b64decode(member["document"], validate=True), str(member["reason"]))
            for member in body["members"]
        )
        found = OpenAsk(members, str(body["name"]), body["context"], int(body["more"]))
    except (ValueError, AttributeError, KeyError, TypeError, binascii.Error):
        raise Malformed(
            f"{path} is not an exported ask of version 1", hint="`queenright ask export ASK`"
        ) from None
    for document, _ in found.members:
        Ask.decode(document)
    return found
