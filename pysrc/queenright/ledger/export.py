"""What an outsider needs to verify the ledger, copied into one directory: no secret, no blob, nothing of
the store.
"""

from __future__ import annotations

from pathlib import Path

from queenright.errors import Conflict, LedgerUnwritable
from queenright.ledger import files
from queenright.ledger.evidence import Evidence
from queenright.ledger.log import CHECKPOINT, ENTRIES, LOG_VKEY, Ledger

__all__ = ["EVIDENCE", "export"]

EVIDENCE = "evidence"


def export(ledger: Ledger, evidence: Evidence, target: Path) -> list[Path]:
    """Write the entries up to the last checkpoint, that checkpoint, the log's vkey and the signed documents.

    `target` must not exist, or be empty. Returns the files. Raises Conflict, LedgerUnwritable before the
    first checkpoint.
    """
    published, line = ledger.checkpoint(), ledger.vkey
    if published is None or line is None:
        raise LedgerUnwritable("the ledger has no checkpoint to export yet", hint="queenright unlock")
    size, note = published
    files.make_directory(target)
    if any(target.iterdir()):
        raise Conflict(f"{target} is not empty", hint="give a directory that does not exist yet")
    entries = b"".join(files.frame(leaf) for _, leaf in ledger.leaves(0, size))
    parts = {ENTRIES: entries, CHECKPOINT: note, LOG_VKEY: (line + "\n").encode()}
    names = evidence.names()
    if names:
        files.make_directory(target / EVIDENCE)
    parts |= {f"{EVIDENCE}/{name.hex()}": evidence.get(name) for name in names}
    for name, data in parts.items():
        files.write_whole(target / name, data)
    return [target / name for name in parts]
