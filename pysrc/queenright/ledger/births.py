"""Checking births in batches: what was signed, by whom, and that each member told of is one.

The runtime's signature is checked with all other certificates. Here the parent's is, by the key that the ledger says its
incarnation had; and a member's path to the root of a batch that the ledger told of before.
"""

from __future__ import annotations

from typing import Any, Final

from queenright.core import digest, verify
from queenright.errors import LedgerBroken
from queenright.ledger.entry import Agent, Entry
from queenright.wire.certificate import INCARNATION, BatchStatement, IncarnationCertificate

__all__ = ["Births"]

_HASH: Final = 32


class Births:
    """Follows the entries in order."""

    def __init__(self) -> None:
        self._keys: dict[tuple[bytes, int], bytes] = {}
        self._roots: set[bytes] = set()

    def check(self, index: int, entry: Entry) -> None:
        """Take in the next entry. Raises LedgerBroken, InvalidSignature, InvalidProof or Malformed for a false one."""
        match entry.kind:
            case "incarnation.begun":
                self._incarnation(entry)
            case "agents.born":
                self._batch(entry)
            case "agent.born" if "statement" in entry.facts:
                self._member(entry)

    def _incarnation(self, entry: Entry) -> None:
        told = _bytes(entry.facts, "certificate")
        found = IncarnationCertificate.decode(told)
        if entry.certificate is None or entry.certificate.message != digest(INCARNATION, told):
            raise LedgerBroken("the certificate of the incarnation is not the one that was signed")
        if isinstance(entry.actor, Agent) and (found.agent, found.number) != (
            entry.actor.id,
            entry.actor.incarnation,
        ):
            raise LedgerBroken("the certificate is of another agent's incarnation")
        self._keys[found.agent, found.number] = found.public_key

    def _statement(self, entry: Entry) -> BatchStatement:
        said = BatchStatement.decode(_bytes(entry.facts, "statement"))
        certificate = entry.certificate
        if certificate is None or (certificate.message, certificate.public_key) != (
            said.signed_bytes,
            said.runtime,
        ):
            raise LedgerBroken("the statement of the batch is not the one that was signed")
        if not isinstance(entry.actor, Agent) or (said.parent, said.intent) != (entry.actor.id, entry.intent):
            raise LedgerBroken("the statement of the batch names another parent or intent")
        return said

    def _batch(self, entry: Entry) -> None:
        said = self._statement(entry)
        if (entry.facts.get("count"), entry.facts.get("root")) != (said.count, said.root.hex()):
            raise LedgerBroken("the entry of the batch says something else than its statement")
        assert isinstance(entry.actor, Agent)
        key = self._keys.get((said.parent, entry.actor.incarnation))
        if key is None:
            raise LedgerBroken("the batch is signed by an incarnation that the ledger does not tell of")
        verify(key, said.signed_bytes, _bytes(entry.facts, "parent_signature"))
        if said.root in self._roots:
            raise LedgerBroken("a batch is born twice")
        self._roots.add(said.root)

    def _member(self, entry: Entry) -> None:
        said = self._statement(entry)
        position = entry.facts.get("position")
        if said.root not in self._roots:
            raise LedgerBroken("the agent is of a batch that the ledger does not tell of")
        told = (entry.facts.get("behaviour"), entry.facts.get("package"))
        if told != (said.behaviour, said.package.hex()):
            raise LedgerBroken("the agent is of another behaviour or package than its batch")
        if entry.agent is None or type(position) is not int:
            raise LedgerBroken("a member of a batch without its id or position")
        path = _bytes(entry.facts, "path")
        said.prove(entry.agent, position, [path[at : at + _HASH] for at in range(0, len(path), _HASH)])


def _bytes(facts: Any, name: str) -> bytes:
    try:
        return bytes.fromhex(facts[name])
    except (KeyError, TypeError, ValueError):
        raise LedgerBroken(f"the fact `{name}` is missing or not hexadecimal") from None
