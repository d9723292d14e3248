"""Blobs: encrypted, bound to their leaf, erasable."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queenright.errors import LedgerBroken, Locked, Malformed, Unknown
from queenright.ledger import Blobs, Evidence
from queenright.ledger import blobs as blobs_module


def files_of(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()]


@given(data=st.binary(max_size=2000))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_blob_reads_back(desk: Any, data: bytes) -> None:
    ref = desk.blobs.put("output", data)
    assert desk.blobs.get(ref) == data
    assert ref.length == len(data)


def test_the_plain_bytes_are_nowhere_on_the_disk(desk: Any) -> None:
    ref = desk.blobs.put("output", b"canary-4711")
    (path,) = files_of(desk.path / "blobs")
    assert b"canary" not in path.read_bytes()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert b"canary" not in repr(ref).encode()


def test_equal_bytes_cannot_be_told_from_the_leaf(desk: Any) -> None:
    one, two = desk.blobs.put("output", b"yes"), desk.blobs.put("output", b"yes")
    assert one.sha256 != two.sha256
    assert one.commitment != two.commitment


def test_one_flipped_bit_is_seen(desk: Any) -> None:
    ref = desk.blobs.put("output", b"hello")
    (path,) = files_of(desk.path / "blobs")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(LedgerBroken):
            desk.blobs.get(ref)


def test_a_blob_is_what_its_leaf_commits_to(desk: Any) -> None:
    ref = desk.blobs.put("output", b"hello")
    other = desk.blobs.put("output", b"other")
    for wrong in (
        replace(ref, commitment=other.commitment),
        replace(ref, length=4),
        replace(ref, role="args"),
        replace(other, commitment=ref.commitment),
    ):
        with pytest.raises(LedgerBroken):
            desk.blobs.get(wrong)


def test_another_key_does_not_open_it(desk: Any) -> None:
    ref = desk.blobs.put("output", b"hello")
    with pytest.raises(LedgerBroken):
        Blobs(desk.path / "blobs", b"k" * 32).get(ref)
    with pytest.raises(ValueError, match="32 are needed"):
        Blobs(desk.path / "blobs", b"short")


def test_locked_blobs_neither_read_nor_write(desk: Any) -> None:
    ref = desk.blobs.put("output", b"hello")
    locked = Blobs(desk.path / "blobs", None)
    for use in (lambda: locked.get(ref), lambda: locked.put("output", b"x")):
        with pytest.raises(Locked):
            use()
    locked.unlock(bytes(32))
    assert locked.get(ref) == b"hello"


def test_an_erased_blob_is_gone_and_says_so(desk: Any) -> None:
    ref = desk.blobs.put("output", b"hello")
    desk.blobs.erase(ref)
    desk.blobs.erase(ref)
    with pytest.raises(Unknown, match="erased"):
        desk.blobs.get(ref)


def test_a_blob_has_a_bound(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_module, "MAX_BLOB", 10)
    desk.blobs.put("output", b"x" * 10)
    with pytest.raises(Malformed):
        desk.blobs.put("output", b"x" * 11)


def test_evidence_is_named_by_its_bytes(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "evidence")
    assert evidence.names() == []
    name = evidence.put(b"document")
    assert evidence.put(b"document") == name
    assert evidence.names() == [name]
    assert evidence.get(name) == b"document"
    (tmp_path / "evidence" / name.hex()).write_bytes(b"documenu")
    with pytest.raises(LedgerBroken):
        evidence.get(name)
    with pytest.raises(Unknown):
        evidence.get(bytes(32))
    with pytest.raises(Malformed):
        evidence.put(b"x" * (1024 * 1024 + 1))
