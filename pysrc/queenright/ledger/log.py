"""The ledger itself: leaves that the store accepted, in one append-only file, under one hash tree and
signed states.

The store is the truth: a leaf is durable there in the very commit it tells of. The file, the tree and the
checkpoint follow it and are brought up to it at every start. In the other direction nothing gives way: a
file that holds more than the store, other bytes than the store, or another root than was signed is a fork,
and the ledger does not open.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from queenright.clock import Clock
from queenright.core import MerkleTree, SigningKey, leaf_hash
from queenright.errors import LedgerBroken, LedgerUnwritable, Malformed, QueenrightError
from queenright.ledger import files, leaf
from queenright.ledger.checkpoint import Checkpoint, LogKey, vkey
from queenright.ledger.entries_file import EntriesFile
from queenright.ledger.entry import Entry
from queenright.store.change import Change

__all__ = ["CHECKPOINT", "ENTRIES", "HISTORY", "LOG_VKEY", "SIGN_EVERY_MS", "LeafStore", "Ledger"]

ENTRIES: Final = "entries"  # u32 big-endian length and leaf bytes, one after the other
CHECKPOINT: Final = "checkpoint"  # the last signed note
LOG_VKEY: Final = "log.vkey"
HISTORY: Final = "history"  # earlier signed notes, framed like entries

_TABLE: Final = "ledger"
_SIGNED: Final = b"signed"  # size (8), root (32), first leaf the store still holds (8)
_BATCH: Final = 1_000
_KEEP_IN_STORE: Final = 1_000
"""The store lets go of leaves in steps of this many: letting go is a commit of its own."""
SIGN_EVERY_MS: Final = 100
"""A checkpoint costs four waits for the disk, some 20 ms: ten a second leave room for the commits
themselves.
"""
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
        self._signed = Checkpoint(origin, 0, self._tree.root())
        self._first_kept = 0
        self._published: tuple[int, bytes] | None = None
        self._history_at: int | None = None
        self._trouble: str | None = None
        self._signed_at: int | None = None
        self._closed = False
        try:
            files.make_directory(directory)
            self._log_key = self._known_key()
            self._entries = EntriesFile(directory / ENTRIES, leaf.MAX_LEAF)
        except OSError as error:
            raise LedgerUnwritable(f"the ledger at {directory} cannot be opened: {error.strerror}") from error
        try:
            self._load()
            self._check_signed()
            if key is not None:
                self.unlock(key)
        except BaseException:
            self._entries.close()
            raise

    # --- writing --------------------------------------------------------------------------------------------

    def entry(self, entry: Entry) -> Change:
        """What makes `entry` the next leaf, to be committed together with what it tells of. Raises
        Malformed.
        """
        return Change((("leaf", leaf.encode(entry)),))

    def flush(self, *, sign: bool = False) -> None:
        """Bring file and tree up to the store; the checkpoint too, if the last is SIGN_EVERY_MS old, or with
        `sign`.

        Call it after each commit that held leaves, and again SIGN_EVERY_MS later while `unsigned`. Raises
        LedgerUnwritable when the disk refuses: the leaves are safe in the store, and the next flush that
        succeeds makes up for it.
        """
        with self._lock:
            if self._closed:
                raise LedgerUnwritable("the ledger is closed")
            try:
                self._append()
                if self._key is not None and (sign or self._is_due()):
                    self._sign(self._key)
            except (OSError, QueenrightError) as error:
                why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
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
                self.flush(sign=True)

    def close(self) -> None:
        """Sign what is not yet signed, if the disk lets us, and let go of the file. Closing twice is no
        error.
        """
        with self._lock:
            if not self._closed:
                with contextlib.suppress(LedgerUnwritable):
                    self.flush(sign=True)
                self._closed = True
                self._entries.close()

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Entries in the file and the tree."""
        return len(self._entries)

    def root(self, size: int | None = None) -> bytes:
        """The root now, or at an earlier size. Raises Unknown."""
        with self._lock:
            return self._tree.root(size)

    @property
    def vkey(self) -> str | None:
        """The line with which others check the checkpoints; None before the first unlock."""
        return None if self._log_key is None else self._line(self._log_key)

    @property
    def unsigned(self) -> int:
        """Entries that no checkpoint covers yet."""
        return len(self._entries) - (0 if self._published is None else self._published[0])

    def checkpoint(self) -> tuple[int, bytes] | None:
        """How many entries are signed, and the note; of now, if the disk lets us sign. None before the
        first.
        """
        with self._lock, contextlib.suppress(LedgerUnwritable):
            self.flush(sign=True)
        return self._published

    def leaf(self, index: int) -> bytes:
        """The bytes of an entry. Raises Unknown."""
        with self._lock:
            return self._entries.read(index)

    def leaves(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(index, bytes) of the entries `start` .. `end` (not included), upwards."""
        for index in range(max(start, 0), min(self.size if end is None else end, self.size)):
            yield index, self.leaf(index)

    def file_length(self, size: int) -> int:
        """The bytes that the first `size` entries take in the file, from its start. Raises Unknown."""
        with self._lock:
            return self._entries.length(size)

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

    def _load(self) -> None:
        count = self._store.leaf_count()
        self._read_signed_row()
        kept = _kept_leaves(self._store, self._first_kept, count)

        def accept(index: int, data: bytes) -> bool:
            if index >= count:
                # More than the store: an older store was put back, or a crash left junk behind the last entry.
                if _is_entry(data):
                    raise _fork(f"its file holds more than the {count} entries that the store has", index)
                return False
            if index >= self._first_kept and data != next(kept):
                if index < self._signed.size:
                    raise _fork(f"entry {index} of its file is not the one that the store has", index)
                # Not yet durable when the power went: the store has it whole.
                return False
            self._tree.append(leaf_hash(data))
            return True

        self._entries.load(accept)
        if len(self._entries) < self._first_kept:
            raise _fork(f"its file ends after {len(self._entries)} of {count} entries", len(self._entries))

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
        if self._signed.size > len(self._entries):
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
        while len(self._entries) < count:
            batch = self._store.leaves(len(self._entries), _BATCH)
            if not batch:
                raise LedgerBroken(f"the store has no leaf {len(self._entries)} of {count}")
            self._entries.append(batch)
            for data in batch:
                self._tree.append(leaf_hash(data))

    def _is_due(self) -> bool:
        return self._signed_at is None or self._clock.boot_ms() - self._signed_at >= SIGN_EVERY_MS

    def _sign(self, key: SigningKey) -> None:
        self._entries.sync(lambda index: self._store.leaves(index, 1)[0])
        self._signed_at = self._clock.boot_ms()
        size = len(self._entries)
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


def _kept_leaves(store: LeafStore, start: int, count: int) -> Iterator[bytes]:
    while start < count:
        batch = store.leaves(start, _BATCH)
        if not batch:
            raise LedgerBroken(f"the store has no leaf {start} of {count}")
        yield from batch
        start += len(batch)


def _is_entry(data: bytes) -> bool:
    try:
        leaf.decode(data)
    except Malformed:
        return False
    return True


def _fork(what: str, index: int | None) -> LedgerBroken:
    return LedgerBroken(
        f"ledger fork: {what}",
        index=index,
        hint="an older copy of the store or of the ledger was put back, or somebody wrote to one of them",
    )
