"""Copying the ledger over the control socket, and remembering the last checkpoint seen: the client as a second reader.

Each is written once as a generator that yields calls and is sent their results; `drive` runs one over a blocking client,
`drive_async` over an asyncio one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from queenright.core import verify_consistency
from queenright.errors import InvalidProof, LedgerBroken, LedgerUnwritable, Malformed, QueenrightError
from queenright.ledger.checkpoint import MAX_NOTE, Checkpoint, LogKey

__all__ = ["Memory", "Seen", "copying", "drive", "drive_async"]

T = TypeVar("T")
Calls = Generator[tuple[str, dict[str, Any]], Any, T]

CHUNK = 1024 * 1024  # of one `ledger_read`: well inside a frame
MAX_FILES = 1_000_000
NAME_PARTS = 2  # `entries`, `evidence/<digest>`
CHECKPOINT = "checkpoint"
LOG_VKEY = "log.vkey"


class _Caller(Protocol):
    def call(self, method: str, **params: Any) -> Any: ...


class _AsyncCaller(Protocol):
    def call(self, method: str, **params: Any) -> Awaitable[Any]: ...


def drive(client: _Caller, calls: Calls[T]) -> T:
    """Run `calls` over a blocking client."""
    return _run(calls, lambda method, params: client.call(method, **params))


def _run(calls: Calls[T], ask: Callable[[str, dict[str, Any]], Any]) -> T:
    try:
        wanted = next(calls)
        while True:
            try:
                got = ask(*wanted)
            except QueenrightError as error:
                wanted = calls.throw(error)
            else:
                wanted = calls.send(got)
    except StopIteration as end:
        result: T = end.value
        return result


async def drive_async(client: _AsyncCaller, calls: Calls[T]) -> T:
    """Run `calls` over an asyncio client."""
    try:
        wanted = next(calls)
        while True:
            try:
                got = await client.call(wanted[0], **wanted[1])
            except QueenrightError as error:
                wanted = calls.throw(error)
            else:
                wanted = calls.send(got)
    except StopIteration as end:
        result: T = end.value
        return result


def copying(target: Path) -> Calls[str]:
    """Copy everything an outsider needs into `target`, which must be empty. Returns the log's vkey as it was told.

    Raises Malformed for a name that would leave the copy or a file shorter than was said.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise Malformed(f"{target} is not empty", hint="name a directory that does not exist yet")
    export = yield "ledger_export", {}
    if len(export["files"]) > MAX_FILES:
        raise Malformed(f"the supervisor names {len(export['files'])} files, over the limit of {MAX_FILES}")
    for file in export["files"]:
        path = _inside(target, file["name"])
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("xb") as out:
            while out.tell() < file["bytes"]:
                wanted = min(CHUNK, file["bytes"] - out.tell())
                data = yield "ledger_read", {"name": file["name"], "offset": out.tell(), "limit": wanted}
                if not data or len(data) > wanted:
                    raise Malformed(f"the ledger's file `{file['name'][:80]}` is not as long as was said")
                out.write(data)
    (target / CHECKPOINT).write_text(export["checkpoint"])
    (target / LOG_VKEY).write_text(export["vkey"].strip() + "\n")
    return str(export["vkey"]).strip()


def _inside(target: Path, name: str) -> Path:
    parts = name.split("/")
    if not 0 < len(parts) <= NAME_PARTS or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Malformed(f"the supervisor names a file outside the copy: `{name[:80]}`")
    return target.joinpath(*parts)


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint as it was seen: the signed note and the key it verifies under."""

    vkey: str
    note: str

    @property
    def checkpoint(self) -> Checkpoint:
        """Raises Malformed or InvalidSignature."""
        return Checkpoint.open(self.note.encode(), LogKey.parse(self.vkey))


class Memory:
    """The last checkpoint this client saw of each supervisor, kept where no supervisor can reach: `directory` is ours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def last(self, runtime: bytes) -> Seen | None:
        """What was seen of the supervisor with this runtime key. Raises Malformed for a damaged file."""
        return self._read(self._path(runtime))

    def of_log(self, vkey: str) -> Seen | None:
        """What was seen of the log with this key, whichever supervisor it is of."""
        found = [
            seen for path in sorted(self.directory.glob("*.json")) if (seen := self._read(path)) is not None
        ]
        return next((seen for seen in found if seen.vkey == vkey), None)

    def checking(self, runtime: bytes) -> Calls[Checkpoint | None]:
        """Fetch the newest checkpoint, check that it continues the last one seen here, and remember it.

        None if the ledger has no checkpoint yet and none was ever seen. Raises LedgerBroken where the history seen before
        is not the beginning of the one told now.
        """
        before = self.last(runtime)
        since = None if before is None else before.checkpoint.size
        try:
            told = yield "ledger_checkpoint", {} if since is None else {"since": since}
        except QueenrightError as error:
            if before is None and error.code == LedgerUnwritable.code:
                return None  # it has no checkpoint yet
            if before is None or error.code not in (LedgerUnwritable.code, Malformed.code):
                raise
            raise LedgerBroken(
                f"the ledger no longer shows the {since} entries it signed: {error.message}"
            ) from error
        now = Seen(str(told["vkey"]).strip(), str(told["note"]))
        if before is not None and now.vkey != before.vkey:
            raise LedgerBroken(
                "the ledger is signed by another key than before", hint=f"it was {before.vkey}"
            )
        try:
            new = now.checkpoint
        except QueenrightError as error:
            raise LedgerBroken(f"the ledger's checkpoint does not verify: {error.message}") from error
        if before is not None:
            _continues(before.checkpoint, new, told["proof"])
        if before is None or new.size > before.checkpoint.size:
            self._write(self._path(runtime), now)
        return new

    def _path(self, runtime: bytes) -> Path:
        return self.directory / f"{runtime.hex()}.json"

    @staticmethod
    def _read(path: Path) -> Seen | None:
        try:
            with path.open("rb") as file:
                body = json.loads(file.read(2 * MAX_NOTE))
            seen = Seen(body["vkey"], body["note"])
            _ = seen.checkpoint
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, QueenrightError) as error:
            raise Malformed(
                f"{path} is not a checkpoint seen here: {error}", hint="move it away to start anew"
            ) from None
        return seen

    def _write(self, path: Path, seen: Seen) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w"
        ) as file:
            json.dump({"vkey": seen.vkey, "note": seen.note}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)


def _continues(old: Checkpoint, new: Checkpoint, proof: list[bytes]) -> None:
    if new.size < old.size:
        raise LedgerBroken(f"the ledger has {new.size} entries and had {old.size}: its tail was cut")
    if old.size == 0:
        return
    try:
        verify_consistency(old.size, new.size, old.root, new.root, proof)
    except (InvalidProof, Malformed):
        raise LedgerBroken(
            f"the first {old.size} entries are not those that were seen here before: the history was rewritten",
            hint="keep a copy of this client's checkpoints, and verify a copy: `queenright ledger export DIR`",
        ) from None
