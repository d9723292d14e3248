"""Where the master key comes from: a descriptor, a systemd credential, a typed passphrase or a named file.

In this order, and from nothing else: never the environment, never argv, both of which other programs can
read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from queenright.errors import Malformed

__all__ = ["CREDENTIAL", "MasterKey", "Passphrase", "create_key_file", "find_master"]

CREDENTIAL = "queenright-master-key"
"""Its name under systemd: LoadCredentialEncrypted=queenright-master-key:/etc/credstore/…"""

_KEY = 32
_MAX_SOURCE = 128  # 64 hex digits and a line end; anything longer is not a key
_MAX_PASSPHRASE = 1024


class _Hidden:
    """A value that no repr, log line or exception shows."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"a {type(self).__name__} is not copied or pickled")


class MasterKey(_Hidden):
    """32 bytes. `file` is where they lie, if the operator keeps them in a file."""

    __slots__ = ("file",)

    def __init__(self, value: bytes, file: Path | None = None) -> None:
        if len(value) != _KEY:
            raise Malformed(f"a master key of {len(value)} bytes; 32 are needed")
        super().__init__(value)
        self.file = file


class Passphrase(_Hidden):
    """What a person typed, as UTF-8 bytes, not empty."""

    __slots__ = ()

    def __init__(self, value: bytes) -> None:
        if not 0 < len(value) <= _MAX_PASSPHRASE:
            raise Malformed(f"a passphrase of {len(value)} bytes; 1 to {_MAX_PASSPHRASE}")
        super().__init__(value)


def find_master(
    *,
    state: Path,
    environ: Mapping[str, str],
    fd: int | None = None,
    ask: Callable[[], bytes] | None = None,
    file: Path | None = None,
) -> MasterKey | Passphrase | None:
    """The first source there is, or None: then the supervisor starts LOCKED.

    `environ` is read for $CREDENTIALS_DIRECTORY alone. `ask` types a passphrase on a terminal. A source that
    is there but unusable raises `Malformed`; the next one is not tried in its place.
    """
    if fd is not None:
        return MasterKey(_read_fd(fd))
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (path := Path(credentials, CREDENTIAL)).exists():
        with path.open("rb") as credential:
            return MasterKey(_parse(credential.read(_MAX_SOURCE + 1), f"credential {CREDENTIAL}"))
    if ask is not None:
        return Passphrase(ask())
    if file is not None:
        return MasterKey(_read_file(file, state), file)
    return None


def create_key_file(path: Path, state: Path, rand: Callable[[int], bytes] = os.urandom) -> MasterKey:
    """Make a new master key in a new 0600 file outside `state`. Protects copies of the state directory
    only.
    """
    _outside(path, state)
    key = rand(_KEY)
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(out, "wb") as file:
        file.write(key.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return MasterKey(key, path)


def _outside(path: Path, state: Path) -> None:
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(state)):
        raise Malformed(
            f"master key file {path} lies in the state directory: whoever copies one copies both",
            hint="keep it elsewhere, best on another file system",
        )


def _read_fd(fd: int) -> bytes:
    data = b""
    try:
        while len(data) <= _MAX_SOURCE and (part := os.read(fd, _MAX_SOURCE + 1)):
            data += part
    except OSError as error:
        raise Malformed(f"--master-key-fd {fd} cannot be read: {error.strerror}") from error
    finally:
        if fd > 2:
            os.close(fd)
    return _parse(data, f"--master-key-fd {fd}")


def _read_file(path: Path, state: Path) -> bytes:
    _outside(path, state)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Malformed(f"master key file {path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise Malformed(f"master key file {path} is not a regular file")
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            raise Malformed(
                f"master key file {path} has mode {found.st_mode & 0o777:04o} and owner {found.st_uid}",
                hint=f"it must be yours alone: chmod 600 {path}",
            )
        return _parse(file.read(_MAX_SOURCE + 1), f"master key file {path}")


def _parse(data: bytes, where: str) -> bytes:
    """32 raw bytes, or 64 hex digits with an optional line end."""
    if len(data) == _KEY:
        return data
    text = data.strip()
    if len(text) == 2 * _KEY and all(byte in b"0123456789abcdefABCDEF" for byte in text):
        return bytes.fromhex(text.decode())
    raise Malformed(
        f"{where} holds {len(data)} bytes that are no master key", hint="32 bytes, or 64 hex digits"
    )
