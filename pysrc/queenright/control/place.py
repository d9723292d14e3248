"""Where the control socket of a state directory is, and the checks both ends make of that place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from queenright.errors import QueenrightError

__all__ = ["MAX_SOCKET_PATH", "check_private", "check_socket_path", "run_directory", "socket_path"]

MAX_SOCKET_PATH = 107  # sun_path of Linux is 108 bytes with its closing zero (unix(7))


def run_directory(state: Path) -> Path:
    """Sockets, login files and process ids of one state directory: 0700, gone at reboot without harm."""
    return state / "run"


def socket_path(state: Path) -> Path:
    """The control socket. Raises QueenrightError if the kernel could not bind it."""
    path = run_directory(state) / "control.sock"
    check_socket_path(path)
    return path


def check_socket_path(path: Path) -> None:
    """Raise QueenrightError for a path that does not fit into a socket address."""
    length = len(os.fsencode(os.path.realpath(path)))
    if length > MAX_SOCKET_PATH:
        raise QueenrightError(
            f"the socket path {path} is {length} bytes; the kernel takes {MAX_SOCKET_PATH}",
            hint="choose a shorter state directory: --state DIR or QUEENRIGHT_STATE",
        )


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
        raise QueenrightError(
            f"{directory} can be written by others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"chmod 700 {directory}",
        )
