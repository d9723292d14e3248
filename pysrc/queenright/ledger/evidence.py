"""The bytes that operators signed, kept in clear beside the entries, so that outsiders can check the
signatures.

Intents, verdicts and orders hold scopes and digests, never secrets or agents' prose; that is why they may
lie open.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from queenright.errors import LedgerBroken, Malformed, Unknown
from queenright.ledger import files

__all__ = ["MAX_DOCUMENT", "Evidence"]

MAX_DOCUMENT: Final = 1024 * 1024
"""An intent of a hundred clauses is some 20 kB."""


class Evidence:
    """Signed documents under `directory`, each named by its SHA-256."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, document: bytes) -> bytes:
        """Make `document` durable and return its 32-byte SHA-256. Raises Malformed beyond MAX_DOCUMENT,
        OSError.
        """
        if len(document) > MAX_DOCUMENT:
            raise Malformed(f"a signed document of {len(document)} bytes, at most {MAX_DOCUMENT}")
        name = hashlib.sha256(document).digest()
        path = self._directory / name.hex()
        if not path.exists():
            files.make_directory(self._directory)
            files.write_whole(path, document)
        return name

    def get(self, name: bytes) -> bytes:
        """The document. Raises Unknown if it is not here, LedgerBroken if it was altered."""
        try:
            with (self._directory / name.hex()).open("rb") as file:
                document = file.read(MAX_DOCUMENT + 1)
        except FileNotFoundError:
            raise Unknown(f"the signed document {name.hex()[:12]} is not here") from None
        if hashlib.sha256(document).digest() != name:
            raise LedgerBroken(f"the signed document {name.hex()[:12]} was altered")
        return document

    def names(self) -> list[bytes]:
        """The SHA-256 of every document here."""
        if not self._directory.is_dir():
            return []
        found = (path.name for path in self._directory.iterdir() if len(path.name) == 64)
        return sorted(bytes.fromhex(name) for name in found)
