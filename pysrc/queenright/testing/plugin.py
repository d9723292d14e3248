"""The pytest plugin of `queenright behaviour test`: the package imported as a cell would, and the `harness` fixture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from queenright.behaviours import Manifest, read_files
from queenright.cell.loader import load
from queenright.errors import QueenrightError
from queenright.testing.harness import Harness
from queenright.testing.package import PACKAGE_VARIABLE

__all__ = ["harness"]


def pytest_configure(config: pytest.Config) -> None:
    """Import the package under test once, and hold it to its manifest."""
    path = os.environ.get(PACKAGE_VARIABLE)
    if path is None:
        return
    try:
        manifest = Manifest.of_files(read_files(path))
        package = {
            "name": manifest.name,
            "path": path,
            "classes": list(manifest.classes),
            "digest": b"",
            "bundle": False,
        }
        for name, loaded in load([package]).items():
            said = manifest.classes[name.partition(".")[2]].cell
            if loaded.cls.cell != said:
                raise pytest.UsageError(
                    f"behaviour.toml says that {name} runs in a {said} cell, its class says {loaded.cls.cell}"
                )
    except QueenrightError as error:
        raise pytest.UsageError(
            f"{error.message} {f'({error.hint})' if error.hint else ''}".strip()
        ) from None


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """A Harness under the `intent.toml` beside the test, if there is one."""
    intent = Path(request.path).parent / "intent.toml"
    found = Harness(intent=intent if intent.exists() else None)
    yield found
    found.close()
