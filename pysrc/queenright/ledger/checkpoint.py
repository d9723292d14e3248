"""Checkpoints as others read them: C2SP tlog-checkpoint inside C2SP signed-note, Ed25519 (algorithm byte
0x01).

The formats are those of golang.org/x/mod/sumdb/note, so any verifier written for them reads ours.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from queenright.core import SigningKey, verify
from queenright.errors import InvalidSignature, Malformed

__all__ = ["MAX_NOTE", "Checkpoint", "LogKey", "open_note", "sign_note", "vkey"]

MAX_NOTE = 64 * 1024
"""A checkpoint is some 200 bytes; cosignatures add some 100 each."""
_MAX_SIGNATURES = 100  # as golang.org/x/mod/sumdb/note
_ED25519 = b"\x01"
_DASH = "— "  # U+2014 and a space
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True, slots=True)
class LogKey:
    """The public half of a ledger's key, as its vkey line names it."""

    name: str
    key_id: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> LogKey:
        """Read `name+hex8+base64`. Raises Malformed."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not _is_name(parts[0]) or not re.fullmatch(r"[0-9a-f]{8}", parts[1]):
            raise Malformed(
                f"`{text[:80]}` is no ledger key", hint="it looks like NAME+1a2b3c4d+BASE64 (log.vkey)"
            )
        try:
            raw = base64.b64decode(parts[2], validate=True)
        except ValueError:  # not base64, or not ASCII
            raise Malformed("a ledger key whose base64 does not decode") from None
        if raw[:1] != _ED25519 or len(raw) != 33 or base64.b64encode(raw).decode() != parts[2]:
            raise Malformed("a ledger key that is not Ed25519")
        key = cls(parts[0], bytes.fromhex(parts[1]), raw[1:])
        if key.key_id != _key_id(key.name, key.public_key):
            raise Malformed("a ledger key whose number is not that of its name and bytes")
        return key


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state of a log: its origin, how many entries, the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note's text; lines after the third are extensions and are passed over. Raises Malformed."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or _SIZE.match(lines[1]) is None or "" in lines[3:-1]:
            raise Malformed("a note that is no checkpoint")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except ValueError:  # not base64, or not ASCII
            raise Malformed("a checkpoint whose root does not decode") from None
        if len(root) != 32 or base64.b64encode(root).decode() != lines[2]:
            raise Malformed("a checkpoint whose root is not 32 bytes")
        return cls(lines[0], int(lines[1]), root)

    def sign(self, key: SigningKey) -> bytes:
        """The signed note; the key's name is the origin."""
        return sign_note(self.text(), self.origin, key)

    @classmethod
    def open(cls, note: bytes, key: LogKey) -> Checkpoint:
        """Read a signed checkpoint of this very log. Raises InvalidSignature, Malformed."""
        checkpoint = cls.parse(open_note(note, key))
        if checkpoint.origin != key.name:
            raise InvalidSignature(f"a checkpoint of the log {checkpoint.origin[:80]!r}, not of {key.name!r}")
        return checkpoint


def vkey(name: str, public_key: bytes) -> str:
    """The line that names a log's public key. Raises Malformed for a name a note could not hold."""
    _check_name(name)
    encoded = base64.b64encode(_ED25519 + public_key).decode()
    return f"{name}+{_key_id(name, public_key).hex()}+{encoded}"


def sign_note(text: str, name: str, key: SigningKey) -> bytes:
    """`text`, which ends in a line end, as a note signed under `name`."""
    _check_name(name)
    if not text.endswith("\n") or not _is_clean(text):
        raise Malformed("a note's text is printable lines, each ended")
    signature = _key_id(name, key.public_key) + key.sign(text.encode())
    return f"{text}\n{_DASH}{name} {base64.b64encode(signature).decode()}\n".encode()


def open_note(note: bytes, key: LogKey) -> str:
    """The text of a note that `key` signed; signatures by others are passed over.

    Raises Malformed for what is no note and InvalidSignature for one this key did not sign.
    """
    if len(note) > MAX_NOTE:
        raise Malformed(f"a note of {len(note)} bytes, at most {MAX_NOTE}")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a note that is not UTF-8") from None
    text, separator, signatures = whole.rpartition("\n\n")
    if not separator or not signatures.endswith("\n") or not _is_clean(whole):
        raise Malformed("bytes that are no signed note")
    text += "\n"
    lines = signatures[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise Malformed(f"a note with {len(lines)} signatures, at most {_MAX_SIGNATURES}")
    checked = False
    for line in lines:
        name, key_id, signature = _signature(line)
        if name == key.name and key_id == key.key_id and not checked:
            # A signature that claims to be this key's and is not makes the whole note suspect, so no search
            # goes on.
            verify(key.public_key, text.encode(), signature)
            checked = True
    if not checked:
        raise InvalidSignature(f"a note that {key.name!r} did not sign")
    return text


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not _is_name(name):
        raise Malformed("a note with a malformed signature line")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Malformed("a note with a malformed signature line") from None
    if len(raw) < 5 or base64.b64encode(raw).decode() != encoded:
        raise Malformed("a note with a malformed signature line")
    return name, raw[:4], raw[4:]


def _key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _check_name(name: str) -> None:
    if not _is_name(name):
        raise Malformed(
            f"`{name[:80]}` cannot name a log: no spaces, no `+`, at most 200 printable characters"
        )


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 200 and "+" not in name and name.isprintable() and " " not in name


def _is_clean(text: str) -> bool:
    return all(character >= " " or character == "\n" for character in text)
