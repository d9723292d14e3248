"""The supervisor's own secrets: one master key, subkeys of it, and the keys sealed under them.

The master key is 256 bits and never on our disk: it comes from a descriptor, a systemd credential, a typed
passphrase or a file that the operator named (see `master`). The keyring file holds the runtime, log and HMAC
keys, sealed; without the master key it is useless and the supervisor is LOCKED. Wiping is best effort: Python
may have copied a value before we overwrote it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from nacl import pwhash
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from queenright.errors import Conflict, Locked, Malformed
from queenright.supervisor.master import MasterKey, Passphrase

__all__ = ["SUBKEYS", "Keyring"]

SUBKEYS = ("vault", "journal", "blob", "sealing", "keyring", "ca")
"""What is derived from the master key and never stored."""

_SEALED = ("runtime", "log", "hmac")
"""What is made once and sealed in the file: two Ed25519 seeds and the key of salted digests."""

_VERSION = 1
_KEY = 32
_NONCE = 24
_MAX_FILE = 64 * 1024
# libsodium's MODERATE: 3 passes over 256 MiB, about a second; a guess costs a thief the same.
_OPS, _MEMORY = pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE
# A keyring file from elsewhere must not make us fill the machine.
_MAX_OPS, _MAX_MEMORY = 20, 2 << 30
_CHECK = b"queenright/keyring-check/v1"

Kept = Literal["fd", "credential", "passphrase", "file"]


class Keyring:
    """The keys of one state directory. Locked until it has the master key; every key raises `Locked` then."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path = path
        self._document = document
        self._keys: dict[str, bytearray] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        master: MasterKey | Passphrase,
        *,
        kept: Kept,
        rand: Callable[[int], bytes] = os.urandom,
        opslimit: int = _OPS,
        memlimit: int = _MEMORY,
    ) -> Keyring:
        """Make new runtime, log and HMAC keys, sealed under `master`, in a new 0600 file.

        `kept` and a key file's path are remembered so that `up` knows where to look and what to call it.
        Raises `Conflict` when the file exists: its keys would be lost.
        """
        kdf = None
        if isinstance(master, Passphrase):
            kdf = {"salt": rand(pwhash.argon2id.SALTBYTES).hex(), "ops": opslimit, "memory": memlimit}
        key = _master_bytes(master, kdf)
        subkey = hkdf(key, "keyring")
        document: dict[str, Any] = {
            "v": _VERSION,
            "kept": kept,
            "file": str(master.file) if isinstance(master, MasterKey) and master.file else "",
            "kdf": kdf,
        }
        bound = _bound(document)
        sealed = {name: _seal(subkey, bound, name, rand(_KEY), rand) for name in _SEALED}
        document["sealed"] = {"check": _seal(subkey, bound, "check", _CHECK, rand), **sealed}
        _write_new(path, json.dumps(document, indent=1).encode() + b"\n")
        ring = cls(path, document)
        ring.unlock(MasterKey(key))
        return ring

    @classmethod
    def open(cls, path: Path, master: MasterKey | Passphrase | None) -> Keyring:
        """Read the file; with a master key unlock it, without one stay locked.

        Raises `Malformed` for a file that is not a keyring, `Locked` when the key or passphrase does not open
        it.
        """
        ring = cls(path, _read(path))
        if master is not None:
            ring.unlock(master)
        return ring

    @property
    def locked(self) -> bool:
        return not self._keys

    @property
    def kept(self) -> Kept:
        """How the operator chose to keep the master key."""
        kept: Kept = self._document["kept"]
        return kept

    @property
    def file(self) -> Path | None:
        """The key file the operator named, when that is how the master key is kept."""
        return Path(self._document["file"]) if self._document["file"] else None

    @property
    def wants_passphrase(self) -> bool:
        return self._document["kdf"] is not None

    def unlock(self, master: MasterKey | Passphrase) -> None:
        """Derive and open every key. Raises `Locked` when `master` is not this keyring's; nothing is kept
        then.
        """
        if isinstance(master, Passphrase) and not self.wants_passphrase:
            raise Locked(
                f"keyring {self._path} was made with a key, not a passphrase",
                hint="give the key: --master-key-fd, a systemd credential or the key file",
            )
        key = _master_bytes(master, self._document["kdf"])
        subkey, bound = hkdf(key, "keyring"), _bound(self._document)
        sealed = self._document["sealed"]
        what = "passphrase" if isinstance(master, Passphrase) else "master key"
        try:
            if _unseal(subkey, bound, "check", sealed["check"]) != _CHECK:
                raise CryptoError("check")
        except CryptoError as wrong:
            raise Locked(
                f"this {what} does not open keyring {self._path}",
                hint=f"try again with the {what} that `queenright init` was given",
            ) from wrong
        try:
            opened = {name: bytearray(_unseal(subkey, bound, name, sealed[name])) for name in _SEALED}
        except CryptoError as broken:
            raise Malformed(f"keyring {self._path} is damaged: a key in it does not open") from broken
        derived = {f"sub:{name}": bytearray(hkdf(key, name)) for name in SUBKEYS}
        self._keys = opened | derived

    def lock(self) -> None:
        """Forget every key, overwriting what can be overwritten."""
        for key in self._keys.values():
            key[:] = bytes(len(key))
        self._keys = {}

    def subkey(self, name: str) -> bytes:
        """32 bytes for one purpose of SUBKEYS. Raises `Locked`, or KeyError for a purpose there is none
        of.
        """
        if name not in SUBKEYS:
            raise KeyError(name)
        return self._key(f"sub:{name}")

    @property
    def runtime_seed(self) -> bytes:
        """The seed of the runtime key (Ed25519): signs births, incarnations, sealing certificates."""
        return self._key("runtime")

    @property
    def log_seed(self) -> bytes:
        """The seed of the log key (Ed25519): signs the ledger's checkpoints."""
        return self._key("log")

    @property
    def hmac_key(self) -> bytes:
        """The key of salted digests in leaves."""
        return self._key("hmac")

    def _key(self, name: str) -> bytes:
        if self.locked:
            raise Locked("the supervisor has no master key yet", hint="queenright unlock")
        return bytes(self._keys[name])

    def __repr__(self) -> str:
        return f"<Keyring {self._path} {'locked' if self.locked else 'open'}>"


def hkdf(key: bytes, purpose: str) -> bytes:
    """HKDF-SHA256 (RFC 5869) with no salt and one 32-byte block, for the purpose `purpose`."""
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    return hmac.digest(extracted, b"queenright/" + purpose.encode() + b"/v1\x01", hashlib.sha256)


def _master_bytes(master: MasterKey | Passphrase, kdf: dict[str, Any] | None) -> bytes:
    if isinstance(master, MasterKey):
        return master.reveal()
    if kdf is None:
        raise Locked("this keyring has no passphrase")
    salt = bytes.fromhex(kdf["salt"])
    return pwhash.argon2id.kdf(_KEY, master.reveal(), salt, opslimit=kdf["ops"], memlimit=kdf["memory"])


def _bound(document: dict[str, Any]) -> bytes:
    """What the seals cover besides their value: nobody can exchange the header of a keyring under its
    keys.
    """
    header = {name: document[name] for name in ("v", "kept", "file", "kdf")}
    return b"queenright/keyring/v1\0" + json.dumps(header, sort_keys=True).encode()


def _seal(key: bytes, bound: bytes, name: str, value: bytes, rand: Callable[[int], bytes]) -> str:
    nonce = rand(_NONCE)
    aad = bound + b"\0" + name.encode()
    return (nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(value, aad, nonce, key)).hex()


def _unseal(key: bytes, bound: bytes, name: str, sealed: str) -> bytes:
    data = bytes.fromhex(sealed)
    aad = bound + b"\0" + name.encode()
    return crypto_aead_xchacha20poly1305_ietf_decrypt(data[_NONCE:], aad, data[:_NONCE], key)


def _write_new(path: Path, data: bytes) -> None:
    try:
        out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as there:
        raise Conflict(
            f"keyring {path} exists; its keys would be lost", hint="choose a new state directory"
        ) from there
    try:
        with os.fdopen(out, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise Malformed(f"keyring {path} can be read by others", hint=f"chmod 600 {path}")
        data = file.read(_MAX_FILE + 1)
    try:
        document = json.loads(data)
        _check(document)
    except (ValueError, KeyError, TypeError) as broken:
        raise Malformed(f"{path} is not a keyring of this version: {type(broken).__name__}") from broken
    return dict(document)


def _check(document: Any) -> None:
    """Every field has its type and bounds before any is used. Raises ValueError, KeyError or TypeError."""
    if set(document) != {"v", "kept", "file", "kdf", "sealed"} or document["v"] != _VERSION:
        raise ValueError("fields")
    if document["kept"] not in ("fd", "credential", "passphrase", "file") or not isinstance(
        document["file"], str
    ):
        raise ValueError("kept")
    kdf = document["kdf"]
    if kdf is not None:
        if set(kdf) != {"salt", "ops", "memory"}:
            raise ValueError("kdf")
        if len(bytes.fromhex(kdf["salt"])) != pwhash.argon2id.SALTBYTES:
            raise ValueError("salt")
        if not 1 <= kdf["ops"] <= _MAX_OPS:
            raise ValueError("ops")
        if not pwhash.argon2id.MEMLIMIT_MIN <= kdf["memory"] <= _MAX_MEMORY:
            raise ValueError("memory")
    if set(document["sealed"]) != {"check", *_SEALED}:
        raise ValueError("sealed")
    for sealed in document["sealed"].values():
        if len(bytes.fromhex(sealed)) < _NONCE + 16:
            raise ValueError("sealed value")
