"""The examples: small, and their own tests pass as `queenright behaviour test` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from queenright.behaviours import Manifest, read_files
from queenright.errors import Malformed
from queenright.testing import run_behaviour_tests

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = sorted(path.parent for path in EXAMPLES.glob("*/behaviour.toml"))


def test_there_are_three() -> None:
    assert [path.name for path in PACKAGES] == ["hello", "restarter", "wordcount"]


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.name)
def test_an_example_is_under_forty_lines_and_passes_its_own_tests(path: Path) -> None:
    manifest = Manifest.of_files(read_files(path))
    source = (path / f"{manifest.name}.py").read_text()
    assert len(source.splitlines()) < 40
    assert run_behaviour_tests(path) == 0


def test_a_failing_test_a_missing_one_and_a_lying_manifest_are_failures(tmp_path: Path) -> None:
    (tmp_path / "behaviour.toml").write_text('name = "one"\nversion = "1"\nclasses = ["One"]\n')
    (tmp_path / "one.py").write_text(
        "from queenright.agent import Agent\n\n\nclass One(Agent):\n    cell = 'own'\n"
    )
    assert (
        run_behaviour_tests(tmp_path) == 1
    )  # the class wants a cell of its own and the manifest does not say so
    (tmp_path / "one.py").write_text("from queenright.agent import Agent\n\n\nclass One(Agent): ...\n")
    assert run_behaviour_tests(tmp_path) == 1  # no tests
    (tmp_path / "test_one.py").write_text("def test_no():\n    assert False\n")
    assert run_behaviour_tests(tmp_path) == 1
    (tmp_path / "test_one.py").write_text(
        "from one import One\n\n\ndef test_yes(harness):\n    harness.start(One)\n"
    )
    assert run_behaviour_tests(tmp_path) == 0
    with pytest.raises(Malformed):
        run_behaviour_tests(tmp_path / "..")
