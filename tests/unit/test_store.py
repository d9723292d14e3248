"""The Python face of the store: changes, memory that follows, sealed tables."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from queenright.core.host import Refused
from queenright.errors import Conflict, Locked, Malformed, StateTooNew, StoreFailed
from queenright.store import PRIVATE_TABLES, Change, MemoryBehind, Receipt, Store, join
from queenright.store.change import Record

KEY = bytes(range(32))
PRIVATE = "agent.state"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "state", KEY)


def put(table: str, key: bytes, value: bytes) -> Change:
    return Change((("put", table, key, value),))


def test_memory_changes_only_after_the_commit_stands(store: Store) -> None:
    seen: list[bytes | None] = []
    store.commit(Change((("put", "t", b"k", b"v"),), lambda: seen.append(store.get("t", b"k"))))
    assert seen == [b"v"]
    with pytest.raises(Refused) as refused:
        store.commit(
            Change((("put", "t", b"k", b"w"),), lambda: seen.append(b"never")),
            Change((("insert", "t", b"k", b"x"),), lambda: seen.append(b"never")),
        )
    assert (refused.value.index, refused.value.reason) == (1, "exists")
    assert seen == [b"v"]
    assert store.get("t", b"k") == b"v"


def test_leaf_subscribers_get_indexes_and_bytes_in_commit_order(store: Store) -> None:
    got: list[tuple[int, tuple[bytes, ...]]] = []
    store.subscribe_leaves(lambda first, leaves: got.append((first, tuple(leaves))))
    assert store.commit(Change((("leaf", b"a"), ("put", "t", b"k", b""), ("leaf", b"b")))) == Receipt(0, 2)
    assert store.commit(put("t", b"k", b"v")) == Receipt(2, 0)
    assert store.commit(join([Change((("leaf", b"c"),)), Change((("leaf", b"d"),))])) == Receipt(2, 2)
    assert got == [(0, (b"a", b"b")), (2, (b"c", b"d"))]
    assert store.leaves(1, 2) == [b"b", b"c"]


def test_a_fault_in_one_room_leaves_the_others_up_to_date_and_is_not_silent(store: Store) -> None:
    applied: list[str] = []

    def broken() -> None:
        raise KeyError("a secret that must not be shown")

    with pytest.raises(MemoryBehind) as behind:
        store.commit(
            Change((("put", "t", b"k", b"v"),), broken), Change((), lambda: applied.append("second"))
        )
    assert applied == ["second"]
    assert store.get("t", b"k") == b"v"
    assert "secret" not in str(behind.value)


def test_private_rows_are_sealed_on_disk_and_bound_to_their_place(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    canary = b"canary-" + os.urandom(8).hex().encode()
    with_key = Store.open(directory, KEY)
    with_key.commit(put(PRIVATE, b"agent-1", canary), put("t", b"agent-1", b"clear"))
    assert with_key.get(PRIVATE, b"agent-1") == canary
    assert with_key.scan(PRIVATE) == [(b"agent-1", canary)]
    with_key.close()
    assert not [p for p in directory.iterdir() if canary in p.read_bytes()]

    locked = Store.open(directory, None)
    with pytest.raises(Locked):
        locked.get(PRIVATE, b"agent-1")
    with pytest.raises(Locked):
        locked.commit(put(PRIVATE, b"agent-1", b"x"))
    assert locked.get("t", b"agent-1") == b"clear"
    locked.unlock(bytes(32))
    with pytest.raises(StoreFailed, match="does not open"):
        locked.get(PRIVATE, b"agent-1")
    locked.unlock(KEY)
    # A row that an intruder copied to another agent's place.
    sealed = locked._engine.get(PRIVATE, b"agent-1")
    assert sealed is not None
    locked._engine.submit([("put", PRIVATE, b"agent-2", sealed)])
    with pytest.raises(StoreFailed):
        locked.get(PRIVATE, b"agent-2")


def test_expect_compares_the_plaintext_of_private_rows(store: Store) -> None:
    store.commit(put(PRIVATE, b"a", b"1"))
    for value in (b"2", b"", None):
        with pytest.raises(Refused) as refused:
            store.commit(Change((("leaf", b"x"), ("expect", PRIVATE, b"a", value))))
        assert (refused.value.index, refused.value.reason) == (1, "unexpected")
    store.commit(
        Change(
            (
                ("expect", PRIVATE, b"a", b"1"),
                ("put", PRIVATE, b"a", b"2"),
                ("expect", PRIVATE, b"a", b"2"),
                ("delete", PRIVATE, b"a"),
                ("expect", PRIVATE, b"a", None),
            )
        )
    )
    with pytest.raises(Refused):
        store.commit(Change((("expect", PRIVATE, b"a", b""),)))
    with pytest.raises(Refused):
        store.commit(Change((("delete", PRIVATE, b"a"), ("expect", PRIVATE, b"a", b"2"))))


def test_counters_are_exact_across_threads(store: Store) -> None:
    allowed = []

    def spend() -> None:
        for _ in range(20):
            try:
                store.commit(Change((("count", "budget", b"b", 1, 30),)))
            except Refused as refused:
                assert refused.reason == "above_maximum"  # noqa: PT017
            else:
                allowed.append(1)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == store.counter("budget", b"b") == 30
    assert store.counter("budget", b"never") == 0


@pytest.mark.parametrize(
    "record",
    [
        ("put", "t", b"k"),
        ("put", "t", b"k", b"v", b"w"),
        ("put", "t", "k", b"v"),
        ("put", "t", b"k", "v"),
        ("put", b"t", b"k", b"v"),
        ("put", "t", b"k", [1, 2]),
        ("leaf",),
        ("leaf", "text"),
        ("leaf", b"x", b"y"),
        ("count", "t", b"k", True, 3),
        ("count", "t", b"k", 1, -3),
        ("count", "t", b"k", 1, 2**64),
        ("count", PRIVATE, b"k", 1, 3),
        ("destroy", "t", b"k"),
        ("expect", "t", b"k"),
        (),
    ],
)
def test_a_malformed_record_is_refused_and_nothing_stands(store: Store, record: Record) -> None:
    with pytest.raises((Malformed, TypeError, OverflowError)):
        store.commit(put("t", b"other", b"v"), Change((record,)))
    assert store.count("t") == 0


def test_state_directory_is_refused_with_the_way_out(tmp_path: Path, store: Store) -> None:
    with pytest.raises(Conflict, match=rf"in use by process {os.getpid()}"):
        Store.open(tmp_path / "state", KEY)
    store.close()
    with pytest.raises(StoreFailed, match="closed"):
        store.get("t", b"k")
    Store.open(tmp_path / "state", KEY).close()
    newer = bytearray((tmp_path / "state" / "state.db").read_bytes())
    newer[60:64] = (9).to_bytes(4, "big")  # user_version, SQLite file format section 1.3
    (tmp_path / "state" / "state.db").write_bytes(newer)
    with pytest.raises(StateTooNew, match=r"format 9, this version knows up to 1") as refused:
        Store.open(tmp_path / "state", KEY)
    assert refused.value.hint
    (tmp_path / "state").chmod(0o755)
    with pytest.raises(StoreFailed, match="chmod 700"):
        Store.open(tmp_path / "state", KEY)


def test_every_private_table_has_a_name_the_engine_takes(store: Store) -> None:
    for table in PRIVATE_TABLES:
        store.commit(put(table, b"k", b""))
        assert store.get(table, b"k") == b""
