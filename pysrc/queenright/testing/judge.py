"""The authority of a test: the grants of a real intent in a store of its own, or none at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from queenright.authority.grant_request import GrantRequest
from queenright.authority.grants import Grants
from queenright.authority.intent_toml import parse_intent
from queenright.clock import ManualClock
from queenright.core import BirthBatch
from queenright.errors import Denied, Dimension
from queenright.store import Store
from queenright.wire.certificate import Birth

__all__ = ["IRREVERSIBLE", "Ask", "IntentJudge", "Judge", "NoIntent"]

# Built-in verbs whose manifests say that nothing undoes them: always an ask unless the intent names that very act.
IRREVERSIBLE = frozenset({"db.session.kill"})


class Ask(Exception):
    """The act is above the grant and waits for a person."""


class Judge:
    """Decides births and acts. `judge` returns if the act may run, raises Denied or Ask."""

    intent_id: bytes | None = None

    def first(self, agent: bytes, name: str) -> None:
        raise NotImplementedError

    def birth(self, parent: bytes, birth: Birth, request: dict[str, Any]) -> None:
        raise NotImplementedError

    def births(self, parent: bytes, members: BirthBatch, request: dict[str, Any]) -> None:
        raise NotImplementedError

    def judge(self, agent: bytes, verb: str, resource: str, *, approved: bool) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to let go of."""


class NoIntent(Judge):
    """Default deny: agents may be born and talk; nothing may be done or handed down."""

    def first(self, agent: bytes, name: str) -> None:
        return

    def birth(self, parent: bytes, birth: Birth, request: dict[str, Any]) -> None:
        self._nothing(request, birth.name)

    def births(self, parent: bytes, members: BirthBatch, request: dict[str, Any]) -> None:
        self._nothing(request, members.name(0))

    def _nothing(self, request: dict[str, Any], name: str) -> None:
        rules = GrantRequest.from_wire(request["grant"])
        if rules.exercise or rules.delegate:
            self._deny("spawn", name)

    def judge(self, agent: bytes, verb: str, resource: str, *, approved: bool) -> None:
        self._deny(verb, resource)

    def _deny(self, verb: str, resource: str) -> None:
        raise Denied(
            f"{verb} on {resource}: this test has no intent",
            verb=verb,
            resource=resource,
            dimensions=(Dimension("scope", "intent", "there is none"),),
            hint="give the harness one: Harness(intent=Path('intent.toml'))",
        )


class IntentJudge(Judge):
    """The real grant tree under a real intent, in `directory`."""

    def __init__(
        self, text: str, directory: Path, clock: ManualClock, package: Callable[[str], bytes],
        runtime: bytes, irreversible: frozenset[str] = IRREVERSIBLE,
    ) -> None:  # fmt: skip
        """Raises IntentMalformed for a text that is no intent."""
        draft = parse_intent(text)
        pinned: Mapping[str, bytes] = {name: package(name) for name in draft.packages}
        self._intent = draft.compile(
            runtime=runtime, packages=pinned, now_ms=clock.wall_ms(), rand=secrets.token_bytes
        )
        self._irreversible = irreversible
        self._store = Store.open(directory, secrets.token_bytes(32))
        self._grants = Grants(self._store, clock.wall_ms)
        self._store.commit(self._grants.found(self._intent))
        self.intent_id = self._intent.id

    def first(self, agent: bytes, name: str) -> None:
        self._store.commit(self._grants.first(self._intent, agent, name))

    def birth(self, parent: bytes, birth: Birth, request: dict[str, Any]) -> None:
        asked = GrantRequest.from_wire(request["grant"])
        self._store.commit(self._grants.derive(parent, birth.agent, birth.name, asked))

    def births(self, parent: bytes, members: BirthBatch, request: dict[str, Any]) -> None:
        asked = GrantRequest.from_wire(request["grant"])
        self._store.commit(self._grants.derive_batch(parent, members, members.root, asked))

    def judge(self, agent: bytes, verb: str, resource: str, *, approved: bool) -> None:
        decision, reservation = self._grants.reserve(
            agent, verb, resource, irreversible=verb in self._irreversible, approved=approved
        )
        if decision.outcome == "deny":
            raise Denied(
                f"{verb} on {resource} is denied",
                verb=verb,
                resource=resource,
                dimensions=decision.dimensions,
                amendment=decision.amendment,
            )
        if reservation is None:
            raise Ask
        self._store.commit(reservation.started())
        reservation.settle()

    def close(self) -> None:
        self._store.close()
