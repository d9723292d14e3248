"""A write that the kernel refuses in the middle of a commit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from queenright.store import Store

CHILD = """
import resource, signal, sys
from pathlib import Path
from queenright.errors import DiskFull, StoreFailed
from queenright.store import Change, Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(Path(sys.argv[1]), None)
store.commit(Change((("put", "t", b"before", b"v"), ("leaf", b"0"))))
wal = Path(sys.argv[1], "state.db-wal").stat().st_size
# From here a write past the log's present size fails with EFBIG, as a broken disk's would.
resource.setrlimit(resource.RLIMIT_FSIZE, (wal, wal))
try:
    store.commit(Change((("put", "t", b"lost", b"v" * 20000), ("leaf", b"1"))))
except DiskFull:
    raise SystemExit("taken for a full disk")
except StoreFailed as failed:
    print("first:", failed)
for act in (lambda: store.commit(Change((("leaf", b"x"),))), lambda: store.get("t", b"before")):
    try:
        act()
    except StoreFailed as failed:
        print("then:", failed.code)
"""


def test_after_a_failed_write_nothing_is_accepted_and_nothing_is_half_done(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = subprocess.run(
        [sys.executable, "-c", CHILD, state], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("first: the store failed")
    assert run.stdout.count("then: store_failed") == 2
    again = Store.open(state, None)
    assert (again.count("t"), again.leaf_count()) == (1, 1)
