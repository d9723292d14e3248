"""Checking the signatures that leaves hold: operators' over documents, and the supervisor's certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from queenright.core import digest, parse_key_line, verify, verify_sshsig
from queenright.errors import LedgerBroken, QueenrightError, Unknown
from queenright.ledger.entry import Entry, Operator
from queenright.ledger.evidence import Evidence

__all__ = ["Signatures"]

# The kinds whose signed document is the very thing an id of the entry names.
_NAMED_BY: Final = {"intent.applied": "intent"}


class Signatures:
    """Follows a ledger's entries and keeps count of what verified, what did not and what could not be
    checked.
    """

    def __init__(self, evidence: Evidence, operator_keys: Sequence[str]) -> None:
        keys = [parse_key_line(line) for line in operator_keys]
        self._keys = {key.fingerprint: key.line for key in keys}
        self._evidence = evidence
        self._runtime_keys: set[bytes] = set()
        self._missing: Counter[str] = Counter()
        self.verified = 0
        self.broken: list[tuple[int, str]] = []

    def check(self, index: int, entry: Entry) -> None:
        if entry.kind == "supervisor.started":
            self._learn_runtime_key(entry)
        for check in (self._operator, self._certificate):
            try:
                check(entry)
            except QueenrightError as refused:
                self.broken.append((index, str(refused)))

    def not_checked(self) -> list[str]:
        return [f"{count} signatures: {why}" for why, count in sorted(self._missing.items())]

    def _operator(self, entry: Entry) -> None:
        signed = entry.signed
        if signed is None:
            return
        if isinstance(entry.actor, Operator) and entry.actor.fingerprint != signed.fingerprint:
            raise LedgerBroken("the signature is not the acting operator's")
        line = self._keys.get(signed.fingerprint)
        if line is None:
            self._missing[f"the key {signed.fingerprint} was not given"] += 1
            return
        try:
            document = self._evidence.get(signed.document)
        except Unknown:
            self._missing["the signed document is not in the copy"] += 1
            return
        verify_sshsig(line, signed.namespace, document, signed.signature)
        name = _NAMED_BY.get(entry.kind)
        if name is not None and digest(name, document) != getattr(entry, name):
            raise LedgerBroken(f"the signed document is not the {name} that the entry names")
        self.verified += 1

    def _certificate(self, entry: Entry) -> None:
        certificate = entry.certificate
        if certificate is None:
            return
        verify(certificate.public_key, certificate.message, certificate.signature)
        if certificate.public_key not in self._runtime_keys:
            raise LedgerBroken("a certificate by a key that is no runtime key of this ledger")
        self.verified += 1

    def _learn_runtime_key(self, entry: Entry) -> None:
        key = entry.facts.get("runtime_key")
        if isinstance(key, str):
            self._runtime_keys.add(bytes.fromhex(key) if len(key) == 64 else b"")
