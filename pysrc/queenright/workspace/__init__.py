"""Agents' files: one private directory each, reached only by paths that cannot lead out of it.

Promises: no path an agent chooses leaves its workspace, by link, `..`, mount or hard link; sizes and counts
are bounded; any tree an agent can build can be listed and removed; what an action changed is a version, kept whole or
not at all. Knows `core` and `errors`, and nothing above.
"""

from queenright.workspace.beneath import FileVersion, open_root, read_file, split_path, write_file
from queenright.workspace.tree import list_directory, remove_tree
from queenright.workspace.workspaces import Quota, Workspaces

__all__ = [
    "FileVersion",
    "Quota",
    "Workspaces",
    "list_directory",
    "open_root",
    "read_file",
    "remove_tree",
    "split_path",
    "write_file",
]
