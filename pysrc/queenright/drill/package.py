"""The drill's behaviour package as files: what the supervisor installs, and what a drill's intent must pin."""

from __future__ import annotations

from pathlib import Path

from queenright.behaviours import read_files
from queenright.behaviours.files import package_digest

__all__ = ["NAME", "START", "drill_files", "drill_package"]

NAME = "drill"
START = "drill.Warden"


def drill_files() -> dict[str, bytes]:
    """The files, as they are installed beside this one. Nothing of them is imported here."""
    return read_files(Path(__file__).parent / "attacks")


def drill_package() -> tuple[bytes, dict[str, bytes]]:
    """Digest and files."""
    files = drill_files()
    return package_digest(files), files
