"""Checking the signatures that leaves hold: operators' over documents, and the runtime key's certificates.

An operator's signature counts only over a document that says what the entry says: the intent by its digest,
the ask by being one of the verdict's, the supervisor by its runtime key. So a true signature cannot be
shown beside a false entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from queenright.core import decode, digest, parse_key_line, verify, verify_sshsig
from queenright.errors import LedgerBroken, Malformed, QueenrightError, Unknown
from queenright.ledger.births import Births
from queenright.ledger.entry import Entry, Operator
from queenright.ledger.evidence import Evidence

__all__ = ["Signatures"]

# What each kind of entry may be signed for; a signature made for another purpose proves nothing here.
_NAMESPACES: Final = {
    "intent.applied": "intent@queenright.v1",
    "intent.amended": "intent@queenright.v1",
    "ask.decided": "approve@queenright.v1",
    "order.spent": "order@queenright.v1",
    "operators.changed": "operators@queenright.v1",
    "resources.changed": "resources@queenright.v1",
}
_ANNOUNCING: Final = ("supervisor.started", "supervisor.recovered")


class Signatures:
    """Follows a ledger's entries and keeps count of what verified, what did not and what could not be
    checked.
    """

    def __init__(self, evidence: Evidence, operator_keys: Sequence[str]) -> None:
        keys = [parse_key_line(line) for line in operator_keys]
        self._given = {key.fingerprint: key.line for key in keys}
        self._learned: dict[str, str] = {}
        self._evidence = evidence
        self._births = Births()
        self._announced: set[str] = set()
        self._relied_on: list[tuple[int, str]] = []
        self._missing: Counter[str] = Counter()
        self.uses: dict[bytes, int] = {}
        """How often each verdict that verified may be used, by its digest."""
        self.verified = 0
        self.broken: list[tuple[int, str]] = []

    def check(self, index: int, entry: Entry) -> None:
        """Take in the next entry. What is wrong with it is in `broken`, at the latest after `finish`."""
        if entry.kind in _ANNOUNCING:
            self._announced.add(str(entry.facts.get("runtime", "")))
        for check in (self._operator, self._certificate, self._births.check):
            try:
                check(index, entry)
            except QueenrightError as refused:
                self.broken.append((index, str(refused)))

    def finish(self) -> None:
        """Everything was followed: was each runtime key that was relied on announced by a supervisor of
        this ledger?
        """
        for index, key in self._relied_on:
            if key not in self._announced:
                self.broken.append(
                    (index, f"it rests on the runtime key {key[:16]}, which is not this ledger's")
                )
        self.broken.sort()

    def not_checked(self) -> list[str]:
        return [f"{count} signatures: {why}" for why, count in sorted(self._missing.items())]

    def _operator(self, index: int, entry: Entry) -> None:
        signed = entry.signed
        if signed is None:
            return
        if isinstance(entry.actor, Operator) and entry.actor.fingerprint != signed.fingerprint:
            raise LedgerBroken("the signature is not the acting operator's")
        if signed.namespace != _NAMESPACES.get(entry.kind, signed.namespace):
            raise LedgerBroken(f"a signature made for {signed.namespace} under {entry.kind}")
        line = self._given.get(signed.fingerprint) or self._learned.get(signed.fingerprint)
        if line is None:
            self._missing[f"the key {signed.fingerprint} was not given"] += 1
            return
        try:
            document = self._evidence.get(signed.document)
        except Unknown:
            self._missing["the signed document is not in the copy"] += 1
            return
        verify_sshsig(line, signed.namespace, document, signed.signature)
        self._compare(index, entry, document)
        self.verified += 1

    def _compare(self, index: int, entry: Entry, document: bytes) -> None:
        """Does the signed document say what the entry says?"""
        body = _body(document)
        if isinstance(body.get("runtime"), bytes):
            self._relied_on.append((index, body["runtime"].hex()))
        match entry.kind:
            case "intent.applied":
                agrees = digest("intent", document) == entry.intent
            case "intent.amended":
                amends = body.get("amends")
                agrees = isinstance(amends, dict) and amends.get("intent") == entry.intent
            case "ask.decided":
                asks, uses = body.get("asks"), body.get("max_uses")
                agrees = isinstance(asks, list) and entry.ask in asks
                if agrees and isinstance(uses, int):
                    self.uses[digest("verdict", document)] = 0 if body.get("answer") == "deny" else uses
            case "operators.changed":
                agrees = True
                # Only a key that the verifier brought can vouch for others.
                if entry.signed is not None and entry.signed.fingerprint in self._given:
                    self._learn(body)
            case _:
                agrees = True
        if not agrees:
            raise LedgerBroken("the signed document is not the one that the entry tells of")

    def _learn(self, body: dict[str, Any]) -> None:
        for person in body.get("people") or []:
            for line in person.get("keys") or [] if isinstance(person, dict) else []:
                if isinstance(line, str):
                    key = parse_key_line(line)
                    self._learned[key.fingerprint] = key.line

    def _certificate(self, index: int, entry: Entry) -> None:
        certificate = entry.certificate
        if certificate is None:
            return
        verify(certificate.public_key, certificate.message, certificate.signature)
        self._relied_on.append((index, certificate.public_key.hex()))
        self.verified += 1


def _body(document: bytes) -> dict[str, Any]:
    """The document's fields; none for a document that is not one of our canonical maps."""
    try:
        body = decode(document)
    except Malformed:
        return {}
    return body if isinstance(body, dict) else {}
