"""The intents in force: applied once for ever, amended by revision, ended, revoked, frozen with their signer's key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from queenright.authority.amount import show_duration
from queenright.authority.document import INTENT
from queenright.authority.intent import Intent
from queenright.authority.operators import Operators, Signer
from queenright.core import canonical, decode
from queenright.errors import Conflict, NotEntitled, QueenrightError, Unknown
from queenright.store import Change, Record, Store

__all__ = ["INTENTS", "IntentState", "Intents", "Standing"]

INTENTS = "intent"
REVISIONS = "intent.revision"
NONCES = "intent"
"""Scope of spent nonces: an id that was applied stays spent for ever, whatever becomes of its row."""

IntentState = Literal["live", "frozen", "revoked", "ended"]


@dataclass(frozen=True, slots=True)
class Standing:
    """An applied intent. `signer`, `fingerprint`: of the revision in force; `signers`: of all revisions, by name."""

    intent: Intent
    signature: str
    signer: str
    fingerprint: str
    signers: tuple[str, ...]
    spawner: str
    applied_ms: int
    state: IntentState
    first: bytes | None

    def state_at(self, now_ms: int) -> IntentState | Literal["expired"]:
        if self.state in ("live", "frozen") and now_ms >= self.intent.not_after:
            return "expired"
        return self.state


class Intents:
    """All intents ever applied here."""

    def __init__(self, store: Store, now_ms: Callable[[], int], runtime: bytes) -> None:
        """`runtime`: the public key of this supervisor, which an intent must name."""
        self._store = store
        self._now = now_ms
        self._runtime = runtime
        self._all: dict[bytes, Standing] = {}

    def load(self) -> None:
        """Read the store. Call once."""
        for key, value in self._store.scan(INTENTS):
            row = decode(value)
            row["intent"] = Intent.decode(row["intent"])
            row["signers"] = tuple(row["signers"])
            del row["v"]
            self._all[key] = Standing(**row)

    def __iter__(self) -> Any:
        return iter(list(self._all.values()))

    def get(self, intent: bytes) -> Standing:
        found = self._all.get(intent)
        if found is None:
            raise Unknown(f"no intent-{intent.hex()[:12]} was applied here", hint="queenright intent list")
        return found

    # ---- giving ----

    def verify(
        self, document: bytes, signature: str, operators: Operators, packages: Mapping[str, bytes]
    ) -> tuple[Intent, Signer]:
        """The intent of a signed document, if it may be applied here and now by its signer's own rights.

        `packages`: digests of what is installed, by name. Raises Malformed, InvalidSignature, NotEntitled, Unknown.
        """
        intent = Intent.decode(document)
        now = self._now()
        signer = operators.signer(INTENT, document, signature, now)
        if intent.runtime != self._runtime:
            raise NotEntitled(
                f"this intent is signed for the runtime {intent.runtime.hex()[:12]}, not for this one",
                hint="sign it again against this supervisor",
            )
        if now >= intent.apply_by:
            raise NotEntitled(
                f"this intent had to be applied {show_duration(now - intent.apply_by)} ago",
                hint="sign it again",
            )
        if now >= intent.not_after:
            raise NotEntitled(
                f"this intent ended {show_duration(now - intent.not_after)} ago", hint="sign a new one"
            )
        operators.entitle_intent(signer, intent)
        cannot = operators.unanswerable(intent, now)
        if cannot:
            raise NotEntitled(
                "an ask that nobody could answer: " + "; ".join(cannot), hint="enrol an approver first"
            )
        for name, pinned in intent.packages.items():
            if packages.get(name) != pinned:
                raise Unknown(
                    f"the package {name} sha256:{pinned.hex()[:16]} is not installed here",
                    hint=f"queenright behaviour add the version that was signed for {name}",
                )
        return intent, signer

    def apply(
        self, document: bytes, signature: str, operators: Operators, packages: Mapping[str, bytes], spawner: str,
        first: bytes,
    ) -> tuple[Standing, Change]:  # fmt: skip
        """Put a new intent in force. `spawner`: who applies it; `first`: the first agent's id. Raises as `verify`."""
        intent, signer = self.verify(document, signature, operators, packages)
        if intent.amends is not None:
            raise Conflict("this is an amendment", hint="queenright intent amend")
        if intent.id in self._all:
            raise Conflict(
                "this intent was applied before, and is applied once for ever", hint="sign a new one"
            )
        for other in self._all.values():
            if other.intent.swarm == intent.swarm and other.state_at(self._now()) in ("live", "frozen"):
                raise Conflict(
                    f"the swarm {intent.swarm} lives already under intent-{other.intent.id.hex()[:12]}",
                    hint="amend that intent, or name another swarm",
                )
        name = signer.person.name
        standing = Standing(
            intent, signature, name, signer.fingerprint, (name,), spawner, self._now(), "live", first
        )  # fmt: skip
        return standing, self._save(standing, ("spend", NONCES, intent.id), self._revision(standing))

    def amend(
        self, document: bytes, signature: str, operators: Operators, packages: Mapping[str, bytes]
    ) -> tuple[Standing, Change]:
        """Put the next revision in force. Raises as `verify`, and Conflict for any revision but the next.

        A frozen intent stays frozen: lifting a freeze is an act of its own, possible once its signer is entitled.
        """
        intent, signer = self.verify(document, signature, operators, packages)
        if intent.amends is None:
            raise Conflict("this is not an amendment", hint="queenright intent apply")
        before = self.get(intent.id)
        if before.state not in ("live", "frozen"):
            raise Conflict(f"this intent is {before.state}, for ever", hint="sign a new one")
        if intent.revision != before.intent.revision + 1 or intent.amends.previous != before.intent.digest:
            raise Conflict(
                f"revision {intent.revision} does not follow revision {before.intent.revision} in force",
                hint="look at the intent again and sign its next revision",
            )
        fixed = [
            name
            for name in ("swarm", "start", "args")
            if getattr(intent, name) != getattr(before.intent, name)
        ]
        if fixed:
            raise Conflict(
                f"an amendment cannot change {', '.join(fixed)}: the swarm has begun",
                hint="sign a new intent",
            )
        name = signer.person.name
        after = replace(
            before, intent=intent, signature=signature, signer=name, fingerprint=signer.fingerprint,
            signers=tuple(dict.fromkeys((*before.signers, name))),
        )  # fmt: skip
        return after, self._save(after, self._expect(before), self._revision(after))

    # ---- taking away ----

    def set_state(self, intent: bytes, state: IntentState) -> Change:
        """Revoked and ended are for ever. Raises Conflict for a change out of them, Unknown."""
        before = self.get(intent)
        if before.state in ("revoked", "ended") and state != before.state:
            raise Conflict(f"intent-{intent.hex()[:12]} is {before.state}, for ever")
        return self._save(replace(before, state=state))

    def unsupported(self, operators: Operators) -> tuple[Standing, ...]:
        """Live intents whose signer, by the key that signed, may no longer sign them: they freeze until another does."""
        return tuple(
            standing
            for standing in self._all.values()
            if standing.state_at(self._now()) == "live" and not self.supported(standing, operators)
        )

    def supported(self, standing: Standing, operators: Operators) -> bool:
        try:
            signer = operators.holder(standing.fingerprint, self._now())
            operators.entitle_intent(signer, standing.intent)
        except QueenrightError:
            return False
        return True

    # ---- rows ----

    def _row(self, standing: Standing) -> bytes:
        body = {name: getattr(standing, name) for name in Standing.__slots__}
        return canonical(body | {"v": 1, "intent": standing.intent.encode()})

    def _expect(self, standing: Standing) -> Record:
        return ("expect", INTENTS, standing.intent.id, self._row(standing))

    def _revision(self, standing: Standing) -> Record:
        key = standing.intent.id + standing.intent.revision.to_bytes(4, "big")
        return ("insert", REVISIONS, key, self._row(standing))

    def _save(self, standing: Standing, *conditions: Record) -> Change:
        row: Record = ("put", INTENTS, standing.intent.id, self._row(standing))

        def applied() -> None:
            self._all[standing.intent.id] = standing

        return Change((*conditions, row), applied)
