"""The ledger follows the store, and refuses to be anything else than its continuation."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from queenright.core import SigningKey, leaf_hash, verify_consistency, verify_inclusion
from queenright.errors import LedgerBroken, LedgerUnwritable, Malformed, Unknown
from queenright.ledger import Checkpoint, Entry, LogKey, Supervisor, files, leaf
from queenright.ledger import log as log_module
from queenright.ledger.log import SIGN_EVERY_MS


def entry(number: int) -> Entry:
    return Entry("cell.started", number, Supervisor(), facts={"cell": f"cell-{number}"})


def test_each_commit_ends_under_a_checkpoint(desk: Any) -> None:
    for count in range(1, 6):
        desk.write(1)
        checkpoint = Checkpoint.open(desk.note(), LogKey.parse(desk.vkey()))
        assert (checkpoint.size, checkpoint.root) == (count, desk.ledger.root())
        assert (desk.path / "ledger" / "checkpoint").read_bytes() == desk.note()


def test_entries_read_back_in_order(desk: Any) -> None:
    desk.write(5)
    assert [leaf.decode(data).t_ms for _, data in desk.ledger.leaves()] == [0, 1, 2, 3, 4]
    assert [index for index, _ in desk.ledger.leaves(2, 4)] == [2, 3]
    for index in (-1, 5):
        with pytest.raises(Unknown):
            desk.ledger.leaf(index)


def test_inclusion_and_consistency_verify_for_outsiders(desk: Any) -> None:
    desk.write(9)
    root = desk.ledger.root()
    for index in range(9):
        proof = desk.ledger.inclusion(index, 9)
        verify_inclusion(index, 9, leaf_hash(desk.ledger.leaf(index)), proof, root)
    verify_consistency(4, 9, desk.ledger.root(4), root, desk.ledger.consistency(4, 9))


def test_a_restart_continues_where_it_was(desk: Any) -> None:
    desk.write(3)
    before = desk.ledger.root()
    desk.reopen()
    assert (desk.ledger.size, desk.ledger.root()) == (3, before)
    desk.write(2)
    assert desk.ledger.root(3) == before
    assert desk.verify(desk.export(), desk.note()).exit_code == 0


def test_leaves_committed_before_a_crash_are_written_after_it(desk: Any) -> None:
    desk.write(2)
    desk.store.commit(desk.ledger.entry(entry(7)), desk.ledger.entry(entry(8)))
    assert desk.ledger.size == 2
    desk.crash()
    assert [leaf.decode(data).t_ms for _, data in desk.ledger.leaves()] == [0, 1, 7, 8]
    assert desk.ledger.checkpoint()[0] == 4


@pytest.mark.parametrize("junk", [b"\0" * 4096, b"\xff" * 50, b"\0\0\0\x05hello", b"\0\0\0\x00"])
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_what_was_not_yet_durable_when_the_power_went_is_written_again(
    desk: Any, junk: bytes, keep: int
) -> None:
    """A file system may have grown the file without its bytes, or lost some of them."""
    desk.write(2)
    path = desk.path / "ledger" / "entries"
    durable = path.stat().st_size
    desk.store.commit(desk.ledger.entry(entry(7)), desk.ledger.entry(entry(8)))
    desk.ledger.flush()
    whole = path.read_bytes()
    path.write_bytes(whole[: durable + min(keep, len(whole) - durable)] + junk)
    desk.crash()
    assert desk.verify(desk.export(), desk.note()).exit_code == 0
    assert path.read_bytes() == whole


def test_a_checkpoint_is_signed_when_it_is_due_or_wanted(desk: Any) -> None:
    desk.write(1)
    path = desk.path / "ledger" / "checkpoint"
    signed = path.read_bytes()
    desk.store.commit(desk.ledger.entry(entry(2)))
    desk.ledger.flush()
    assert (desk.ledger.size, desk.ledger.unsigned, path.read_bytes()) == (2, 1, signed)
    desk.clock.advance(SIGN_EVERY_MS)
    desk.ledger.flush()
    assert (desk.ledger.unsigned, path.read_bytes() == signed) == (0, False)
    desk.store.commit(desk.ledger.entry(entry(3)))
    desk.ledger.flush()
    assert desk.ledger.checkpoint()[0] == 3, "whoever asks gets the present"
    desk.store.commit(desk.ledger.entry(entry(4)))
    desk.reopen()
    assert desk.ledger.unsigned == 0


def test_what_an_fsync_failed_on_is_written_again(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel may drop the bytes that an fsync failed on, and let the next one succeed."""
    desk.write(1)
    path = desk.path / "ledger" / "entries"
    durable = path.stat().st_size
    real, inode = os.fsync, os.stat(path).st_ino

    def drop(handle: int) -> None:
        if os.fstat(handle).st_ino == inode:
            path.write_bytes(path.read_bytes()[:durable] + b"\0" * (path.stat().st_size - durable))
            raise OSError(5, "Input/output error")
        real(handle)

    desk.store.commit(desk.ledger.entry(entry(2)))
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", drop)
        with pytest.raises(LedgerUnwritable, match="Input/output error"):
            desk.ledger.flush(sign=True)
    desk.ledger.flush(sign=True)
    assert leaf.decode(desk.ledger.leaf(1)).t_ms == 2
    assert desk.verify(desk.export(), desk.note()).exit_code == 0


@pytest.mark.parametrize("cut", [1, 3, 20, 120])
def test_an_entry_torn_by_a_crash_is_written_again(desk: Any, cut: int) -> None:
    desk.write(2)
    path = desk.path / "ledger" / "entries"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    desk.crash()
    desk.ledger.checkpoint()
    assert path.read_bytes() == whole


def test_a_lost_entries_file_is_rebuilt_byte_for_byte(desk: Any) -> None:
    desk.write(4)
    desk.close()
    path = desk.path / "ledger" / "entries"
    whole = path.read_bytes()
    path.unlink()
    desk.open()
    assert path.read_bytes() == whole


def test_a_lost_checkpoint_is_signed_again_the_same(desk: Any) -> None:
    desk.write(4)
    note = desk.note()
    desk.close()
    (desk.path / "ledger" / "checkpoint").unlink()
    desk.open()
    assert desk.note() == note == (desk.path / "ledger" / "checkpoint").read_bytes()


def broken_on_open(desk: Any, match: str, **how: Any) -> None:
    with pytest.raises(LedgerBroken, match=match):
        desk.open(**how)
    # So that the fixture can close what it holds.
    shutil.rmtree(desk.path / "ledger")
    shutil.rmtree(desk.path / "store")
    (desk.path / "store").mkdir(mode=0o700)
    desk.open()


def test_an_older_store_put_back_is_a_fork(desk: Any) -> None:
    desk.write(2)
    desk.close()
    shutil.copytree(desk.path / "store", desk.path / "older")
    desk.open()
    desk.write(2)
    desk.close()
    shutil.rmtree(desk.path / "store")
    shutil.copytree(desk.path / "older", desk.path / "store")
    os.chmod(desk.path / "store", 0o700)
    broken_on_open(desk, "ledger fork: its file holds more than the 2 entries")


def test_an_older_store_and_older_entries_still_meet_the_published_checkpoint(desk: Any) -> None:
    desk.write(2)
    desk.close()
    shutil.copytree(desk.path / "store", desk.path / "older")
    entries = desk.path / "ledger" / "entries"
    older_entries = entries.read_bytes()
    desk.open()
    desk.write(2)
    desk.close()
    shutil.rmtree(desk.path / "store")
    shutil.copytree(desk.path / "older", desk.path / "store")
    os.chmod(desk.path / "store", 0o700)
    entries.write_bytes(older_entries)
    broken_on_open(desk, "ledger fork: a checkpoint of 4 entries was published")


def test_an_edited_entry_is_a_fork(desk: Any) -> None:
    desk.write(3)
    desk.close()
    path = desk.path / "ledger" / "entries"
    path.write_bytes(path.read_bytes().replace(b"cell-1", b"cell-9"))
    broken_on_open(desk, "ledger fork: entry 1 of its file")


def test_an_edited_entry_that_the_store_let_go_of_is_a_fork_too(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_KEEP_IN_STORE", 2)
    desk.write(6)
    with pytest.raises(Malformed):
        desk.store.leaves(0, 1)
    desk.reopen()
    assert desk.ledger.size == 6
    desk.close()
    path = desk.path / "ledger" / "entries"
    path.write_bytes(path.read_bytes().replace(b"cell-1", b"cell-9"))
    broken_on_open(desk, "ledger fork: its first 6 entries are not those that were signed")


def test_a_cut_file_that_the_store_cannot_mend_is_a_fork(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_KEEP_IN_STORE", 2)
    desk.write(6)
    desk.close()
    path = desk.path / "ledger" / "entries"
    path.write_bytes(path.read_bytes()[:200])
    broken_on_open(desk, "ledger fork: its file ends after")


def test_another_key_or_name_never_continues_a_ledger(desk: Any) -> None:
    desk.write(1)
    desk.close()
    with pytest.raises(LedgerBroken, match="this ledger's key is"):
        desk.open(key=SigningKey.from_seed(b"x" * 32))
    broken_on_open(desk, "this ledger's key is", origin="elsewhere/ledger")


def test_an_altered_checkpoint_keeps_the_ledger_shut(desk: Any) -> None:
    desk.write(1)
    desk.close()
    path = desk.path / "ledger" / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n1\n", b"\n2\n"))
    broken_on_open(desk, "was altered")


def test_a_locked_ledger_records_and_signs_once_unlocked(desk: Any) -> None:
    desk.write(1)
    desk.reopen(locked=True)
    with pytest.raises(LedgerUnwritable, match="locked"):
        desk.ledger.require_writable()
    desk.write(1)
    assert (desk.ledger.size, desk.ledger.checkpoint()) == (2, None)
    desk.ledger.unlock(desk.log_key)
    desk.ledger.require_writable()
    assert desk.ledger.checkpoint()[0] == 2


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_disk_that_refuses_stops_acting_until_it_gives_way(
    desk: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    desk.write(2)
    ledger_files = {os.stat(path).st_ino for path in (desk.path / "ledger").iterdir()}
    real = getattr(os, step)
    refusing = True

    def refuse(first: Any, *rest: Any) -> Any:
        in_ledger = step == "replace" or os.fstat(first).st_ino in ledger_files
        if refusing and in_ledger:
            raise OSError(28, "No space left on device")
        return real(first, *rest)

    monkeypatch.setattr(files.os, step, refuse)
    for _ in range(2):
        desk.store.commit(desk.ledger.entry(entry(9)))
        with pytest.raises(LedgerUnwritable, match="No space left"):
            desk.ledger.flush(sign=True)
        with pytest.raises(LedgerUnwritable, match="No space left"):
            desk.ledger.require_writable()
    refusing = False
    desk.ledger.flush()
    desk.ledger.require_writable()
    assert desk.ledger.size == 4
    assert desk.verify(desk.export(), desk.note()).exit_code == 0


def test_a_write_that_stops_halfway_leaves_no_trace(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(1)
    real = os.write
    calls = 0

    def half(handle: int, data: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        return real(handle, data[: len(data) // 2])

    monkeypatch.setattr(files.os, "write", half)
    desk.store.commit(desk.ledger.entry(entry(9)))
    with pytest.raises(LedgerUnwritable):
        desk.ledger.flush()
    monkeypatch.setattr(files.os, "write", real)
    desk.crash()
    assert desk.ledger.size == 2
    assert desk.verify(desk.export(), desk.note()).exit_code == 0


def test_a_full_disk_does_not_keep_the_ledger_from_opening(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write(2)
    desk.store.commit(desk.ledger.entry(entry(9)))

    def refuse(handle: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    real = os.write
    monkeypatch.setattr(files.os, "write", refuse)
    desk.crash()
    with pytest.raises(LedgerUnwritable, match="No space left"):
        desk.ledger.require_writable()
    assert desk.ledger.size == 2
    monkeypatch.setattr(files.os, "write", real)
    desk.ledger.flush()
    desk.ledger.require_writable()
    assert desk.ledger.size == 3


def test_a_crash_between_any_two_steps_of_a_flush_is_made_up_for(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step after which a flush can stop: the next start carries on, and the ledger verifies."""
    desk.write(1)
    steps = [
        (files.os, "fsync"),
        (log_module.files, "write_all"),
        (log_module.files, "write_whole"),
        (desk.store, "commit"),
        (log_module.Ledger, "_keep_history"),
    ]

    class PowerCut(BaseException):
        pass

    def cut(*_: Any, **__: Any) -> None:
        raise PowerCut

    for number, (where, name) in enumerate(steps):
        desk.store.commit(desk.ledger.entry(entry(100 + number)))
        desk.clock.advance(100_000)
        target = desk.store if where.__class__.__name__ == "Store" else where
        with monkeypatch.context() as patch:
            patch.setattr(target, name, cut)
            with pytest.raises(PowerCut):
                desk.ledger.flush(sign=True)
        desk.crash()
        assert desk.ledger.size == 2 + number
        assert desk.verify(desk.export(f"copy{number}"), desk.note()).exit_code == 0


def test_earlier_checkpoints_are_kept_one_a_minute(desk: Any) -> None:
    history = desk.path / "ledger" / "history"
    desk.write(3)
    desk.clock.advance(60_000)
    desk.write(2)
    key = LogKey.parse(desk.vkey())
    notes = [note for _, note in files.frames(history.read_bytes(), 10_000)]
    assert [Checkpoint.open(note, key).size for note in notes] == [1, 4]


def test_a_closed_ledger_says_so(desk: Any) -> None:
    desk.write(1)
    desk.ledger.close()
    desk.ledger.close()
    with pytest.raises(LedgerUnwritable, match="closed"):
        desk.ledger.flush()


def test_only_its_owner_may_read_the_ledger(desk: Any) -> None:
    desk.write(1)
    assert os.stat(desk.path / "ledger").st_mode & 0o777 == 0o700
    for path in (desk.path / "ledger").iterdir():
        assert os.stat(path).st_mode & 0o777 == 0o600, path


def test_a_link_in_place_of_the_entries_is_not_followed(tmp_path: Path, desk: Any) -> None:
    desk.close()
    path = desk.path / "ledger" / "entries"
    path.unlink()
    (tmp_path / "elsewhere").touch()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerUnwritable):
        desk.open()
    path.unlink()
    desk.open()
