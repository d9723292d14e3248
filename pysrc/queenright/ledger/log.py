"""The ledger itself: leaves that the store accepted, in one append-only file, under one hash tree and
signed states.

The store is the truth: a leaf is durable there in the very commit it tells of. The file, the tree and the
checkpoint follow it and are brought up to it at every start. In the other direction nothing gives way: a
file that holds more than the store, other bytes than the store, or another root than was signed is a fork,
and the ledger does not open.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from queenright.clock import Clock
from queenright.core import MerkleTree, SigningKey, leaf_hash
from queenright.errors import LedgerBroken, LedgerUnwritable, Malformed, QueenrightError, Unknown
from queenright.ledger import files, leaf
from queenright.ledger.checkpoint import Checkpoint, LogKey, vkey
from queenright.ledger.entry import Entry
from queenright.store.change import Change

__all__ = ["CHECKPOINT", "ENTRIES", "HISTORY", "LOG_VKEY", "LeafStore", "Ledger"]

ENTRIES: Final = "entries"  # u32 big-endian length and leaf bytes, one after the other
CHECKPOINT: Final = "checkpoint"  # the last signed note
LOG_VKEY: Final = "log.vkey"
HISTORY: Final = "history"  # earlier signed notes, framed like entries

_TABLE: Final = "ledger"
_SIGNED: Final = b"signed"  # size (8), root (32), first leaf the store still holds (8)
_BATCH: Final = 1_000
_KEEP_IN_STORE: Final = 1_000
"""The store lets go of leaves in steps of this many: letting go is a commit of its own."""
_HISTORY_EVERY_MS: Final = 60_000
"""A note is some 200 bytes: a year of one a minute is 100 MB at most, and only while there is something
new.
"""


class LeafStore(Protocol):
    """What the ledger needs of the store."""

    def commit(self, *changes: Change) -> Any: ...
    def get(self, table: str, key: bytes) -> bytes | None: ...
    def leaves(self, start: int, limit: int) -> list[bytes]: ...
    def leaf_count(self) -> int: ...
    def drop_leaves_below(self, index: int) -> None: ...


class Ledger:
    """One supervisor's ledger, under `directory`. Any thread may read it or flush it."""

    def __init__(
        self, directory: Path, store: LeafStore, key: SigningKey | None, origin: str, clock: Clock
    ) -> None:
        """Open the ledger, or begin it. `key` is None while the supervisor is locked: then nothing is signed.

        `origin` names the log for good (`<host>/<runtime>/ledger`, no spaces, no `+`). Raises LedgerBroken
        for a fork or an altered file, LedgerUnwritable when the directory cannot be made or read. A full
        disk does not keep it from opening: then `require_writable` says so.
        """
        self._directory = directory
        self._store = store
        self._key: SigningKey | None = None
        self._origin = origin
        self._clock = clock
        self._lock = threading.RLock()
        self._tree = MerkleTree()
        self._ends: array[int] = array("Q")
        self._signed = Checkpoint(origin, 0, self._tree.root())
        self._first_kept = 0
        self._published: tuple[int, bytes] | None = None
        self._history_at: int | None = None
        self._trouble: str | None = None
        self._torn = False
        try:
            files.make_directory(directory)
            self._log_key = self._known_key()
            self._handle = self._open_entries()
            self._read_entries()
        except OSError as error:
            raise LedgerUnwritable(f"the ledger at {directory} cannot be opened: {error.strerror}") from error
        self._check_signed()
        if key is not None:
            self.unlock(key)

    # --- writing --------------------------------------------------------------------------------------------

    def entry(self, entry: Entry) -> Change:
        """What makes `entry` the next leaf, to be committed together with what it tells of. Raises
        Malformed.
        """
        return Change((("leaf", leaf.encode(entry)),))

    def flush(self) -> None:
        """Bring file, tree and checkpoint up to the store. Call it after each commit that held leaves.

        Raises LedgerUnwritable when the disk refuses; the leaves are safe in the store, and the next flush
        that succeeds makes up for it.
        """
        with self._lock:
            try:
                self._append()
                if self._key is not None:
                    self._sign(self._key)
            except (OSError, QueenrightError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self._trouble = f"the ledger at {self._directory} cannot be written: {why}"
                raise LedgerUnwritable(self._trouble, hint="make room, or repair the disk") from error
            self._trouble = None

    def require_writable(self) -> None:
        """Raise LedgerUnwritable unless what is done now would be recorded, in the file and under a
        signature.
        """
        with self._lock:
            if self._key is None:
                raise LedgerUnwritable("the ledger's key is locked", hint="queenright unlock")
            if self._trouble is not None:
                raise LedgerUnwritable(self._trouble, hint="make room, or repair the disk")

    def unlock(self, key: SigningKey) -> None:
        """Give the ledger its key, and sign what was written without it. Raises LedgerBroken for another
        log's key.
        """
        with self._lock:
            mine = LogKey.parse(vkey(self._origin, key.public_key))
            known = self._log_key or self._write_vkey(mine)
            if known != mine:
                raise LedgerBroken(
                    f"this ledger's key is {self._line(known)}, not {self._line(mine)}",
                    hint="a ledger is never continued under another key or name",
                )
            self._check_published(mine)
            self._key = key
            # A disk that refuses now is not an unlock that failed: `require_writable` goes on saying it.
            with contextlib.suppress(LedgerUnwritable):
                self.flush()

    def close(self) -> None:
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Entries in the file and the tree."""
        return len(self._ends)

    def root(self, size: int | None = None) -> bytes:
        """The root now, or at an earlier size. Raises Unknown."""
        with self._lock:
            return self._tree.root(size)

    @property
    def vkey(self) -> str | None:
        """The line with which others check the checkpoints; None before the first unlock."""
        return None if self._log_key is None else self._line(self._log_key)

    def checkpoint(self) -> tuple[int, bytes] | None:
        """The last signed note and how many entries it covers; None before the first."""
        return self._published

    def leaf(self, index: int) -> bytes:
        """The bytes of an entry. Raises Unknown."""
        with self._lock:
            if not 0 <= index < len(self._ends):
                raise Unknown(f"no ledger entry {index}: there are {len(self._ends)}")
            start = self._ends[index - 1] + 4 if index else 4
            return os.pread(self._handle, self._ends[index] - start, start)

    def leaves(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(index, bytes) of the entries `start` .. `end` (not included), upwards."""
        for index in range(max(start, 0), min(self.size if end is None else end, self.size)):
            yield index, self.leaf(index)

    def file_length(self, size: int) -> int:
        """The bytes that the first `size` entries take in the file, from its start. Raises Unknown."""
        with self._lock:
            if not 0 <= size <= len(self._ends):
                raise Unknown(f"no {size} ledger entries: there are {len(self._ends)}")
            return self._ends[size - 1] if size else 0

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that entry `index` is in the tree of `size`. Raises Unknown."""
        with self._lock:
            return self._tree.inclusion(index, size)

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """The proof that the tree of `old_size` (at least 1) is the beginning of that of `new_size`. Raises
        Unknown, Malformed.
        """
        with self._lock:
            return self._tree.consistency(old_size, new_size)

    @property
    def directory(self) -> Path:
        return self._directory

    # --- at the start ---------------------------------------------------------------------------------------

    def _known_key(self) -> LogKey | None:
        path = self._directory / LOG_VKEY
        if not path.exists():
            return None
        try:
            return LogKey.parse(path.read_text())
        except (Malformed, UnicodeDecodeError) as broken:
            raise LedgerBroken(f"{path} was altered: {broken}") from None

    def _write_vkey(self, key: LogKey) -> LogKey:
        try:
            files.write_whole(self._directory / LOG_VKEY, (self._line(key) + "\n").encode())
        except OSError as error:
            raise LedgerUnwritable(f"{LOG_VKEY} cannot be written: {error.strerror}") from error
        self._log_key = key
        return key

    def _open_entries(self) -> int:
        path = self._directory / ENTRIES
        new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if new:
            os.fsync(handle)
            files.sync_directory(self._directory)
        return handle

    def _read_entries(self) -> None:
        count = self._store.leaf_count()
        self._read_signed_row()
        kept = iter(_all_leaves(self._store, self._first_kept, count))
        length = os.fstat(self._handle).st_size
        if length:
            with mmap.mmap(self._handle, length, prot=mmap.PROT_READ) as data:
                for end, data_leaf in files.frames(data, leaf.MAX_LEAF):
                    index = len(self._ends)
                    if index >= count:
                        raise _fork(f"its file holds more than the {count} entries that the store has", index)
                    if index >= self._first_kept and data_leaf != next(kept):
                        raise _fork(f"entry {index} of its file is not the one that the store has", index)
                    self._take(data_leaf, end)
        written = self._ends[-1] if self._ends else 0
        if len(self._ends) < self._first_kept:
            raise _fork(f"its file ends after {len(self._ends)} of {count} entries", len(self._ends))
        if written != length:
            # Torn by a crash: the store still has the whole leaf. A torn one that it lacks was caught above.
            os.ftruncate(self._handle, written)
            os.fsync(self._handle)

    def _read_signed_row(self) -> None:
        row = self._store.get(_TABLE, _SIGNED)
        if row is None:
            return
        if len(row) != 48:
            raise LedgerBroken("the store's note of the last checkpoint is malformed")
        self._signed = Checkpoint(self._origin, int.from_bytes(row[:8], "big"), row[8:40])
        self._first_kept = int.from_bytes(row[40:], "big")

    def _check_signed(self) -> None:
        count = self._store.leaf_count()
        if self._signed.size > count:
            raise _fork(f"{self._signed.size} entries were signed and the store has {count}", count)
        # What a crash kept from the file is still in the store.
        try:
            self._append()
        except OSError as error:
            self._trouble = f"the ledger at {self._directory} cannot be written: {error.strerror}"
        if self._signed.size > len(self._ends):
            raise LedgerUnwritable(self._trouble or f"the ledger at {self._directory} cannot be written")
        if self._tree.root(self._signed.size) != self._signed.root:
            raise _fork(f"its first {self._signed.size} entries are not those that were signed", None)

    def _check_published(self, key: LogKey) -> None:
        """The checkpoint file, which others may have read, must be of this very log's past."""
        path = self._directory / CHECKPOINT
        if not path.exists():
            return
        note = path.read_bytes()
        try:
            checkpoint = Checkpoint.open(note, key)
        except QueenrightError as broken:
            raise LedgerBroken(f"{path} was altered: {broken}") from None
        if checkpoint.size > self._signed.size or self._tree.root(checkpoint.size) != checkpoint.root:
            raise _fork(
                f"a checkpoint of {checkpoint.size} entries was published that it does not lead to", None
            )
        self._published = checkpoint.size, note

    # --- as it grows ----------------------------------------------------------------------------------------

    def _append(self) -> None:
        count = self._store.leaf_count()
        if self._torn:
            # After a failed write or fsync nothing is known of the bytes beyond the last good end: write
            # them again.
            os.ftruncate(self._handle, self._ends[-1] if self._ends else 0)
            self._torn = False
        while len(self._ends) < count:
            batch = self._store.leaves(len(self._ends), _BATCH)
            if not batch:
                raise LedgerBroken(f"the store has no leaf {len(self._ends)} of {count}")
            self._torn = True
            os.lseek(self._handle, self._ends[-1] if self._ends else 0, os.SEEK_SET)
            files.write_all(self._handle, b"".join(map(files.frame, batch)))
            os.fsync(self._handle)
            self._torn = False
            for data_leaf in batch:
                self._take(data_leaf, (self._ends[-1] if self._ends else 0) + 4 + len(data_leaf))

    def _take(self, data_leaf: bytes, end: int) -> None:
        self._tree.append(leaf_hash(data_leaf))
        self._ends.append(end)

    def _sign(self, key: SigningKey) -> None:
        size = len(self._ends)
        if size > self._signed.size:
            # Durable before anybody sees it, and only upwards from what was signed last: never two roots
            # for one size.
            signed = Checkpoint(self._origin, size, self._tree.root(size))
            kept = size if size - self._first_kept >= _KEEP_IN_STORE else self._first_kept
            before = None if self._signed.size == 0 else _row(self._signed, self._first_kept)
            records = (
                ("expect", _TABLE, _SIGNED, before),
                ("put", _TABLE, _SIGNED, _row(signed, kept)),
            )
            self._store.commit(Change(records))
            self._signed = signed
            if kept != self._first_kept:
                self._first_kept = kept
                self._store.drop_leaves_below(kept)
        if self._signed.size and (self._published is None or self._published[0] < self._signed.size):
            note = self._signed.sign(key)
            files.write_whole(self._directory / CHECKPOINT, note)
            self._published = self._signed.size, note
            self._keep_history(note)

    def _keep_history(self, note: bytes) -> None:
        now = self._clock.boot_ms()
        if self._history_at is not None and now - self._history_at < _HISTORY_EVERY_MS:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self._directory / HISTORY, flags, 0o600)
        try:
            files.write_all(handle, files.frame(note))
            os.fsync(handle)
        finally:
            os.close(handle)
        self._history_at = now

    def _line(self, key: LogKey) -> str:
        return vkey(key.name, key.public_key)


def _row(signed: Checkpoint, first_kept: int) -> bytes:
    return signed.size.to_bytes(8, "big") + signed.root + first_kept.to_bytes(8, "big")


def _all_leaves(store: LeafStore, start: int, count: int) -> Iterator[bytes]:
    while start < count:
        batch = store.leaves(start, _BATCH)
        if not batch:
            raise LedgerBroken(f"the store has no leaf {start} of {count}")
        yield from batch
        start += len(batch)


def _fork(what: str, index: int | None) -> LedgerBroken:
    return LedgerBroken(
        f"ledger fork: {what}",
        index=index,
        hint="an older copy of the store or of the ledger was put back, or somebody wrote to one of them",
    )
