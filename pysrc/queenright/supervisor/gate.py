"""Who may talk to the control socket, and what an operator's own row covers: the server's questions to the authority room."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from queenright.authority.document import ORDER
from queenright.authority.operators import Operators, Signer
from queenright.control.protocol import Distance
from queenright.control.service import SignedOrder
from queenright.core import parse_key_line
from queenright.core.host import Refused
from queenright.errors import Conflict, NotEntitled
from queenright.ledger.entry import Operator as Acting
from queenright.ledger.entry import Signed
from queenright.store import Change

if TYPE_CHECKING:
    from queenright.supervisor.runtime import Runtime

__all__ = ["Gate"]

_SCOPE = "order"
# Orders that change the record or what people may do: an owner's, or of someone whose row says so.
_RECORDS = frozenset({"secret_set", "secret_remove", "behaviour_add"})


class Gate:
    """Answers from the operators document in force."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    def operators(self) -> Operators:
        """The operators document in force."""
        return self._rt.documents.operators

    def policy_revision(self) -> bytes:
        return self._rt.documents.policy_revision

    def entitle(self, operator: Signer, method: str, params: dict[str, Any], now_ms: int) -> None:
        """Raise NotEntitled unless this person's own row covers the act. Documents are judged where they are applied."""
        signer = self._rt.documents.operators.holder(operator.fingerprint, now_ms)
        person = signer.person
        if method in _RECORDS and not (signer.owner or person.records):
            raise NotEntitled(
                f"{person.name} may not change what is kept here",
                hint="an owner, or someone whose row says records",
            )
        if method == "undo" and not person.undo:
            raise NotEntitled(f"{person.name} may not sign undos", hint="another operator signs it")
        if method in ("unfreeze", "resume", "lease_extend") and not (signer.owner or person.intents):
            raise NotEntitled(f"{person.name} may not give authority back", hint="another operator signs it")

    async def spend(self, order: SignedOrder, operator: Signer, method: str) -> None:
        """Spend the order's nonce durably, with its leaf. Raises Conflict if it was spent before."""
        self._rt.evidence.put(order.document)
        signed = Signed(ORDER, hashlib.sha256(order.document).digest(), operator.fingerprint, order.signature)
        acting = Acting(operator.fingerprint, operator.person.name)
        self._rt.evidence.put(
            order.document
        )  # whoever verifies the ledger checks the signature over these bytes
        try:
            self._rt.commit(
                Change((("spend", _SCOPE, order.order.nonce),)),
                self._rt.book.order_spent(method, order.order.nonce, signed, acting),
            )
        except Refused:
            raise Conflict("this order was spent before", hint="sign a new one") from None

    def distance(self, operator: Signer) -> Distance:
        """Measured: a security key, another user than the supervisor's, or none."""
        if parse_key_line(operator.key_line).kind.startswith("sk-"):
            return "hardware"
        return "none"
