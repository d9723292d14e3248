"""A cost held at every level of a chain for one act, until the act has started or will not."""

from __future__ import annotations

from collections.abc import Sequence

from queenright.core import canonical
from queenright.core.host import GrantTree
from queenright.store import Change, Record

__all__ = ["RECENT", "USED", "Reservation"]

USED = "grant.used"
RECENT = "grant.recent"
_UNLIMITED = 2**64 - 1

Charge = tuple[bytes, int, int, int | None, int, list[tuple[bytes, int]]]
"""(grant, rule id, cost, maximum, least gap in ms, last uses)"""


class Reservation:
    """Use: commit `started()` with the record of the start; then `settle()`, or commit `refund()` if the act failed before
    it had an effect. An act that will not start calls `cancel()`. A crash after the commit leaves the cost spent.
    """

    def __init__(
        self, tree: GrantTree, number: int, charges: Sequence[Charge], stands: Sequence[Record]
    ) -> None:
        self._tree = tree
        self._number = number
        self._charges = charges
        self._stands = tuple(stands)

    @property
    def durable(self) -> bool:
        """False for a read that no rule counts: `started().applied()` may then be called without a commit."""
        return bool(self._charges)

    def started(self) -> Change:
        """To be committed with the record of the start. Refused by the store if a maximum is reached or a level of the
        chain was stopped; then everything held comes back."""
        return Change(
            self._stands + tuple(self._records(+1)),
            applied=lambda: self._tree.commit(self._number),
            refused=self.cancel,
        )

    def cancel(self) -> None:
        """Give back what is held: the act did not start."""
        self._tree.release(self._number)

    def refund(self) -> Change:
        """Give back what was spent: the act failed before it had an effect."""
        return Change(tuple(self._records(-1)), applied=self.cancel)

    def settle(self) -> None:
        """The act had its effect."""
        self._tree.settle(self._number)

    def _records(self, sign: int) -> list[Record]:
        records: list[Record] = []
        for grant, rule, cost, maximum, _gap, recent in self._charges:
            key = grant + rule.to_bytes(4, "big")
            records.append(
                ("count", USED, key, sign * cost, _UNLIMITED if maximum is None or sign < 0 else maximum)
            )
            # After a refund the last uses are too many by one, which only makes a least gap longer.
            if sign > 0:
                records.append(("put", RECENT, key, canonical([list(use) for use in recent])))
        return records
