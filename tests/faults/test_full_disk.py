"""A disk that fills up under a running supervisor: nothing unrecorded happens, nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from counting import COUNTER, INTENT, ticks
from supervised import Supervised


@pytest.fixture
def small() -> Iterator[Supervised]:
    """A state directory on a file system of its own, 24 MiB large."""
    base = Path(tempfile.mkdtemp(prefix="qr-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "queenright-test", str(base)], check=True)
    world = Supervised(base)
    try:
        yield world
    finally:
        world.close()
        subprocess.run(["umount", "-l", str(base)], check=True)
        base.rmdir()


def fill(path: Path) -> None:
    """Write until the file system has no room left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@pytest.mark.root
@pytest.mark.isolation
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system to fill")
def test_a_full_disk_stops_acts_and_loses_nothing(small: Supervised) -> None:
    small.up()
    small.add("counter", COUNTER, classes='"Counter"')
    small.apply(INTENT)
    small.until("some ticks", lambda: ticks(small) >= 3)
    filler = small.base / "filler"
    fill(filler)
    small.until(
        "the trouble is known",
        lambda: "full" in small.paths.log.read_text() or not small.call("health")["ledger_ok"],
    )
    before = ticks(small)
    assert small.daemon is not None
    assert small.daemon.poll() is None, "the supervisor stays up"
    filler.unlink()
    small.until("counting goes on", lambda: ticks(small) > before + 3)
    lines = [line for line in small.log("n/counter") if line.startswith("tick ")]
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == sorted(numbers), "a state that was acknowledged never goes back"
    assert small.down() == 0
