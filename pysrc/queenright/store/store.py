"""The store: one ordered stream of atomic, durable commits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from queenright.core.host import Store as Engine
from queenright.errors import Malformed, QueenrightError
from queenright.store.change import Change, Receipt, Record
from queenright.store.private import PRIVATE_TABLES, Sealer

__all__ = ["MemoryBehind", "Store"]

LeafSubscriber = Callable[[int, Sequence[bytes]], None]

_SEALED_AT = 3  # put, insert and expect keep their value in the fourth part


class MemoryBehind(QueenrightError):
    """A commit stands, but a room's memory could not follow it: the process must end and start from the
    store.
    """

    code = "memory_behind"


class Store:
    """The durable rows, leaves and spent nonces of one supervisor.

    Raises everywhere `StoreFailed` once a commit failed in doubt, `DiskFull` for a commit that had no space.
    """

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        self._subscribers: list[LeafSubscriber] = []
        # Re-entrant, and held over `applied`: memory changes in the order of the commits, whichever thread
        # made them.
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls, directory: Path, journal_key: bytes | None, *, rand: Callable[[int], bytes] = os.urandom
    ) -> Store:
        """Open or make the store in `directory` and hold it against any other process.

        `journal_key`: 32 bytes, or None while the supervisor is locked; then private tables raise `Locked`.
        Raises `Conflict` when another process holds it, `StateTooNew` for a newer version's, `StoreFailed`
        otherwise.
        """
        sealer = Sealer(journal_key, rand)
        return cls(Engine.open(os.fspath(directory)), sealer)

    def unlock(self, journal_key: bytes) -> None:
        """Give the 32-byte journal subkey to a store that was opened without."""
        self._sealer.unlock(journal_key)

    def subscribe_leaves(self, subscriber: LeafSubscriber) -> None:
        """Call `subscriber(first_index, leaves)` after each commit that held leaves, in commit order."""
        self._subscribers.append(subscriber)

    def commit(self, *changes: Change) -> Receipt:
        """Write all records of all changes in one submission; once durable, apply each change to memory.
        When nothing stands, each change's `refused` is called before this raises.

        Raises `core.host.Refused` (nothing stands) when a condition fails, `MemoryBehind` when all stands but
        an `applied` or a leaf subscriber failed.
        """
        with self._lock:
            try:
                records = self._seal([record for change in changes for record in change.records])
                receipt = Receipt(*self._engine.submit(records))
            except BaseException:
                for change in reversed(changes):  # what was held last is given back first
                    change.refused()
                raise
            self._follow(changes, receipt, records)
            return receipt

    def _follow(self, changes: Sequence[Change], receipt: Receipt, records: Sequence[Record]) -> None:
        steps: list[Callable[[], None]] = [change.applied for change in changes]
        if receipt.leaves:
            leaves = tuple(record[1] for record in records if record[0] == "leaf")
            steps += [partial(subscriber, receipt.first_leaf, leaves) for subscriber in self._subscribers]
        failed: Exception | None = None
        for step in steps:
            try:
                step()
            except Exception as error:  # every step runs: one room's fault must not make the others stale
                failed = failed or error
        if failed is not None:
            raise MemoryBehind(
                f"a commit stands that memory did not follow: {type(failed).__name__}",
                hint="restart the supervisor; nothing was lost",
            ) from failed

    def get(self, table: str, key: bytes) -> bytes | None:
        """The row's value, opened when the table is private."""
        value = self._engine.get(table, key)
        return value if value is None or table not in PRIVATE_TABLES else self._sealer.open(table, key, value)

    def scan(
        self, table: str, prefix: bytes = b"", after: bytes | None = None, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Rows (key, value) in key order under `prefix`, past `after`, at most `limit`."""
        rows = self._engine.scan(table, prefix, after, limit)
        if table not in PRIVATE_TABLES:
            return rows
        return [(key, self._sealer.open(table, key, value)) for key, value in rows]

    def count(self, table: str, prefix: bytes = b"") -> int:
        """How many rows have a key under `prefix`."""
        return self._engine.count(table, prefix)

    def counter(self, table: str, key: bytes) -> int:
        """What a counter stands at; 0 when nothing was ever counted. Raises `Malformed` for any other row."""
        value = self._engine.get(table, key)
        if value is None:
            return 0
        if len(value) != 8 or table in PRIVATE_TABLES:
            raise Malformed(f"row {key.hex()} of {table} is not a counter")
        return int.from_bytes(value, "big")

    def leaves(self, start: int, limit: int) -> list[bytes]:
        """Leaves from index `start`, at most `limit`. Raises `Malformed` for an index that was dropped."""
        return self._engine.leaves(start, limit)

    def leaf_count(self) -> int:
        """How many leaves were ever appended: the next one's index."""
        return self._engine.leaf_count()

    def drop_leaves_below(self, index: int) -> None:
        """Forget leaves that are durable in the ledger's own file; their indexes are never given again."""
        self._engine.drop_leaves_below(index)

    def backup(self, path: Path) -> None:
        """Write a whole, consistent copy (0600, private rows still sealed) to `path`, which must not exist."""
        self._engine.backup(os.fspath(path))

    def close(self) -> None:
        """Let go of the directory. Closing twice is no error."""
        with self._lock:
            self._engine.close()
            self._sealer.lock()

    def _seal(self, records: list[Record]) -> list[Record]:
        written: dict[tuple[str, bytes], tuple[bytes, bytes] | None] = {}
        return [self._seal_one(record, written) for record in records]

    def _seal_one(
        self, record: Record, written: dict[tuple[str, bytes], tuple[bytes, bytes] | None]
    ) -> Record:
        if len(record) < _SEALED_AT or record[1] not in PRIVATE_TABLES or record[0] in {"leaf", "spend"}:
            return record
        kind, table, key = record[0], record[1], record[2]
        if kind in {"put", "insert"} and len(record) == _SEALED_AT + 1:
            sealed = self._sealer.seal(table, key, record[3])
            written[table, key] = (sealed, record[3])
            return (kind, table, key, sealed)
        if kind == "delete":
            written[table, key] = None
            return record
        if kind == "expect" and len(record) == _SEALED_AT + 1:
            return (kind, table, key, self._expected(table, key, record[3], written))
        raise Malformed(f"a {kind} record on private table {table}")

    def _expected(
        self,
        table: str,
        key: bytes,
        value: bytes | None,
        written: dict[tuple[str, bytes], tuple[bytes, bytes] | None],
    ) -> bytes | None:
        """The ciphertext whose presence proves that the plaintext is `value`: no two seals of it are equal."""
        if value is None:
            return None
        if (table, key) in written:
            now = written[table, key]
        else:
            sealed = self._engine.get(table, key)
            now = None if sealed is None else (sealed, self._sealer.open(table, key, sealed))
        # An empty value is never a sealed one, so the engine refuses it and names the record.
        return now[0] if now is not None and now[1] == value else b""
