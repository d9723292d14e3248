"""The append-only record: who did what, under whose authority, with what outcome, verifiable by outsiders.

Promises: a leaf's bytes never change once committed; no two roots are ever signed for one size; a ledger
that cannot be written says so before anything is done; what a leaf holds in clear is never a secret and
never free text of an agent. `verify` stands alone: it needs a copy of the directory and public keys, and
nothing of the supervisor. Knows `store`, `wire`, `core`, `errors`, `clock` and nothing above.
"""

from queenright.ledger.blobs import BlobRef, Blobs
from queenright.ledger.checkpoint import Checkpoint, LogKey
from queenright.ledger.entry import (
    KINDS,
    Action,
    Agent,
    Certificate,
    Entry,
    Kind,
    Operator,
    Result,
    Signed,
    Supervisor,
)
from queenright.ledger.evidence import Evidence
from queenright.ledger.export import export
from queenright.ledger.log import Ledger
from queenright.ledger.query import Found, Query, why
from queenright.ledger.verify import Finding, Report, verify_directory

__all__ = [
    "KINDS",
    "Action",
    "Agent",
    "BlobRef",
    "Blobs",
    "Certificate",
    "Checkpoint",
    "Entry",
    "Evidence",
    "Finding",
    "Found",
    "Kind",
    "Ledger",
    "LogKey",
    "Operator",
    "Query",
    "Report",
    "Result",
    "Signed",
    "Supervisor",
    "export",
    "verify_directory",
    "why",
]
