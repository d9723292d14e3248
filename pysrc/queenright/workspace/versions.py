"""A workspace's versions, opened where they may be: in an executor, never in the supervisor.

The work is the core's (`queenright-host`, workspace): what an action left in the upper layer of its overlay becomes the next
version, whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from queenright.core.host import Space, collect_contents, forget_versions
from queenright.workspace.beneath import open_root
from queenright.workspace.tree import remove_tree

__all__ = ["collect", "forget", "has_proposals", "has_versions", "opened"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def opened(store: Path, agent: bytes, live: Path) -> Iterator[Space]:
    """The agent's workspace at `live` and its versions in `store`, held until the end of the block. Raises StoreFailed."""
    boot = _BOOT_ID.read_text().strip()
    with (
        _roots(store, live) as (store_root, live_root),
        contextlib.closing(Space(store_root, agent, live_root, boot)) as space,
    ):
        yield space


def collect(store: Path) -> tuple[int, int]:
    """Remove contents that no version refers to: (contents, bytes). Raises Conflict while an action is committed."""
    with _roots(store) as (root,):
        return collect_contents(root)


def forget(store: Path, agent: bytes, live: Path) -> None:
    """Empty the workspace and remove its versions; what only they referred to goes with the next `collect`."""
    with _roots(store, live) as (store_root, live_root):
        for name in os.listdir(live_root):
            remove_tree(live_root, name)
        forget_versions(store_root, agent)


def has_proposals(store: Path, agent: bytes) -> bool:
    """Whether anything is kept for this agent until a person decides. The directory is the store's own, no agent's."""
    try:
        return bool(os.listdir(store / "agents" / agent.hex() / "proposals"))
    except FileNotFoundError:
        return False


def has_versions(store: Path, agent: bytes) -> bool:
    """Whether anything was ever committed for this agent, or begun."""
    return (store / "agents" / agent.hex()).is_dir()


@contextlib.contextmanager
def _roots(*places: Path) -> Iterator[list[int]]:
    """Their descriptors, until the end of the block."""
    with contextlib.ExitStack() as stack:
        descriptors = []
        for place in places:
            descriptors.append(open_root(place))
            stack.callback(os.close, descriptors[-1])
        yield descriptors
