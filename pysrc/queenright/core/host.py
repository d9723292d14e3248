"""The supervisor's own: the store, the grant tree, restricting oneself."""

from queenright._core.host import (
    GrantRefused,
    GrantTree,
    check_names,
    resource_covers,
    resource_overlaps,
    verb_covers,
    verb_overlaps,
)

__all__ = [
    "GrantRefused",
    "GrantTree",
    "check_names",
    "resource_covers",
    "resource_overlaps",
    "verb_covers",
    "verb_overlaps",
]
