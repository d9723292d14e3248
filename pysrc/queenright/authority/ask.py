"""The ask: one act above a grant, as the canonical bytes a person is shown and a verdict is sealed to.

The client receives these bytes, draws the card from them and computes the hash itself; it never signs a digest it was sent.
What the agent says of its own wish is not in them: only its hash, in the view digest of the verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from queenright.authority.document import NONCE, exact, fields
from queenright.authority.rule import number
from queenright.core import canonical, decode, digest
from queenright.core.host import check_names
from queenright.errors import Malformed

__all__ = [
    "REASON_CHARS",
    "RISKS",
    "Ask",
    "Risk",
    "Wish",
    "ask_hash",
    "card_key",
    "group_key",
    "reason_hash",
    "view_digest",
]

Risk = Literal["LOW", "MED", "HIGH", "CRITICAL"]
RISKS: tuple[Risk, ...] = ("LOW", "MED", "HIGH", "CRITICAL")
REASON_CHARS = 280
"""What an agent may say to a person: as much as is quoted on a card."""
MAX_ASK = 256 * 1024
"""Bytes of an ask: a long SQL text fits, a file does not."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an act would be, as the engine materialised it. Everything but `reason` was made by the supervisor.

    `manifest`, `plan`, `undo`, `dry_run`, `policy`: 32-byte digests (`dry_run` is empty if there was none).
    `precondition`: what the target was when the plan was made; it must be the same when the verdict is spent.
    """

    agent: bytes
    verb: str
    resource: str
    args: Mapping[str, Any]
    manifest: bytes
    precondition: Mapping[str, Any]
    plan: bytes
    undo: bytes
    dry_run: bytes
    policy: bytes
    risk: Risk
    reason: str = ""


_SHAPE: dict[str, type | tuple[type, ...]] = {
    "runtime": bytes, "intent": bytes, "revision": int, "agent": bytes, "chain": bytes, "verb": str, "manifest": bytes,
    "resource": str, "args": dict, "precondition": dict, "plan": bytes, "undo": bytes, "dry_run": bytes,
    "policy": bytes, "risk": str, "answer_by": int, "not_after": int, "nonce": bytes,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ask:
    """One ask. `answer_by`: no answer by then is a no. `not_after`: the act may not start then or later (wall ms)."""

    runtime: bytes
    intent: bytes
    revision: int
    agent: bytes
    chain: bytes
    verb: str
    manifest: bytes
    resource: str
    args: Mapping[str, Any]
    precondition: Mapping[str, Any]
    plan: bytes
    undo: bytes
    dry_run: bytes
    policy: bytes
    risk: Risk
    answer_by: int
    not_after: int
    nonce: bytes

    def encode(self) -> bytes:
        body = {name: getattr(self, name) for name in self.__slots__}
        return canonical(
            body | {"v": 1, "kind": "ask", "args": dict(self.args), "precondition": dict(self.precondition)}
        )

    @classmethod
    def decode(cls, data: bytes) -> Ask:
        """Raises Malformed."""
        if len(data) > MAX_ASK:
            raise Malformed(f"an ask of {len(data)} bytes: at most {MAX_ASK}", hint="ask for less in one act")
        body = fields(data, "ask", _SHAPE)
        check_names(body["verb"], body["resource"])
        for name in ("runtime", "intent", "agent", "chain", "manifest", "plan", "undo", "policy"):
            exact(body[name], 32, name)
        if body["dry_run"]:
            exact(body["dry_run"], 32, "dry_run")
        exact(body["nonce"], NONCE, "nonce")
        if body["risk"] not in RISKS:
            raise Malformed(f"the risk of an ask is one of {', '.join(RISKS)}")
        number(body["revision"], "revision", 1)
        number(body["not_after"], "not_after", 1)
        number(body["answer_by"], "answer_by", 1, body["not_after"])
        return cls(**body)

    @property
    def hash(self) -> bytes:
        """The ask's id."""
        return ask_hash(self.encode())


def ask_hash(data: bytes) -> bytes:
    """Of an ask's canonical bytes: what a verdict names."""
    return digest("ask", data)


def group_key(data: bytes) -> bytes:
    """Asks of one intent for the same act, whoever asks: what quotas and denials look at, made of nothing an agent wrote."""
    return _digest_of(
        data, "ask-group", ("runtime", "intent", "revision", "verb", "manifest", "resource", "args")
    )


def card_key(data: bytes) -> bytes:
    """Asks that one card can stand for: the same act with the same plan, on the same state of the target."""
    more = ("precondition", "plan", "undo", "dry_run", "policy", "risk")
    return _digest_of(
        data, "ask-card", ("runtime", "intent", "revision", "verb", "manifest", "resource", "args", *more)
    )


def _digest_of(data: bytes, kind: str, names: tuple[str, ...]) -> bytes:
    body = decode(data)
    return digest(kind, canonical({name: body[name] for name in names}))


def reason_hash(reason: str) -> bytes:
    return hashlib.sha256(reason.encode()).digest()


def view_digest(ask: bytes, reason: str) -> bytes:
    """What a person saw: an ask's hash and the agent's own words beside it (capped, before sanitising)."""
    return digest("view", canonical({"v": 1, "ask": ask, "reason": reason_hash(reason)}))
