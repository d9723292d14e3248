"""What the Rust core gives to every process: canonical bytes, digests, signatures, trees, sanitising, the
view.

Promises: nothing here does I/O or reads a clock; a refusal is an exception of `queenright.errors`. This
package is the only importer of `_core`; `core.cell`, `core.host` and `core.operator` are its other faces,
for a cell, the supervisor and whoever holds an operator's key.
"""

from queenright._core.shared import (
    BIRTHS_A_PART,
    MAX_BIRTHS,
    MAX_DEPTH,
    MAX_VALUES,
    BirthBatch,
    KeyLine,
    Letter,
    MerkleTree,
    SigningKey,
    SshSignature,
    View,
    canonical,
    decode,
    digest,
    leaf_hash,
    merkle_root,
    node_hash,
    parse_key_line,
    sanitize,
    sanitize_name,
    verify,
    verify_consistency,
    verify_inclusion,
    verify_many,
    verify_sshsig,
)

__all__ = [
    "BIRTHS_A_PART",
    "MAX_BIRTHS",
    "MAX_DEPTH",
    "MAX_VALUES",
    "BirthBatch",
    "KeyLine",
    "Letter",
    "MerkleTree",
    "SigningKey",
    "SshSignature",
    "View",
    "canonical",
    "decode",
    "digest",
    "leaf_hash",
    "merkle_root",
    "node_hash",
    "parse_key_line",
    "sanitize",
    "sanitize_name",
    "verify",
    "verify_consistency",
    "verify_inclusion",
    "verify_many",
    "verify_sshsig",
]
