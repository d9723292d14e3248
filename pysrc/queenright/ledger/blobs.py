"""What a leaf only names: arguments, outputs, diffs, an agent's words. Encrypted, one file each.

A blob is named by the SHA-256 of its ciphertext, so anybody can check that it is the one a leaf names, and
only the key's holder can read it. The leaf also commits to the plain bytes under a salt that lies inside
the ciphertext: XChaCha20-Poly1305 does not bind a ciphertext to one key, and without the commitment a key's
holder could later show other bytes than were recorded. Deleting the file erases the content; the ledger's
proofs stay valid.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from queenright.errors import LedgerBroken, Locked, Malformed, Unknown
from queenright.ledger import files

__all__ = ["MAX_BLOB", "BlobRef", "Blobs"]

MAX_BLOB: Final = 16 * 1024 * 1024
"""An action's output is bounded well below; a blob is read whole."""

_VERSION = b"\x01"
_SALT = 16
_NONCE = 24
_KEY = 32


@dataclass(frozen=True, slots=True)
class BlobRef:
    """What a leaf holds of a blob: what it is (`args`, `output`, `diff`, …), the SHA-256 of the file, the
    length of the plain bytes, and SHA-256(label || salt || plain bytes)."""

    role: str
    sha256: bytes
    length: int
    commitment: bytes


class Blobs:
    """The blobs of one ledger, under `directory`. `key` is 32 bytes, or None while the supervisor is
    locked.
    """

    def __init__(
        self, directory: Path, key: bytes | None, *, rand: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._directory = directory
        self._rand = rand
        self._key: bytes | None = None
        if key is not None:
            self.unlock(key)

    def unlock(self, key: bytes) -> None:
        if len(key) != _KEY:
            raise ValueError(f"a blob key of {len(key)} bytes; {_KEY} are needed")
        self._key = bytes(key)

    def put(self, role: str, data: bytes) -> BlobRef:
        """Encrypt `data` and make it durable; name the result in a leaf.

        Raises Malformed for more than MAX_BLOB bytes, Locked without a key, OSError when the disk refuses.
        """
        if len(data) > MAX_BLOB:
            raise Malformed(f"a blob of {len(data)} bytes, at most {MAX_BLOB}")
        salt, nonce = self._rand(_SALT), self._rand(_NONCE)
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(salt + data, _label(role), nonce, self._secret())
        whole = _VERSION + nonce + sealed
        name = hashlib.sha256(whole).digest()
        path = self._path(name)
        files.make_directory(path.parent)
        files.write_whole(path, whole)
        return BlobRef(role, name, len(data), _commitment(role, salt, data))

    def get(self, ref: BlobRef) -> bytes:
        """The plain bytes.

        Raises Unknown for a blob that is not (or no longer) there, LedgerBroken for one that is not what
        the leaf names, Locked without a key.
        """
        key = self._secret()
        path = self._path(ref.sha256)
        try:
            whole = path.read_bytes()
        except FileNotFoundError:
            raise Unknown(
                f"the blob {ref.sha256.hex()[:12]} ({ref.role}) is not here: erased, or not exported"
            ) from None
        if not hmac.compare_digest(hashlib.sha256(whole).digest(), ref.sha256) or whole[:1] != _VERSION:
            raise LedgerBroken(f"the blob {ref.sha256.hex()[:12]} ({ref.role}) was altered")
        nonce, sealed = whole[1 : 1 + _NONCE], whole[1 + _NONCE :]
        try:
            plain = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, _label(ref.role), nonce, key)
        except (CryptoError, ValueError):
            raise LedgerBroken(
                f"the blob {ref.sha256.hex()[:12]} ({ref.role}) does not open under this key"
            ) from None
        salt, data = plain[:_SALT], plain[_SALT:]
        if len(data) != ref.length or not hmac.compare_digest(
            _commitment(ref.role, salt, data), ref.commitment
        ):
            raise LedgerBroken(
                f"the blob {ref.sha256.hex()[:12]} ({ref.role}) is not what the leaf commits to"
            )
        return data

    def erase(self, ref: BlobRef) -> None:
        """Delete the bytes for good; the leaf still proves that they were. Erasing twice is no error."""
        self._path(ref.sha256).unlink(missing_ok=True)

    def _path(self, name: bytes) -> Path:
        digits = name.hex()
        return self._directory / digits[:2] / digits

    def _secret(self) -> bytes:
        if self._key is None:
            raise Locked("blobs are encrypted and there is no master key yet", hint="queenright unlock")
        return self._key


def _label(role: str) -> bytes:
    return b"queenright/blob/v1\0" + role.encode() + b"\0"


def _commitment(role: str, salt: bytes, data: bytes) -> bytes:
    return hashlib.sha256(_label(role) + salt + data).digest()
