"""Where isolation cannot be had, `make test` runs everything else, lists what it could not run, and fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from isolation import Isolation

TESTS = """
import pytest

@pytest.fixture
def supervised(): return 1

@pytest.mark.isolation
def test_marked(): raise AssertionError("ran")

def test_over_a_supervisor(supervised): raise AssertionError("ran")

def test_anything_else(): pass
"""


def run(tmp_path: Path, why: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = isolation: needs a kernel\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    argv = [
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        "-c",
        str(tmp_path / "pytest.ini"),
        str(tmp_path),
    ]
    code = pytest.main(argv, plugins=[Isolation(lambda: why)])
    return int(code), capsys.readouterr().out


def test_what_cannot_be_isolated_is_listed_with_its_step_and_fails_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(tmp_path, "user_namespace: unshare: EPERM", capsys)
    assert code == 1
    assert "1 passed, 2 skipped" in out
    assert "user_namespace: unshare: EPERM" in out
    assert "test_it.py::test_marked" in out
    assert "test_it.py::test_over_a_supervisor" in out


def test_on_a_machine_that_isolates_everything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(tmp_path, "", capsys)
    assert code == 1
    assert "2 failed, 1 passed" in out
    assert "could not run" not in out
