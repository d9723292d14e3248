"""The directory of workspaces: one for each agent, made when it is born, removed when its retention is
over.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from queenright.errors import Malformed, Unknown
from queenright.workspace.beneath import open_root
from queenright.workspace.tree import remove_tree

__all__ = ["Quota", "Workspaces"]


@dataclass(frozen=True, slots=True)
class Quota:
    """The most one workspace may hold, and so the most that one command may change."""

    bytes: int = 512 << 20
    files: int = 100_000


class Workspaces:
    """The workspaces below `root`, which is made 0700. `give` hands a new one to its agent's kernel uid."""

    def __init__(self, root: Path, give: Callable[[Path, bytes], None] | None = None) -> None:
        root.mkdir(mode=0o700, exist_ok=True)
        self._root = root
        self._give = give

    def create(self, agent: bytes) -> Path:
        """The agent's workspace, made (0700) if it is not there yet."""
        path = self._path(agent)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            os.close(open_root(path))  # a directory and no link, or refused
        else:
            if self._give is not None:
                self._give(path, agent)
        return path

    def path(self, agent: bytes) -> Path:
        """Where the agent's workspace is. Raises `Unknown` when it has none."""
        path = self._path(agent)
        if path.is_symlink() or not path.is_dir():
            raise Unknown(f"agent {agent.hex()[:12]} has no workspace")
        return path

    def agents(self) -> list[bytes]:
        """Agents that have a workspace, dead ones included."""
        return sorted(bytes.fromhex(entry.name) for entry in self._root.iterdir() if len(entry.name) == 64)

    def remove(self, agent: bytes) -> None:
        """Remove the workspace and all in it. None there is no error."""
        self._path(agent)
        parent = open_root(self._root)
        try:
            remove_tree(parent, agent.hex())
        finally:
            os.close(parent)

    def _path(self, agent: bytes) -> Path:
        if len(agent) != 32:
            raise Malformed("an agent's id has 32 bytes")
        return self._root / agent.hex()
