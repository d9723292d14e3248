"""The supervisor's own: the store, the table of agents, the grant tree, restricting oneself."""

from queenright._core.host import (
    AgentTable,
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
    "AgentTable",
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
