"""What the launcher promises, one function each. `launcher_checks.py NAME` keeps one, as whoever runs it."""

from __future__ import annotations

import asyncio
import sys

import launcher_egress  # noqa: F401 - each adds its checks
import launcher_ending  # noqa: F401
import launcher_limits  # noqa: F401
import launcher_making  # noqa: F401
import launcher_many  # noqa: F401
import launcher_overlay  # noqa: F401
import launcher_tiers
import launcher_wire  # noqa: F401
from launching import (
    BWRAP_CHECKS,
    CHECKS,
    LIMIT_CHECKS,
    MANY_CHECKS,
    OVERLAY_CHECKS,
    ROOT_CHECKS,
    STRICT_CHECKS,
)

__all__ = [
    "BWRAP_CHECKS",
    "CHECKS",
    "LIMIT_CHECKS",
    "MANY_CHECKS",
    "OVERLAY_CHECKS",
    "ROOT_CHECKS",
    "STRICT_CHECKS",
]

# Well above what any needs; the one who started this waits a little longer.
SECONDS = 100.0


EVERY = {
    **CHECKS,
    **ROOT_CHECKS,
    **BWRAP_CHECKS,
    **LIMIT_CHECKS,
    **MANY_CHECKS,
    **STRICT_CHECKS,
    **OVERLAY_CHECKS,
    "root_goes_nowhere_without_namespaces_of_its_own": launcher_tiers.root_goes_nowhere,
}


def main() -> None:
    name = sys.argv[1]
    asyncio.run(asyncio.wait_for(EVERY[name](), SECONDS))


if __name__ == "__main__":
    main()
