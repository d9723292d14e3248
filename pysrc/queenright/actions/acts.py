"""All acts that were started: their rows in memory and in the store, and the one place where an end is
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queenright.actions.act import ActResult, Done, Failed, UnknownEnd
from queenright.actions.parts import Parts
from queenright.actions.plan import Plan
from queenright.actions.record import ACTS, PRIVATE, ActRow, ActState, words_of
from queenright.actions.verb import Effect
from queenright.core import canonical, decode
from queenright.errors import LedgerUnwritable, QueenrightError
from queenright.ledger.blobs import BlobRef
from queenright.ledger.entry import Scalar
from queenright.store import Change

__all__ = ["Acts"]


class Acts:
    """Rows by act id."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rows: dict[bytes, ActRow] = {}
        self._leaves: dict[bytes, int] = {}
        self._last = 0

    def load(self) -> list[ActRow]:
        """Read every act. One that was started and has no outcome is UNKNOWN from now on: those are
        returned.
        """
        lost: list[ActRow] = []
        for key, value in self._parts.store.scan(ACTS):
            row = ActRow.decode(key, value)
            self._rows[key] = row
            self._last = max(self._last, row.number)
            if row.state == "started":
                lost.append(row)
        for row in lost:
            self._end(row, "unknown", "supervisor_stopped", {}, "the supervisor stopped in the act")
        return [self._rows[row.id] for row in lost]

    def all(self) -> list[ActRow]:
        """Every act that was started, in the order of their starts."""
        return sorted(self._rows.values(), key=lambda row: row.number)

    def next_number(self) -> int:
        """The number of the act that starts next."""
        self._last += 1
        return self._last

    def get(self, act: bytes) -> ActRow | None:
        return self._rows.get(act)

    def begun_at(self, act: bytes, leaf: int) -> None:
        """Note the ledger index of an act's start; it is written down with the end."""
        self._leaves[act] = leaf

    def leaf_of(self, row: ActRow) -> int:
        """The ledger index of the act's start; -1 when the supervisor died before it wrote the end."""
        return row.leaf if row.leaf >= 0 else self._leaves.get(row.id, -1)

    def inserted(self, row: ActRow, plan: Plan) -> Change:
        """The row of an act that is about to start, with what people are shown of it."""
        return Change(
            (row.inserted(), ("put", PRIVATE, row.id, words_of(plan))),
            lambda: self._rows.__setitem__(row.id, row),
        )

    def replaced(self, before: ActRow, after: ActRow) -> Change:
        """Another state of a row, if nobody else wrote one meanwhile."""
        return Change(after.replaced(before), lambda: self._rows.__setitem__(after.id, after))

    def plan_of(self, row: ActRow) -> Plan:
        """The plan as it was recorded. Raises Unknown when it was erased, Locked without the key."""
        return Plan.decode(self._parts.blobs.get(row.blobs["plan"]))

    def after_of(self, row: ActRow) -> Mapping[str, Any] | None:
        """What the target was when the act had ended; None when nobody saw that."""
        return self._output(row)["after"] if "output" in row.blobs else None

    def images_of(self, row: ActRow) -> dict[str, bytes]:
        """The pre-images that the undo needs, by name."""
        return {
            role.removeprefix("image:"): self._parts.blobs.get(ref)
            for role, ref in row.blobs.items()
            if role.startswith("image:")
        }

    def _output(self, row: ActRow) -> dict[str, Any]:
        output: dict[str, Any] = decode(self._parts.blobs.get(row.blobs["output"]))
        return output

    def shown(self, id: bytes) -> dict[str, str]:
        """Of an act or an ask, in words: {"effect", "diff", "undo", and after an end "end"}; empty for
        others.
        """
        value = self._parts.store.get(PRIVATE, id)
        return {"effect": "", "diff": "", "undo": ""} if value is None else dict(decode(value))

    def replay(self, act: bytes) -> ActResult | None:
        """The recorded end of an act that was started before; None for one that was not."""
        row = self._rows.get(act)
        if row is None:
            return None
        if row.state == "done":
            return Done(self._output(row)["value"], row.id)
        message = self.shown(row.id).get("end") or f"{row.verb} on {row.resource} began; its end is not known"
        if row.state == "failed":
            return Failed(row.code, message, row.id)
        return UnknownEnd(message, row.id)

    def ended(
        self,
        row: ActRow,
        end: Done | Failed | UnknownEnd,
        effect: Effect | None,
        *changes: Change,
        began: bool = False,
        facts: Mapping[str, Scalar] | None = None,
    ) -> Done | Failed | UnknownEnd:
        """Write an act's end, once, and give it back. `began`: of a failure, that something of it may have
        happened. `facts` go into its leaf.

        An end that cannot be written is not claimed: the act is UNKNOWN then, now and after a restart.
        """
        try:
            blobs: dict[str, BlobRef] = {}
            if effect is not None:
                output = canonical({"value": effect.value, "after": dict(effect.after)})
                blobs["output"] = self._parts.blobs.put("output", output)
            match end:
                case Done():
                    self._end(row, "done", "", blobs, "", *changes, facts=facts)
                case Failed():
                    self._end(row, "failed", end.code, blobs, end.message, *changes, began=began, facts=facts)
                case UnknownEnd():
                    self._end(row, "unknown", "unknown_outcome", blobs, end.message, *changes, facts=facts)
        except (QueenrightError, OSError) as error:
            return UnknownEnd(
                f"{row.verb} on {row.resource} ended, and its end could not be recorded: {error}", row.id
            )
        return end

    def _end(
        self,
        row: ActRow,
        state: ActState,
        code: str,
        blobs: Mapping[str, BlobRef],
        message: str,
        *changes: Change,
        began: bool = True,
        facts: Mapping[str, Scalar] | None = None,
    ) -> None:
        now = self._parts.clock.wall_ms()
        after = replace(row.ended(state, code, now, blobs, began), leaf=self.leaf_of(row))
        shown = canonical({**self.shown(row.id), "end": message})
        words = Change((("put", PRIVATE, row.id, shown),))
        leaf = self._parts.ledger.entry(after.end_entry(now, facts))
        self._parts.commit(self.replaced(row, after), words, leaf, *changes)


def unwritable(error: BaseException) -> LedgerUnwritable:
    """A disk that refuses a blob is a ledger that cannot be written: nothing is done then."""
    return LedgerUnwritable(
        f"what the ledger names cannot be kept: {error}", hint="make room, or repair the disk"
    )
