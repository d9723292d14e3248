"""The check both ends make of the place where a control socket lies."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from queenright.errors import QueenrightError

__all__ = ["check_private"]


def check_private(directory: Path, uids: frozenset[int]) -> None:
    """Raise QueenrightError unless the directory belongs to one of `uids` and no one else may write in it.

    Whoever can write there could put a socket of their own in the supervisor's place.
    """
    found = os.stat(directory)
    if not stat.S_ISDIR(found.st_mode):
        raise QueenrightError(f"{directory} is not a directory")
    if found.st_uid not in uids:
        raise QueenrightError(
            f"{directory} belongs to uid {found.st_uid}", hint="choose a directory of your own"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise QueenrightError(
            f"others may write in {directory} (mode {mode:04o})", hint=f"chmod 700 {directory}"
        )
