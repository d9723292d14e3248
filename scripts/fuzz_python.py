"""`make fuzz`, the Python half: `fuzz_python.py SECONDS [NAME ...]`. Each decoder's promise near its seeds, for that long.

What breaks a promise is written to `fuzz/seeds/py_NAME/found-*`, where `make test` runs it from then on, and exits 1.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from decoders import DECODERS  # noqa: E402
from mutation import near  # noqa: E402
from seeds import DIRECTORY, name_of  # noqa: E402

ROUND = 500  # examples between two looks at the clock


def fuzz(name: str, seconds: float) -> int:
    """The number of examples tried. Raises what the decoder raised, with the smallest bytes that do."""
    place = DIRECTORY / f"py_{name}"
    seeds = [path.read_bytes() for path in sorted(place.iterdir())]
    failing = b""
    tried = 0

    def once(data: bytes) -> None:
        nonlocal failing, tried
        tried += 1
        try:
            DECODERS[name].check(data)
        except BaseException:
            failing = data  # hypothesis ends with the smallest
            raise

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run = settings(
            max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )(given(near(seeds))(once))  # fmt: skip
        try:
            seed(secrets.randbits(64))(run)()
        except BaseException:
            (place / name_of(failing)).write_bytes(failing)
            print(f"{name}: broken by {place / name_of(failing)}", file=sys.stderr)
            raise
    return tried


if __name__ == "__main__":
    for one in sys.argv[2:] or sorted(DECODERS):
        print(f"{one}: {fuzz(one, float(sys.argv[1]))} examples", flush=True)
