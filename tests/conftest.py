"""Fixtures that more than one folder of tests uses. Helpers live in tests/support and are imported by name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


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
