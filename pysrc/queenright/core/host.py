"""The supervisor's own: the store, the grant tree, restricting oneself."""

from queenright._core.host import (
    GrantRefused,
    GrantTree,
    Refused,
    Store,
    check_names,
    harden_process,
    resource_covers,
    resource_overlaps,
    restrict_self,
    sealing_keypair,
    verb_covers,
    verb_overlaps,
)

__all__ = [
    "GrantRefused",
    "GrantTree",
    "Refused",
    "Store",
    "check_names",
    "harden_process",
    "resource_covers",
    "resource_overlaps",
    "restrict_self",
    "sealing_keypair",
    "verb_covers",
    "verb_overlaps",
]
