"""A command's undo gives the workspace back as it was, whatever the command did."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queenright.errors import Conflict
from queenright.workspace import snapshot
from queenright.workspace.snapshot import marks

NAMES = st.lists(st.sampled_from(["a", "b", "c\u00e9", "d d"]), min_size=1, max_size=3).map("/".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.binary(max_size=20)),
        st.tuples(st.just("link"), NAMES, st.sampled_from(["/etc/passwd", "../x", "a"])),
        st.tuples(st.just("mkdir"), NAMES, st.none()),
        st.tuples(st.just("remove"), NAMES, st.none()),
        st.tuples(st.just("mode"), NAMES, st.sampled_from([0o600, 0o755, 0o644])),
        st.tuples(st.just("fifo"), NAMES, st.none()),
    ),
    max_size=8,
)


def do(root: Path, steps: list[tuple[str, str, object]]) -> None:
    """What a command might: each step that makes no sense there is left out."""
    for kind, name, what in steps:
        path = root / name
        try:
            if kind == "write":
                assert isinstance(what, bytes)
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.is_symlink():
                    path.write_bytes(what)
            elif kind == "link":
                path.symlink_to(str(what))
            elif kind == "mkdir":
                path.mkdir(parents=True)
            elif kind == "fifo":
                os.mkfifo(path)
            elif kind == "mode" and not path.is_symlink() and path.is_file():
                assert isinstance(what, int)
                path.chmod(what)
            elif kind == "remove" and not path.is_symlink() and path.is_dir():
                path.rmdir()
            elif kind == "remove":
                path.unlink()
        except OSError:
            continue


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS)
def test_undo_gives_back_exactly_what_was(
    before: list[tuple[str, str, object]], command: list[tuple[str, str, object]]
) -> None:
    with tempfile.TemporaryDirectory() as base:
        root, keep = Path(base, "ws"), Path(base, "keep")
        root.mkdir()
        keep.mkdir()
        do(root, [step for step in before if step[0] != "fifo"])
        was = snapshot.take(root, keep)
        assert was is not None
        do(root, command)
        left = marks(root)
        assert left is not None
        changed = snapshot.changes(was, left)
        snapshot.forget_unchanged(keep, changed)
        assert len(os.listdir(keep / "files")) <= len(changed)
        assert snapshot.restore(root, keep, changed) == len(changed)
        assert marks(root) == was


def test_a_change_by_somebody_else_stops_the_undo_before_anything_is_touched(tmp_path: Path) -> None:
    root, keep = tmp_path / "ws", tmp_path / "keep"
    root.mkdir()
    keep.mkdir()
    for name in ("a", "b"):
        (root / name).write_text("before")
    was = snapshot.take(root, keep)
    assert was is not None
    for name in ("a", "b"):
        (root / name).write_text("after")
    left = marks(root)
    assert left is not None
    changed = snapshot.changes(was, left)
    (root / "b").write_text("somebody else's")
    with pytest.raises(Conflict, match="'b' was changed since"):
        snapshot.restore(root, keep, changed)
    assert ((root / "a").read_text(), (root / "b").read_text()) == ("after", "somebody else's")


def test_past_the_bounds_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, keep = tmp_path / "ws", tmp_path / "keep"
    root.mkdir()
    keep.mkdir()
    (root / "big").write_bytes(b"x" * 1001)
    monkeypatch.setattr(snapshot, "MAX_KEPT_BYTES", 1000)
    assert snapshot.take(root, keep) is None
    assert os.listdir(keep) == []
    monkeypatch.setattr(snapshot, "MAX_KEPT_BYTES", 10_000)
    monkeypatch.setattr(snapshot, "MAX_KEPT_FILES", 2)
    for name in "abc":
        (root / name).write_bytes(b"")
    assert snapshot.take(root, keep) is None
