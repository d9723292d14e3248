"""Files that hold a signed document:

what `intent sign` writes and `intent apply` reads, and exported asks.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any

from queenright.errors import Conflict, Malformed, QueenrightError, Unknown

__all__ = ["MAX_FILE", "read_bytes", "read_signed", "read_text", "write_new", "write_signed"]

MAX_FILE = 4 * 1024 * 1024


def read_bytes(path: Path) -> bytes:
    """A file's content, bounded. Raises Unknown, Malformed or QueenrightError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise Unknown(f"there is no file {path}") from None
    except OSError as error:
        raise QueenrightError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise Malformed(f"{path} is over {MAX_FILE} bytes")
    return data


def read_text(path: Path) -> str:
    """The same as UTF-8 text."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{path} is not UTF-8 text (byte {error.start})") from None


def write_new(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a file that was not there; with `force`, replace one. Raises Conflict."""
    fresh = path.with_name(path.name + ".new") if force else path
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(os.open(fresh, flags, 0o644), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise Conflict(f"{path} exists", hint="--force replaces it") from None
    except OSError as error:
        raise QueenrightError(f"cannot write {path}: {error.strerror}") from None
    if force:
        fresh.rename(path)


def write_signed(path: Path, kind: str, document: bytes, signature: str, *, force: bool = False) -> None:
    """`{"v", "kind", "document" (base64), "signature"}` as JSON."""
    body = {"v": 1, "kind": kind, "document": base64.b64encode(document).decode(), "signature": signature}
    write_new(path, json.dumps(body, indent=1).encode() + b"\n", force=force)


def read_signed(path: Path, kind: str) -> tuple[bytes, str]:
    """(document, signature) of a file of this kind. Raises Malformed."""
    try:
        body: Any = json.loads(read_bytes(path))
        if body.keys() != {"v", "kind", "document", "signature"} or body["v"] != 1 or body["kind"] != kind:
            raise ValueError
        return base64.b64decode(body["document"], validate=True), str(body["signature"])
    except (ValueError, AttributeError, TypeError, binascii.Error):
        raise Malformed(f"{path} is not a signed {kind} of version 1") from None
