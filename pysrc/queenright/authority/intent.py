"""The intent: what an operator wants and allows, as the canonical bytes that are signed.

An intent's id is the digest of its first revision; an amendment names that id, its own revision number and the digest of
the revision before it. `Intent.decode` accepts exactly what `encode` writes, so what was shown is what was signed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from queenright.authority.amount import MAX_DURATION_MS
from queenright.authority.document import NONCE, exact, fields, texts
from queenright.authority.rule import MAX_RULES, Never, Rule, check_patterns, number
from queenright.core import canonical, digest
from queenright.errors import Malformed

__all__ = [
    "ANSWER_MS",
    "APPLY_MS",
    "BEHAVIOUR",
    "GROUP_OR_NAME",
    "MAX_DEPTH",
    "NAME",
    "PURPOSE_CHARS",
    "Amends",
    "Approval",
    "Clause",
    "Excluded",
    "Intent",
    "Limits",
    "Talk",
]

PURPOSE_CHARS = 200
"""One line of a card."""
MAX_DEPTH = 8
"""Generations below the first agent: a check walks them all."""
MAX_AGENTS = 2**20
"""At once: what one machine is measured with."""
MAX_PACKAGES = 64
MAX_TALK = 256
MAX_APPLY_MS = 7 * 86_400_000
"""A signed intent that lies about for longer than a week is no longer what anybody means."""
APPLY_MS = 15 * 60_000
ANSWER_MS = 10 * 60_000
MAX_QUORUM = 16

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
PACKAGE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
BEHAVIOUR = re.compile(r"[a-z][a-z0-9_-]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_]{0,63}){1,4}")
GROUP_OR_NAME = re.compile(r"@?[a-z][a-z0-9._-]{0,63}")

Excluded = Literal["requester", "spawner"]
EXCLUDED: tuple[Excluded, ...] = ("requester", "spawner")


@dataclass(frozen=True, slots=True)
class Approval:
    """Who may answer an ask, how many distinct people it takes, who may not, and how long they have."""

    approvers: tuple[str, ...] = ()  # names and @groups; empty: anyone whose row covers it
    quorum: int = 1
    excluding: tuple[Excluded, ...] = ()
    answer_ms: int = ANSWER_MS

    def to_map(self) -> dict[str, Any]:
        return {
            "approvers": list(self.approvers),
            "quorum": self.quorum,
            "excluding": list(self.excluding),
            "answer_ms": self.answer_ms,
        }

    @classmethod
    def from_map(cls, body: object) -> Approval:
        if not isinstance(body, dict) or body.keys() != {"approvers", "quorum", "excluding", "answer_ms"}:
            raise Malformed("an ask says approvers, quorum, excluding and answer_ms")
        approvers = texts(body["approvers"], "approvers")
        if any(not GROUP_OR_NAME.fullmatch(name) for name in approvers):
            raise Malformed("an approver is a name or an @group")
        excluding = texts(body["excluding"], "excluding")
        if any(name not in EXCLUDED for name in excluding):
            raise Malformed("`excluding` holds requester or spawner")
        return cls(
            approvers,
            number(body["quorum"], "quorum", 1, MAX_QUORUM),
            tuple(name for name in EXCLUDED if name in excluding),
            number(body["answer_ms"], "answer_ms", 1000, MAX_DURATION_MS),
        )


@dataclass(frozen=True, slots=True)
class Clause:
    """One `[[allow]]` or `[[ask]]`: a rule, and for an ask who answers it."""

    rule: Rule
    approval: Approval | None = None

    def to_map(self) -> dict[str, Any]:
        return {"rule": self.rule.to_wire(), "ask": self.approval and self.approval.to_map()}

    @classmethod
    def from_map(cls, body: object) -> Clause:
        if not isinstance(body, dict) or body.keys() != {"rule", "ask"}:
            raise Malformed("a clause is a map of rule and ask")
        rule = Rule.from_wire(body["rule"])
        approval = None if body["ask"] is None else Approval.from_map(body["ask"])
        if (rule.mode == "ask") != (approval is not None):
            raise Malformed("an ask, and only an ask, says who answers it")
        return cls(rule, approval)


@dataclass(frozen=True, slots=True)
class Talk:
    """Agents of behaviour `sender` may write to agents of `receiver`, in this swarm or in the one named."""

    sender: tuple[str, ...]
    receiver: tuple[str, ...]
    swarm: str = ""

    def to_map(self) -> dict[str, Any]:
        return {"from": list(self.sender), "to": list(self.receiver), "swarm": self.swarm}

    @classmethod
    def from_map(cls, body: object) -> Talk:
        if not isinstance(body, dict) or body.keys() != {"from", "to", "swarm"}:
            raise Malformed("a talk clause is a map of from, to, swarm")
        sender, receiver = texts(body["from"], "from"), texts(body["to"], "to")
        if not sender or not receiver or any(not BEHAVIOUR.fullmatch(name) for name in sender + receiver):
            raise Malformed("a talk clause names behaviours such as sre.Watcher")
        if type(body["swarm"]) is not str or (body["swarm"] and not NAME.fullmatch(body["swarm"])):
            raise Malformed("the swarm of a talk clause is a swarm's name")
        return cls(sender, receiver, body["swarm"])


@dataclass(frozen=True, slots=True)
class Limits:
    """How far and how wide the swarm may grow, and how many cards it may have open before people."""

    depth: int = 0
    max_agents: int = 1
    agents_ever: int = 100
    open_asks: int = 10
    open_asks_per_agent: int = 2
    asks_per_hour: int = 6

    def to_map(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_map(cls, body: object) -> Limits:
        if not isinstance(body, dict) or body.keys() != set(cls.__slots__):
            raise Malformed(f"the limits are {', '.join(cls.__slots__)}")
        return cls(
            number(body["depth"], "depth", 0, MAX_DEPTH),
            number(body["max_agents"], "max_agents", 1, MAX_AGENTS),
            number(body["agents_ever"], "agents_ever", body["max_agents"]),
            number(body["open_asks"], "open_asks", 1, 1000),
            number(body["open_asks_per_agent"], "open_asks_per_agent", 1, 100),
            number(body["asks_per_hour"], "asks_per_hour", 1, 1000),
        )


@dataclass(frozen=True, slots=True)
class Amends:
    """Which intent is amended, which revision this is (2 or more), and the digest of the one before."""

    intent: bytes
    revision: int
    previous: bytes

    def to_map(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_map(cls, body: object) -> Amends:
        if not isinstance(body, dict) or body.keys() != set(cls.__slots__):
            raise Malformed("an amendment names intent, revision and previous")
        return cls(
            exact(body["intent"], 32, "intent"),
            number(body["revision"], "revision", 2, 2**32),
            exact(body["previous"], 32, "previous"),
        )


_SHAPE: dict[str, type | tuple[type, ...]] = {
    "runtime": bytes, "nonce": bytes, "signed_at": int, "not_before": int, "apply_by": int, "not_after": int,
    "purpose": str, "swarm": str, "clauses": list, "never": list, "only": list, "start": str, "args": dict,
    "packages": dict, "limits": dict, "talk": list,
    "amends": (dict, type(None)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Intent:
    """One revision of an intent. Times are wall milliseconds; `not_after` and `apply_by` are exclusive."""

    runtime: bytes
    nonce: bytes
    signed_at: int
    not_before: int
    apply_by: int
    not_after: int
    purpose: str
    swarm: str
    clauses: tuple[Clause, ...]
    never: tuple[Never, ...]
    only: tuple[str, ...]
    start: str
    args: Mapping[str, Any]
    packages: Mapping[str, bytes]
    limits: Limits
    talk: tuple[Talk, ...] = ()
    amends: Amends | None = None
    _encoded: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def encode(self) -> bytes:
        """The bytes that are signed, shown and hashed."""
        if not self._encoded:
            self._encoded.append(canonical(self._map()))
        return self._encoded[0]

    def _map(self) -> dict[str, Any]:
        return {
            "v": 1,
            "kind": "intent",
            "runtime": self.runtime,
            "nonce": self.nonce,
            "signed_at": self.signed_at,
            "not_before": self.not_before,
            "apply_by": self.apply_by,
            "not_after": self.not_after,
            "purpose": self.purpose,
            "swarm": self.swarm,
            "clauses": [clause.to_map() for clause in self.clauses],
            "never": [never.to_wire() for never in self.never],
            "only": list(self.only),
            "start": self.start,
            "args": dict(self.args),
            "packages": dict(self.packages),
            "limits": self.limits.to_map(),
            "talk": [talk.to_map() for talk in self.talk],
            "amends": self.amends and self.amends.to_map(),
        }

    @classmethod
    def decode(cls, data: bytes) -> Intent:
        """The intent of exactly these bytes. Raises Malformed for anything that could not have been compiled."""
        body = fields(data, "intent", _SHAPE)
        intent = cls(
            exact(body["runtime"], 32, "runtime"),
            exact(body["nonce"], NONCE, "nonce"),
            number(body["signed_at"], "signed_at", 0),
            number(body["not_before"], "not_before", 0),
            number(body["apply_by"], "apply_by", 0),
            number(body["not_after"], "not_after", 0),
            body["purpose"],
            body["swarm"],
            tuple(Clause.from_map(clause) for clause in body["clauses"]),
            tuple(Never.from_wire(never) for never in body["never"]),
            texts(body["only"], "only"),
            body["start"],
            body["args"],
            body["packages"],
            Limits.from_map(body["limits"]),
            tuple(Talk.from_map(talk) for talk in body["talk"]),
            None if body["amends"] is None else Amends.from_map(body["amends"]),
        )
        intent.check()
        if intent.encode() != data:
            raise Malformed("these bytes say an intent in another way than it is written")
        return intent

    def check(self) -> None:
        """What holds of every intent, however it came about. Raises Malformed."""
        if not 0 < len(self.purpose) <= PURPOSE_CHARS or not self.purpose.isprintable():
            raise Malformed(f"the purpose is one line of 1 to {PURPOSE_CHARS} printable characters")
        if not NAME.fullmatch(self.swarm):
            raise Malformed("the swarm's name is lower-case letters, digits and dashes, at most 32")
        if not self.signed_at <= self.apply_by <= self.signed_at + MAX_APPLY_MS:
            raise Malformed("an intent is applied within a week of its signing")
        if not self.not_before < self.not_after <= self.not_before + MAX_DURATION_MS:
            raise Malformed("an intent ends after it begins, within 400 days")
        if len(self.clauses) > MAX_RULES or len(self.never) > MAX_RULES or len(self.talk) > MAX_TALK:
            raise Malformed(f"an intent has at most {MAX_RULES} clauses of a kind")
        if not 0 < len(self.packages) <= MAX_PACKAGES:
            raise Malformed(f"an intent names 1 to {MAX_PACKAGES} packages")
        for name, pinned in self.packages.items():
            if not PACKAGE.fullmatch(name):
                raise Malformed("a package's name is lower-case letters, digits, dashes and underscores")
            exact(pinned, 32, f"packages.{name}")
        if not BEHAVIOUR.fullmatch(self.start) or self.start.split(".")[0] not in self.packages:
            raise Malformed("`start` is a behaviour of one of the packages, such as sre.Watcher")
        if any(verb == "*" for clause in self.clauses for verb in clause.rule.verbs):
            raise Malformed("no rule allows every verb: name them, or families such as db.*")
        if self.only:
            check_patterns(list(self.only), "**")

    @property
    def digest(self) -> bytes:
        """Of this revision."""
        return digest("intent", self.encode())

    @property
    def id(self) -> bytes:
        """Of the intent through all its revisions."""
        return self.amends.intent if self.amends else self.digest

    @property
    def revision(self) -> int:
        return self.amends.revision if self.amends else 1

    def approval(self, clause: int) -> Approval | None:
        """Who answers an ask that clause `clause` raised; None if it is no ask."""
        return self.clauses[clause].approval if 0 <= clause < len(self.clauses) else None
