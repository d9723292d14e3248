"""What an agent can build in its workspace against whoever reads, writes and removes there."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queenright.errors import Conflict, Malformed, QueenrightError, Unknown
from queenright.workspace import (
    Workspaces,
    list_directory,
    open_root,
    read_file,
    remove_tree,
    split_path,
    write_file,
)
from queenright.workspace.beneath import MAX_FILE
from queenright.workspace.tree import walk

AGENT = bytes(range(32))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "ws").mkdir()
    (tmp_path / "outside").write_bytes(b"outside")
    descriptor = open_root(tmp_path / "ws")
    yield descriptor
    os.close(descriptor)


def deep(at: Path, depth: int) -> None:
    here = os.open(at, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "a/..",
        "a/../../outside",
        ".",
        "./a",
        "a//b",
        "a/",
        "/",
        "a\0b",
        "x" * 256,
        "a/" * 3000,
    ],
)
def test_a_path_that_could_lead_out_is_refused(path: str) -> None:
    with pytest.raises(Malformed):
        split_path(path)


@given(st.text(max_size=30))
def test_whatever_is_accepted_is_plain(path: str) -> None:
    try:
        parts = split_path(path)
    except (Malformed, UnicodeEncodeError):
        return
    assert "/".join(parts) == path
    assert not {"", ".", ".."} & set(parts)


def test_no_link_is_followed_at_any_place(root: int, tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    (ws / "file").symlink_to(tmp_path / "outside")
    (ws / "dir").symlink_to(tmp_path)
    (ws / "fd").symlink_to(f"/proc/self/fd/{root}")
    (ws / "here").symlink_to(".")
    for path in ("file", "dir/outside", "fd/x", "here/x"):
        with pytest.raises(QueenrightError):
            read_file(root, path)
        with pytest.raises(QueenrightError):
            write_file(root, path, b"evil", expect=None)
    assert (tmp_path / "outside").read_bytes() == b"outside"


def test_what_is_no_plain_file_is_refused_without_hanging(root: int, tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    os.mkfifo(ws / "fifo")
    (ws / "directory").mkdir()
    os.link(tmp_path / "outside", ws / "hard")
    with (ws / "big").open("wb") as big:
        big.truncate(MAX_FILE + 1)
    for name in ("fifo", "directory", "hard", "big", "fifo/x"):
        with pytest.raises(Malformed):
            read_file(root, name)
        with pytest.raises((Malformed, Conflict)):
            write_file(root, name, b"evil", expect=None)
    assert (tmp_path / "outside").read_bytes() == b"outside"
    with pytest.raises(Unknown):
        read_file(root, "absent")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_another_file_system_is_not_entered() -> None:
    root = open_root(Path("/"))
    try:
        with pytest.raises(Malformed, match=r"file system|not a regular"):
            read_file(root, "proc/version")
    finally:
        os.close(root)


def test_a_write_replaces_exactly_what_was_expected(root: int, tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    write_file(root, "a/b/new", b"one", expect=None)
    one = read_file(root, "a/b/new")
    assert (one.data, one.mode) == (b"one", 0o644)
    with pytest.raises(Conflict):
        write_file(root, "a/b/new", b"two", expect=None)
    write_file(root, "a/b/new", b"two", expect=one.sha256, mode=0o4755)
    assert (ws / "a/b/new").stat().st_mode & 0o7777 == 0o755
    with pytest.raises(Conflict):
        write_file(root, "a/b/new", b"three", expect=one.sha256)
    assert read_file(root, "a/b/new").data == b"two"
    assert os.listdir(ws / "a/b") == ["new"]


def test_a_directory_swapped_for_a_link_while_it_is_used_gains_nothing(root: int, tmp_path: Path) -> None:
    ws, outside = tmp_path / "ws", tmp_path / "secret"
    outside.mkdir()
    (outside / "key").write_bytes(b"secret key")
    (ws / "real").mkdir()
    (ws / "real" / "key").write_bytes(b"own")
    stop = threading.Event()

    def swap() -> None:
        for turn in itertools.count():
            if stop.is_set():
                return
            # The victim may make `real` anew in between: that is its own business, and no way out either.
            with contextlib.suppress(OSError):
                os.rename(ws / "real", ws / f"kept{turn}")
                os.symlink(outside, ws / "real")
                os.unlink(ws / "real")
                os.rename(ws / f"kept{turn}", ws / "real")

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for turns in range(1500):
            try:
                assert read_file(root, "real/key").data == b"own"
                write_file(root, f"real/made{turns}", b"x", expect=None)
            except QueenrightError:
                pass
    finally:
        stop.set()
        attacker.join()
    assert sorted(os.listdir(outside)) == ["key"]


def test_a_directory_removed_while_it_is_written_to_is_a_refusal_that_names_it(
    root: int, tmp_path: Path
) -> None:
    def remove(count: int) -> bytes:
        (tmp_path / "ws" / "new").rmdir()
        return os.urandom(count)

    with pytest.raises(Unknown, match="new/file"):
        write_file(root, "new/file", b"x", expect=None, rand=remove)


def test_a_tree_3000_deep_is_walked_and_removed(tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    ws.mkdir()
    deep(ws, 3000)
    (ws / "d" / "closed").mkdir()
    (ws / "d" / "closed" / "x").write_bytes(b"")
    (ws / "d" / "closed").chmod(0)
    (ws / "link").symlink_to("/")
    root = open_root(ws)
    assert sum(1 for _ in walk(root)) >= 3003
    os.close(root)
    parent = open_root(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    remove_tree(parent, "ws")
    remove_tree(parent, "ws")
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(parent)
    assert not ws.exists()
    assert Path("/etc").is_dir()


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=20
    )
)
def test_any_tree_is_walked_whole_and_removed_whole(shape: object) -> None:
    with tempfile.TemporaryDirectory() as where:
        made: set[tuple[str, ...]] = set()

        def build(at: Path, what: object, parts: tuple[str, ...]) -> None:
            if isinstance(what, dict):
                at.mkdir()
                for name, below in what.items():
                    made.add((*parts, name))
                    build(at / name, below, (*parts, name))
            else:
                at.write_bytes(b"x")

        build(Path(where, "tree"), shape if isinstance(shape, dict) else {}, ())
        root, parent = open_root(Path(where, "tree")), open_root(Path(where))
        assert {parts for _, parts, _ in walk(root)} == made
        remove_tree(parent, "tree")
        os.close(root)
        os.close(parent)
        assert os.listdir(where) == []


def test_a_moved_directory_ends_the_walk_instead_of_leading_it_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "ws" / "a" / "b").mkdir(parents=True)
    (tmp_path / "ws" / "a" / "b" / "x").write_bytes(b"")
    (tmp_path / "other").mkdir()
    root = open_root(tmp_path / "ws")
    steps = walk(root)
    while next(steps)[1] != ("a", "b", "x"):
        pass
    os.rename(tmp_path / "ws" / "a" / "b", tmp_path / "other" / "b")
    with pytest.raises(Conflict, match="moved"):
        next(steps)
    os.close(root)


def test_workspaces_are_private_and_gone_when_removed(tmp_path: Path) -> None:
    given: list[bytes] = []
    spaces = Workspaces(tmp_path / "all", lambda path, agent: given.append(agent))
    with pytest.raises(Unknown):
        spaces.path(AGENT)
    path = spaces.create(AGENT)
    assert spaces.create(AGENT) == path
    assert given == [AGENT]
    assert path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "all").stat().st_mode & 0o777 == 0o700
    (path / "a").write_bytes(b"x" * 40_000)
    assert [(entry.name, entry.kind, entry.size) for entry in list_directory(open_root(path))] == [
        ("a", "file", 40_000)
    ]
    assert spaces.agents() == [AGENT]
    spaces.remove(AGENT)
    spaces.remove(AGENT)
    assert spaces.agents() == []
    (tmp_path / "all" / AGENT.hex()).symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"directory|symbolic"):
        spaces.create(AGENT)
    with pytest.raises(Malformed):
        spaces.create(b"../../etc")
