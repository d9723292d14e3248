"""The verdict: a person's signed answer to the asks they saw. Sealed to their exact bytes, or to less, never to more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from queenright.authority.ask import REASON_CHARS, Ask, view_digest
from queenright.authority.document import NONCE, exact, fields
from queenright.authority.rule import number
from queenright.core import canonical, digest, leaf_hash, merkle_root
from queenright.errors import Malformed

__all__ = ["MAX_MEMBERS", "Answer", "Verdict", "is_narrower", "make_verdict"]

Answer = Literal["once", "narrower", "shorter", "deny"]
ANSWERS: tuple[Answer, ...] = ("once", "narrower", "shorter", "deny")
MAX_MEMBERS = 1_000
"""Asks under one verdict: what one card may stand for."""

_SHAPE: dict[str, type | tuple[type, ...]] = {
    "runtime": bytes, "asks": list, "root": bytes, "answer": str, "args": (dict, type(None)), "max_uses": int,
    "not_after": int, "view": bytes, "factor": str, "reason": str, "nonce": bytes,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """`asks`: the hashes of the members on screen, in their order; `root` their Merkle root; `view` a digest of all views.

    `args`: for `narrower`, the arguments that may be used instead. `max_uses`: of all members together. `factor`: how the
    key was held (`hardware`, `uid`, `none`), as the client states it. `reason`: goes to the agents of a denial.
    """

    runtime: bytes
    asks: tuple[bytes, ...]
    root: bytes
    answer: Answer
    args: Mapping[str, Any] | None
    max_uses: int
    not_after: int
    view: bytes
    factor: str
    reason: str
    nonce: bytes

    def encode(self) -> bytes:
        """The bytes signed in the namespace `approve@queenright.v1`."""
        body = {name: getattr(self, name) for name in self.__slots__}
        args = None if self.args is None else dict(self.args)
        return canonical(body | {"v": 1, "kind": "verdict", "asks": list(self.asks), "args": args})

    @classmethod
    def decode(cls, data: bytes) -> Verdict:
        """Raises Malformed."""
        body = fields(data, "verdict", _SHAPE)
        asks = body["asks"]
        if not 0 < len(asks) <= MAX_MEMBERS or len({bytes(ask) for ask in asks if type(ask) is bytes}) != len(
            asks
        ):
            raise Malformed(f"a verdict names 1 to {MAX_MEMBERS} different asks")
        for ask in asks:
            exact(ask, 32, "asks")
        for name, size in (("runtime", 32), ("root", 32), ("view", 32), ("nonce", NONCE)):
            exact(body[name], size, name)
        if body["root"] != _root(asks):
            raise Malformed("a verdict's root is not that of its asks")
        if body["answer"] not in ANSWERS:
            raise Malformed(f"a verdict is one of {', '.join(ANSWERS)}")
        if (body["answer"] == "narrower") != (body["args"] is not None):
            raise Malformed("a narrower verdict, and only one, says the arguments it allows")
        if len(body["reason"]) > REASON_CHARS or len(body["factor"]) > 32:
            raise Malformed(f"the reason of a verdict has at most {REASON_CHARS} characters")
        number(body["not_after"], "not_after", 0)
        number(body["max_uses"], "max_uses", 0 if body["answer"] == "deny" else 1, len(asks))
        return cls(**body | {"asks": tuple(asks)})

    @property
    def digest(self) -> bytes:
        return digest("verdict", self.encode())

    def faults(self, asks: Sequence[tuple[Ask, bytes, str]], now_ms: int) -> tuple[str, ...]:
        """Why this verdict does not answer exactly these (ask, hash, reason): each fault in words."""
        found = []
        if tuple(known for _, known, _ in asks) != self.asks:
            found.append("it names other asks")
        if _views([(known, reason) for _, known, reason in asks]) != self.view:
            found.append("what was seen is not what is asked: the card was drawn from other bytes")
        for ask, _, _ in asks:
            if ask.runtime != self.runtime:
                found.append("it is for another runtime")
            if self.answer == "deny":
                continue
            if self.not_after > ask.not_after:
                found.append("it lasts longer than was asked")
            if self.answer == "shorter" and self.not_after >= ask.not_after:
                found.append("it says shorter and is not")
            if self.args is not None and not is_narrower(ask.args, self.args):
                found.append("it says narrower, but its arguments are not part of what was asked")
        if self.answer != "deny" and self.not_after <= now_ms:
            found.append("it has ended")
        return tuple(dict.fromkeys(found))


def make_verdict(
    runtime: bytes,
    members: Sequence[tuple[bytes, str]],
    answer: Answer,
    *,
    rand: Callable[[int], bytes],
    not_after: int | None = None,
    args: Mapping[str, Any] | None = None,
    max_uses: int | None = None,
    factor: str = "none",
    reason: str = "",
) -> Verdict:
    """The verdict for the (canonical ask bytes, agent's reason) on screen: what a client encodes and signs.

    `not_after` defaults to the earliest end of the asks. Raises Malformed.
    """
    asks = [Ask.decode(data) for data, _ in members]
    hashes = [ask.hash for ask in asks]
    ends = min((ask.not_after for ask in asks), default=0)
    uses = 0 if answer == "deny" else len(hashes)
    found = Verdict(
        runtime,
        tuple(hashes),
        _root(hashes),
        answer,
        args,
        uses if max_uses is None else max_uses,
        ends if not_after is None else not_after,
        _views([(known, reason) for known, (_, reason) in zip(hashes, members, strict=True)]),
        factor,
        reason,
        rand(NONCE),
    )
    return Verdict.decode(found.encode())


def _root(asks: Sequence[bytes]) -> bytes:
    return merkle_root([leaf_hash(ask) for ask in asks])


def _views(seen: Sequence[tuple[bytes, str]]) -> bytes:
    return digest("views", canonical([view_digest(ask, reason) for ask, reason in seen]))


def is_narrower(asked: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """True if `given` is `asked` with items left out of its lists, at least one: the one cut that means less of the same.

    A smaller number may mean more (a timeout, a limit), so any other difference is not narrower.
    """
    return (
        asked.keys() == given.keys()
        and asked != given
        and all(_within(asked[key], given[key]) for key in asked)
    )


def _within(asked: Any, given: Any) -> bool:
    if canonical(asked) == canonical(given):
        return True
    if not isinstance(asked, list | tuple) or not isinstance(given, list | tuple) or not given:
        return False
    left = iter([canonical(item) for item in asked])
    return all(canonical(item) in left for item in given)
