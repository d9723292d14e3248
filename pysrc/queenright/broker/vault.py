"""The embedded vault: secrets of this state directory, each sealed under the vault subkey.

A row is clear in name, version and time, so that it can be listed without the key; its value is a secretbox
over name, version and value, so a row moved under another name does not open. A version number is never used
twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from queenright.broker.secret import Secret
from queenright.clock import Clock
from queenright.core import canonical, decode
from queenright.errors import Malformed, StoreFailed, Unknown
from queenright.store import Change, Store

__all__ = ["SecretInfo", "Vault"]

_TABLE = "vault"
_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}")


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """What may be shown of a secret. `versions`: how many values it has had; `set_ms`: wall time of the
    last.
    """

    name: str
    version: int
    set_ms: int


class Vault:
    """Set, remove, list and fetch. `key` gives the 32-byte vault subkey or raises `Locked`."""

    def __init__(
        self, store: Store, key: Callable[[], bytes], clock: Clock, rand: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._rand = rand

    def set(self, name: str, value: bytes) -> Change:
        """A new version of `name`. Raises `Malformed` for a bad name or size, `Locked` without the key."""
        old, version = self._row(name), 1
        if old is not None:
            version = _info(name, old).version + 1
        secret = Secret(name, version, value)
        plain = canonical({"name": name, "version": version, "value": secret.reveal()})
        sealed = bytes(SecretBox(self._key()).encrypt(plain, self._rand(SecretBox.NONCE_SIZE)))
        return self._write(name, old, version, sealed)

    def remove(self, name: str) -> Change:
        """Forget the value; the version number stays used. Raises `Unknown` when there is none."""
        old = self._row(name)
        if old is None or not _fields(name, old)["sealed"]:
            raise Unknown(f"no secret named {name}", hint="queenright secret list")
        return self._write(name, old, _info(name, old).version, b"")

    def list(self) -> list[SecretInfo]:
        """Every secret that has a value, by name. Needs no key."""
        rows = ((key.decode(), row) for key, row in self._store.scan(_TABLE))
        return [_info(name, row) for name, row in rows if _fields(name, row)["sealed"]]

    def fetch(self, name: str) -> Secret:
        """The present value. Raises `Unknown`, `Locked`, or `StoreFailed` when the row does not open."""
        row = self._row(name)
        sealed = _fields(name, row)["sealed"] if row is not None else b""
        if row is None or not sealed:
            raise Unknown(f"no secret named {name}", hint=f"queenright secret set {name}")
        try:
            plain = decode(SecretBox(self._key()).decrypt(sealed))
        except (CryptoError, ValueError) as broken:
            raise StoreFailed(f"secret {name} does not open: another master key, or altered") from broken
        info = _info(name, row)
        if plain["name"] != name or plain["version"] != info.version:
            raise StoreFailed(f"secret {name} does not open: its row belongs to another secret or version")
        return Secret(name, info.version, plain["value"])

    def _row(self, name: str) -> bytes | None:
        if not _NAME.fullmatch(name):
            raise Malformed("a secret's name is 1 to 63 of a-z 0-9 . _ / - and begins with a letter or digit")
        return self._store.get(_TABLE, name.encode())

    def _write(self, name: str, old: bytes | None, version: int, sealed: bytes) -> Change:
        row = canonical({"v": 1, "version": version, "set_ms": self._clock.wall_ms(), "sealed": sealed})
        key = name.encode()
        return Change((("expect", _TABLE, key, old), ("put", _TABLE, key, row)))


def _fields(name: str, row: bytes) -> dict[str, Any]:
    fields = decode(row)
    if not isinstance(fields, dict) or fields.keys() != {"v", "version", "set_ms", "sealed"}:
        raise StoreFailed(f"the row of secret {name} is not one this version wrote")
    return fields


def _info(name: str, row: bytes) -> SecretInfo:
    fields = _fields(name, row)
    version, set_ms = fields["version"], fields["set_ms"]
    if not isinstance(version, int) or not isinstance(set_ms, int):
        raise StoreFailed(f"the row of secret {name} is not one this version wrote")
    return SecretInfo(name, version, set_ms)
