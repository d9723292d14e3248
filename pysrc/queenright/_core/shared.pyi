"""What every process needs. Kept equal to the Rust face: stubtest checks."""

from collections.abc import Sequence
from typing import Any, Final, final

BIRTHS_A_PART: Final = 256
"""Members of a batch of births under one of its `tops`; a part begins at a multiple of it."""

MAX_BIRTHS: Final = 131072
"""Members of one batch."""

MAX_DEPTH: Final = 32
"""Lists and maps inside each other in canonical bytes."""

MAX_VALUES: Final = 262144
"""Values in one canonical document, so that 4 MiB of input cannot become 256 MiB of memory. Carry bulk as bytes."""

def canonical(value: Any) -> bytes:
    """The one byte string of `value`: None, bool, int (-2**63 .. 2**64 - 1), finite float, str, bytes,
    list, tuple, dict[str, ...].

    Raises Malformed for anything else, and for more than MAX_DEPTH containers inside each other or MAX_VALUES values.
    """

def decode(data: bytes) -> Any:
    """The value whose canonical bytes are exactly `data`; tuples come back as lists. Raises Malformed."""

def digest(kind: str, data: bytes) -> bytes:
    """SHA-256 of `"queenright/" + kind + "/v1" + NUL + data`, 32 bytes. Raises Malformed for a kind not of
    [a-z0-9._-]{1,64}.
    """

def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature strictly: canonical encodings, no small order. Raises InvalidSignature,
    Malformed.
    """

def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[int]:
    """The positions of those (public key, message, signature) that `verify` would refuse, for whatever
    reason.
    """

def parse_key_line(line: str) -> KeyLine:
    """A public key as a `.pub` file holds it. Raises Malformed; `hint` says how to make one that can be
    enrolled.
    """

def verify_sshsig(key_line: str, namespace: str, message: bytes, armored: str) -> SshSignature:
    """Check an armoured SSHSIG by this key, for this namespace. Raises InvalidSignature, Malformed."""

def sanitize(text: str, limit: int, *, newlines: bool = False) -> str:
    """Untrusted text as printable text of at most `limit` terminal cells, on one line unless `newlines`.

    Controls, escape bytes, bidirectional and invisible characters become visible escapes; what did not fit
    is named as `…+N`. Idempotent. Raises Malformed for a limit outside 1 .. 2**20, and for nothing in the
    text.
    """

def sanitize_name(text: str, limit: int) -> str:
    """A name in printable ASCII, everything else as `\\u{..}`. Two names that fit never look alike. Not
    idempotent.
    """

def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1."""

def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""

def merkle_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, in order."""

def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash `leaf` is number `index` of the `size` under `root`. Raises InvalidProof,
    Malformed.
    """

def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the new tree only adds to the old one. Raises InvalidProof, Malformed."""

@final
class SshSignature:
    """What a verified SSHSIG says. `touched`, `pin` and `counter` are a security key's own words, else
    False and 0.
    """

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
    """A public key fit to be enrolled. `line` is type and base64 without the comment: equal keys, equal
    lines.
    """

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
    """An Ed25519 private key, wiped when let go. Has no form outside the core: no repr, no pickling, no
    copy.
    """

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

@final
class View:
    """A table's rows by identity: sorted, filtered, flat or as a tree, given out a window at a time.

    Columns are (name, "text" | "int" | "float"). Used by one thread at a time; the order is worked out,
    without the interpreter lock, when it is next read.
    """

    def __new__(cls, columns: Sequence[tuple[str, str]]) -> View: ...
    def upsert(self, row: bytes, values: Sequence[str | int | float], parent: bytes | None = None) -> None:
        """Add a row or renew it. A parent not there yet may come later. Raises Malformed, also for a row
        under itself.
        """
    def remove(self, row: bytes) -> None:
        """Take a row out; its children stand at the top. Raises Unknown."""
    def set_sort(self, column: str, descending: bool) -> None:
        """Equal cells keep the order in which their rows came. Raises Unknown for a column."""
    def set_filter(self, query: str) -> None:
        """Terms between spaces that must all match: `text`, `column:text`, `column:>5` (also < >= <= =),
        `/glob*?/`, `column:/glob/`, `!term`; `"two words"`. Without regard to case. In a tree, what a match
        hangs under is shown too. Raises Malformed, and then the filter stays as it was.
        """
    def set_tree(self, tree: bool) -> None: ...
    def toggle(self, row: bytes) -> None:
        """Open or close a row's children. Raises Unknown."""
    def hold(self, held: bool) -> None:
        """While held, cells change and removed rows go, but no row moves and none is added; sort, filter,
        tree and toggle are obeyed at once."""
    def total(self) -> int:
        """Rows in all, shown or not."""
    def __len__(self) -> int:
        """Rows shown."""
    def index_of(self, row: bytes) -> int | None:
        """Where a row stands; None if it is hidden or not there."""
    def window(self, offset: int, count: int) -> list[tuple[bytes, int, bool, bool, list[Any]]]:
        """(row id, depth, has children, is open, values) of at most `count` rows from `offset`."""

@final
class Letter:
    """One message with its proof (`wire.envelope`). Well formed, and worth nothing before `verify`."""

    @staticmethod
    def parse(data: bytes) -> Letter:
        """Raises Malformed."""

    def verify(self, runtime_key: bytes, public_key: bytes) -> bytes:
        """Check alone that the key signed a batch with this message; the batch's digest. Raises InvalidSignature,
        InvalidProof, Malformed.
        """

    @property
    def sender(self) -> bytes: ...
    @property
    def receiver(self) -> bytes: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def previous(self) -> bytes: ...
    @property
    def kind(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of ciphertext."""

@final
class BirthBatch:
    """A batch of births, or the part of one from `first` on: the certificates that these fields make, with their ids."""

    def __new__(
        cls,
        *,
        runtime: bytes,
        intent: bytes,
        parent: bytes,
        package: bytes,
        grant: bytes,
        family: str,
        behaviour: str,
        born_ms: int,
        seed: bytes,
        names: tuple[str, int] | Sequence[str],
        args: bytes | Sequence[bytes],
        first: int = 0,
    ) -> BirthBatch:
        """`family`: the parent's name; `seed`: 12 bytes; `names`: a stem and a count, or each member's own name;
        `args`: one digest for all, or each member's. Raises Malformed.
        """
    def __len__(self) -> int: ...
    @property
    def root(self) -> bytes:
        """Of the RFC 9162 tree over the members' ids."""
    @property
    def tops(self) -> bytes:
        """The tree's nodes over BIRTHS_A_PART members each, end to end."""
    def ids(self) -> list[bytes]: ...
    def id(self, position: int) -> bytes:
        """Raises Unknown for a position that is not of this batch or part; so do the others."""
    def name(self, position: int) -> str:
        """The member's whole name."""
    def certificate(self, position: int) -> bytes:
        """The canonical bytes whose digest is the member's id."""
    def path(self, position: int, tops: bytes) -> list[bytes]:
        """From the member's id to the root; `tops` are the whole batch's. Raises Malformed if they are not."""
