"""Where isolation cannot be had, `make test` runs everything else, lists what it could not run, and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import isolation
import pytest

CONFTEST = """
from isolation import Isolation

def pytest_configure(config):
    config.pluginmanager.register(Isolation(lambda: {why!r}))
"""
TESTS = """
import pytest

@pytest.fixture
def supervised(): return 1

@pytest.mark.isolation
def test_marked(): raise AssertionError("ran")

def test_over_a_supervisor(supervised): raise AssertionError("ran")

def test_anything_else(): pass
"""


def run(tmp_path: Path, why: str, *more: str) -> tuple[int, str]:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = isolation: needs a kernel\n")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(why=why))
    (tmp_path / "test_it.py").write_text(TESTS)
    env = {**os.environ, "PYTHONPATH": str(Path(isolation.__file__).parent)}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *more]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_what_cannot_be_isolated_is_listed_with_its_step_and_fails_the_run(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    code, out = run(tmp_path, "user_namespace: step clone: not permitted", *workers)
    assert code == 1
    assert "1 passed, 2 skipped" in out
    assert "user_namespace: step clone: not permitted" in out
    assert "test_it.py::test_marked" in out
    assert "test_it.py::test_over_a_supervisor" in out


def test_on_a_machine_that_isolates_everything_runs(tmp_path: Path) -> None:
    code, out = run(tmp_path, "")
    assert code == 1
    assert "2 failed, 1 passed" in out
    assert "could not run" not in out
