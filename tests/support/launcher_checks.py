"""What the launcher promises, one function each. `launcher_checks.py NAME` keeps one, as whoever runs it."""

from __future__ import annotations

import asyncio
import sys

import launcher_ending  # noqa: F401 - each adds its checks
import launcher_making  # noqa: F401
import launcher_overlay  # noqa: F401
import launcher_wire  # noqa: F401
from launching import CHECKS, ROOT_CHECKS

__all__ = ["CHECKS", "ROOT_CHECKS"]

# Well above what any needs; the one who started this waits a little longer.
SECONDS = 100.0


def main() -> None:
    name = sys.argv[1]
    asyncio.run(asyncio.wait_for({**CHECKS, **ROOT_CHECKS}[name](), SECONDS))


if __name__ == "__main__":
    main()
