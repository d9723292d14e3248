"""What is known of an ask without opening it: its row in the clear, from raised to spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from queenright.authority.ask import Risk
from queenright.authority.intent import Approval
from queenright.core import canonical, decode
from queenright.errors import Malformed

__all__ = ["LIVE", "AskHead", "AskState", "strictest"]

AskState = Literal["open", "approved", "denied", "expired", "spent", "void"]
LIVE: tuple[AskState, ...] = ("open", "approved")
DEFAULT = Approval()


@dataclass(frozen=True, slots=True)
class AskHead:
    """What is known of an ask without opening it. `signers`: (person, fingerprint) of each approval so far."""

    id: bytes
    state: AskState
    group: bytes
    card: bytes
    branch: bytes
    agent: bytes
    intent: bytes
    revision: int
    verb: str
    resource: str
    risk: Risk
    raised_ms: int
    answer_by: int
    not_after: int
    approval: Approval
    signers: tuple[tuple[str, str], ...] = ()
    verdict: bytes = b""
    answer: str = ""
    decided_by: str = ""
    decided_ms: int = 0
    reason: str = ""

    def encode(self) -> bytes:
        """The row; its key is the id."""
        body = {name: getattr(self, name) for name in AskHead.__slots__ if name != "id"}
        signers = [list(pair) for pair in self.signers]
        return canonical(body | {"v": 1, "approval": self.approval.to_map(), "signers": signers})

    @classmethod
    def decode(cls, ask: bytes, value: bytes) -> AskHead:
        body = decode(value)
        del body["v"]
        body["approval"] = Approval.from_map(body["approval"])
        body["signers"] = tuple((name, key) for name, key in body["signers"])
        return cls(id=ask, **body)


def strictest(clauses: Sequence[Approval | None]) -> Approval:
    """Several ask clauses want one act: who satisfies all of them."""
    approvals = [one for one in clauses if one is not None]
    if not approvals:
        return DEFAULT
    named = [set(one.approvers) for one in approvals if one.approvers]
    common = set.intersection(*named) if named else set()
    if named and not common:
        raise Malformed(
            "two ask clauses of the intent want different approvers for this act: nobody may answer it"
        )
    excluding = tuple(dict.fromkeys(name for one in approvals for name in one.excluding))
    return Approval(
        tuple(sorted(common)),
        max(one.quorum for one in approvals),
        excluding,
        min(one.answer_ms for one in approvals),
    )
