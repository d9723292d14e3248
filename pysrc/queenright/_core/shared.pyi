"""What every process needs. Kept equal to the Rust face: stubtest checks."""

from collections.abc import Sequence
from typing import Any, Final, final

MAX_DEPTH: Final = 32
"""Lists and maps inside each other in canonical bytes."""

def canonical(value: Any) -> bytes:
    """The one byte string of `value`: None, bool, int (-2**63 .. 2**64 - 1), finite float, str, bytes, list, tuple, dict[str, ...].

    Raises Malformed for anything else, and for more than MAX_DEPTH containers inside each other.
    """

def decode(data: bytes) -> Any:
    """The value whose canonical bytes are exactly `data`; tuples come back as lists. Raises Malformed."""

def digest(kind: str, data: bytes) -> bytes:
    """SHA-256 of `"queenright/" + kind + "/v1" + NUL + data`, 32 bytes. Raises Malformed for a kind not of [a-z0-9._-]{1,64}."""

def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature strictly: canonical encodings, no small order. Raises InvalidSignature, Malformed."""

def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[int]:
    """The positions of those (public key, message, signature) that `verify` would refuse, for whatever reason."""

def parse_key_line(line: str) -> KeyLine:
    """A public key as a `.pub` file holds it. Raises Malformed; `hint` says how to make one that can be enrolled."""

def verify_sshsig(key_line: str, namespace: str, message: bytes, armored: str) -> SshSignature:
    """Check an armoured SSHSIG by this key, for this namespace. Raises InvalidSignature, Malformed."""

def sanitize(text: str, limit: int, *, newlines: bool = False) -> str:
    """Untrusted text as printable text of at most `limit` terminal cells, on one line unless `newlines`.

    Controls, escape bytes, bidirectional and invisible characters become visible escapes; what did not fit is named as
    `…+N`. Idempotent. Raises Malformed for a limit outside 1 .. 2**20, and for nothing in the text.
    """

def sanitize_name(text: str, limit: int) -> str:
    """A name in printable ASCII, everything else as `\\u{..}`. Two names that fit never look alike. Not idempotent."""

def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1."""

def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""

def merkle_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, in order."""

def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash `leaf` is number `index` of the `size` under `root`. Raises InvalidProof, Malformed."""

def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the new tree only adds to the old one. Raises InvalidProof, Malformed."""

@final
class SshSignature:
    """What a verified SSHSIG says. `touched`, `pin` and `counter` are a security key's own words, else False and 0."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def touched(self) -> bool: ...
    @property
    def pin(self) -> bool: ...
    @property
    def counter(self) -> int: ...

@final
class KeyLine:
    """A public key fit to be enrolled. `line` is type and base64 without the comment: equal keys, equal lines."""

    @property
    def line(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def comment(self) -> str: ...
    @property
    def public_key(self) -> bytes: ...

@final
class SigningKey:
    """An Ed25519 private key, wiped when let go. Has no form outside the core: no repr, no pickling, no copy."""

    @staticmethod
    def from_seed(seed: bytes) -> SigningKey:
        """The key of 32 secret random bytes. Raises Malformed for another length."""
    @property
    def public_key(self) -> bytes: ...
    def sign(self, message: bytes) -> bytes:
        """64 bytes."""

@final
class MerkleTree:
    """A growing RFC 6962 tree that can prove any of its earlier states."""

    def __new__(cls) -> MerkleTree: ...
    def append(self, leaf_hash: bytes) -> int:
        """Add a leaf's hash; its index."""
    def size(self) -> int: ...
    def root(self, size: int | None = None) -> bytes:
        """The root now, or when there were `size` leaves. Raises Unknown."""
    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path of leaf `index` to the root at `size`. Raises Unknown."""
    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """The proof from `old_size` (at least 1) to `new_size`. Raises Malformed, Unknown."""
