"""Fixtures that more than one folder of tests uses. Helpers live in tests/support and are imported by name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from isolation import Isolation

from queenright.doctor.doctor import examine


def missing() -> str:
    """The steps that this machine refuses, as `queenright doctor` finds them by trying."""
    return "; ".join(f"{feature.name}: {feature.reason}" for feature in examine().missing)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Isolation(missing), "isolation")


@pytest.fixture
def supervised() -> Iterator[object]:
    """A state directory whose socket path is short enough, with nothing running yet."""
    from supervised import Supervised, remove

    base = Path(tempfile.mkdtemp(prefix="qr-"))
    world = Supervised(base)
    try:
        yield world
    finally:
        world.close()
        remove(base)
