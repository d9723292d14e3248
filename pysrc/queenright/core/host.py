"""The supervisor's own: the store, the table of agents, the grant tree, checking sealed mail, restricting oneself."""

from queenright._core.host import (
    AgentTable,
    GrantRefused,
    GrantTree,
    Packet,
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
    verify_record,
)

__all__ = [
    "AgentTable",
    "GrantRefused",
    "GrantTree",
    "Packet",
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
    "verify_record",
]
