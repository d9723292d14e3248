"""Rows that only the holder of the journal subkey can read.

A sealed value is version byte, 24-byte nonce, XChaCha20-Poly1305 ciphertext; its associated data is the table
and the key, so a row copied to another place does not open there. Keys (headers) stay clear: they are how
rows are found.
"""

from __future__ import annotations

from collections.abc import Callable

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from queenright.errors import Locked, StoreFailed

__all__ = ["PRIVATE_TABLES", "Sealer"]

PRIVATE_TABLES = frozenset(
    {
        "action.private",  # arguments, plans, undo plans and results of actions
        "agent.state",  # the snapshot of an agent's state
        "agent.step",  # recorded results of steps
        "ask.private",  # the bytes of an ask and its untrusted text
        "ask.verdict",  # the answers to it, which may hold narrowed arguments
        "mail",  # messages that wait
        "mail.dead",  # messages that nobody could handle
        "timer",  # a timer's message
    }
)
"""Tables whose values are sealed. A room that keeps agents' bytes or arguments adds its table here."""

_VERSION = b"\x01"
_NONCE = 24
_KEY = 32


def _place(table: str, key: bytes) -> bytes:
    return b"queenright/row/v1\0" + table.encode() + b"\0" + key


class Sealer:
    """Seals and opens private values. Without a key every use raises `Locked`."""

    __slots__ = ("_key", "_rand")

    def __init__(self, key: bytes | None, rand: Callable[[int], bytes]) -> None:
        self._rand = rand
        self._key: bytes | None = None
        if key is not None:
            self.unlock(key)

    def unlock(self, key: bytes) -> None:
        if len(key) != _KEY:
            raise ValueError(f"a journal key of {len(key)} bytes; {_KEY} are needed")
        self._key = bytes(key)

    def lock(self) -> None:
        self._key = None

    def seal(self, table: str, key: bytes, value: bytes) -> bytes:
        nonce = self._rand(_NONCE)
        secret = self._secret(table)
        return (
            _VERSION
            + nonce
            + crypto_aead_xchacha20poly1305_ietf_encrypt(value, _place(table, key), nonce, secret)
        )

    def open(self, table: str, key: bytes, sealed: bytes) -> bytes:
        """The value that was sealed for this place. Raises `StoreFailed` when it is not one."""
        secret = self._secret(table)
        if sealed[:1] != _VERSION:
            raise StoreFailed(f"row {key.hex()} of {table} is not a sealed value this version can read")
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(body, _place(table, key), nonce, secret)
        except (CryptoError, ValueError) as broken:
            raise StoreFailed(
                f"row {key.hex()} of {table} does not open: another journal key, or altered",
                hint="give the master key this state directory was made with",
            ) from broken

    def _secret(self, table: str) -> bytes:
        if self._key is None:
            raise Locked(f"table {table} is sealed and there is no master key yet", hint="queenright unlock")
        return self._key
