"""A package as one piece of bytes: what a cell gets of it by a descriptor, when it started before anybody knew which.

`pack` is the supervisor's, of files whose digest it has just checked; `unpack` is the cell's.
"""

from __future__ import annotations

from collections.abc import Mapping

from queenright.core import canonical, decode
from queenright.errors import Malformed

__all__ = ["pack_bundle", "unpack_bundle"]


def pack_bundle(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a bundle: relative path to content."""
    return canonical({"v": 1, "files": dict(files)})


def unpack_bundle(data: bytes) -> dict[str, bytes]:
    """The files in it. Raises Malformed for anything that `pack_bundle` does not write."""
    body = decode(data)
    if not isinstance(body, dict) or body.keys() != {"v", "files"} or body["v"] != 1:
        raise Malformed("a bundle is a map of files")
    files = body["files"]
    if not isinstance(files, dict) or not all(isinstance(content, bytes) for content in files.values()):
        raise Malformed("a bundle's files are bytes by their path")
    return files
