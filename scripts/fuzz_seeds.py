"""Write `fuzz/seeds`: real values for every decoder to begin from, the same at each run. `tests/property/test_decoders.py`
fails when they are stale. What a fuzzer found lies beside them as `found-*` and is left alone."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from seeds import SEEDS, write  # noqa: E402

if __name__ == "__main__":
    write(SEEDS)
