"""The order: a person's signature for one call that gives something, spent once.

SSHSIG (`order@queenright.v1`) over {v, runtime, order, target, policy, nonce, not_after}: for this supervisor, this method
with exactly these parameters (their digest is `target`), under this policy revision, and not later than `not_after`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from queenright.authority.amount import show_duration
from queenright.authority.document import NONCE, ORDER, exact
from queenright.authority.operators import Operators, Signer
from queenright.authority.rule import number
from queenright.core import canonical, decode
from queenright.errors import Conflict, Malformed, NotEntitled
from queenright.store import Change

__all__ = ["MAX_LIFE_MS", "SPENT", "Order"]

SPENT = "order"
MAX_LIFE_MS = 4 * 60_000
"""Long enough for a passphrase or a touch; a lost order is soon worthless."""
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Order:
    """`order`: the method; `target`: digest of it and its parameters; `policy`: the policy revision the person saw."""

    runtime: bytes
    order: str
    target: bytes
    policy: bytes
    nonce: bytes
    not_after: int

    @classmethod
    def make(
        cls,
        runtime: bytes,
        order: str,
        target: bytes,
        policy: bytes,
        not_after: int,
        rand: Callable[[int], bytes],
    ) -> Order:
        return cls.decode(cls(runtime, order, target, policy, rand(NONCE), not_after).encode())

    def encode(self) -> bytes:
        return canonical({name: getattr(self, name) for name in self.__slots__} | {"v": 1})

    @classmethod
    def decode(cls, data: bytes) -> Order:
        """Raises Malformed."""
        body = decode(data)
        if not isinstance(body, dict) or body.keys() != {"v", *cls.__slots__} or body["v"] != 1:
            raise Malformed("not an order of version 1")
        if type(body["order"]) is not str or not 0 < len(body["order"]) <= MAX_NAME:
            raise Malformed(f"an order names a method of at most {MAX_NAME} characters")
        return cls(
            exact(body["runtime"], 32, "runtime"),
            body["order"],
            exact(body["target"], 32, "target"),
            exact(body["policy"], 32, "policy"),
            exact(body["nonce"], NONCE, "nonce"),
            number(body["not_after"], "not_after", 1),
        )

    @classmethod
    def verify(
        cls,
        document: bytes,
        signature: str,
        operators: Operators,
        *,
        runtime: bytes,
        order: str,
        target: bytes,
        policy: bytes,
        now_ms: int,
    ) -> tuple[Order, Signer]:
        """The order, if an enrolled person signed it for exactly this call, here, now. Not spent yet.

        Raises Malformed, InvalidSignature, NotEntitled (another call or supervisor, too late), Conflict (policy changed).
        """
        found = cls.decode(document)
        signer = operators.signer(ORDER, document, signature, now_ms)
        if found.runtime != runtime:
            raise NotEntitled("the order is for another supervisor", hint="sign it again for this one")
        if found.order != order or found.target != target:
            raise NotEntitled(
                f"the order does not cover this call of `{order}`", hint="sign exactly what is called"
            )
        if found.not_after <= now_ms:
            late = show_duration(now_ms - found.not_after)
            raise NotEntitled(f"the order ended {late} ago", hint="sign it again; check this machine's clock")
        if found.not_after > now_ms + MAX_LIFE_MS:
            raise NotEntitled("the order would live too long", hint="check this machine's clock")
        if found.policy != policy:
            raise Conflict(
                "operators or resources changed since the order was signed", hint="look and sign again"
            )
        return found, signer

    def spend(self) -> Change:
        """To be committed with what was ordered. The store refuses it the second time."""
        return Change((("spend", SPENT, self.nonce),))
