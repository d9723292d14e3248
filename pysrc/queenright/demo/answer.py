"""Answering an ask as any operator does: fetch its bytes, decode them here, sign a verdict over what was seen."""

from __future__ import annotations

import os
from typing import Any

from queenright.authority.document import APPROVE
from queenright.authority.verdict import make_verdict
from queenright.cli.ask_file import OpenAsk
from queenright.control.client import Client
from queenright.control.operator_key import Signer

__all__ = ["FACTOR", "approve_once", "fetch", "open_asks"]

FACTOR = "none same-user"  # the demo's key lies beside its supervisor, and the verdict says so


def open_asks(client: Client) -> list[str]:
    """Ids of the asks that wait for a person."""
    return [row["id"] for row in client.call("asks", state="open")["rows"]]


def fetch(client: Client, ask: str) -> OpenAsk:
    """The ask, as its canonical bytes say it. Raises Malformed where the supervisor contradicts itself."""
    return OpenAsk.from_detail(client.call("ask", ask=ask))


def approve_once(client: Client, signer: Signer, seen: OpenAsk) -> dict[str, Any]:
    """Sign exactly what was seen, for one use, and hand it in. Raises what the supervisor refuses, above all Conflict."""
    verdict = make_verdict(
        client.hello.runtime, seen.members, "once", rand=os.urandom, factor=FACTOR
    ).encode()
    decided: dict[str, Any] = client.call(
        "ask_decide", verdict=verdict, signature=signer.sign(APPROVE, verdict)
    )
    return decided
