"""Verifying a ledger from a copy of its directory and public keys: nothing of the supervisor is needed or
believed.

What is found is of three sorts: *broken* (the record was altered, or contradicts itself), *not checked*
(something needed for a check was not given: a checkpoint kept elsewhere, an operator's key, a signed
document), and *open* (actions whose end is not recorded, which is no fault of the record). Nothing read
here is executed or trusted to be small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from queenright.core import MerkleTree, leaf_hash
from queenright.errors import Malformed, QueenrightError
from queenright.ledger import files, leaf
from queenright.ledger.checkpoint import MAX_NOTE, Checkpoint, LogKey
from queenright.ledger.evidence import Evidence
from queenright.ledger.export import EVIDENCE
from queenright.ledger.log import CHECKPOINT, ENTRIES
from queenright.ledger.order import Order
from queenright.ledger.signatures import Signatures

__all__ = ["Finding", "Report", "verify_directory"]

_OK: Final = 0
_BROKEN: Final = 1
_INCOMPLETE: Final = 8
_SHOWN: Final = 20  # of a sort, in words; the report itself holds all


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the entry it was seen at (None: the whole), and what."""

    index: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.index is None else f"entry {self.index}: {self.what}"


@dataclass(slots=True)
class Report:
    """What was verified, what was found, and what could not be checked."""

    size: int = 0
    """Entries in the file."""
    signed: int = 0
    """Entries under the checkpoint that lies beside them."""
    root: bytes = b""
    tail: str = "not checked"
    """Against a checkpoint kept elsewhere: `checked`, or `not checked`."""
    signatures: int = 0
    """Operators' signatures and certificates that verified."""
    broken: list[Finding] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    open_actions: list[str] = field(default_factory=list)
    """Started, no end recorded."""
    unknown_actions: list[str] = field(default_factory=list)
    """Ended as unknown, and no person settled it yet."""

    @property
    def exit_code(self) -> int:
        """0 all was checked and holds, 1 broken, 8 what was checked holds but not all could be."""
        if self.broken:
            return _BROKEN
        return _INCOMPLETE if self.not_checked else _OK

    def lines(self) -> list[str]:
        """The report in words, for a person."""
        out = [
            f"{self.size} entries, {self.signed} of them under the checkpoint, root {self.root.hex()[:16]}",
            f"{self.signatures} signatures verified",
            f"tail: {self.tail}",
        ]
        for label, found in (
            ("open", self.open_actions),
            ("unknown", self.unknown_actions),
            ("not checked", self.not_checked),
            ("BROKEN", self.broken),
        ):
            out += [f"{label}: {one}" for one in found[:_SHOWN]]
            if len(found) > _SHOWN:
                out.append(f"{label}: and {len(found) - _SHOWN} more")
        verdict = {_OK: "verified", _BROKEN: "BROKEN", _INCOMPLETE: "verified but incomplete"}
        return [*out, verdict[self.exit_code]]


def verify_directory(
    path: Path, log_vkey: str, checkpoint: bytes | None = None, operator_keys: Sequence[str] = ()
) -> Report:
    """Verify the ledger under `path` (`entries`, `checkpoint`, `evidence/`).

    `log_vkey` is the log's public key, known from elsewhere; `checkpoint` a signed note kept elsewhere,
    without which a cut tail cannot be seen; `operator_keys` are OpenSSH public key lines. Raises Malformed
    for a `log_vkey`, `checkpoint` or key line that is none: those are the verifier's own. Everything in the
    directory ends up in the report instead.
    """
    key = LogKey.parse(log_vkey)
    outside = None if checkpoint is None else Checkpoint.open(checkpoint, key)
    report = Report()
    signatures = Signatures(Evidence(path / EVIDENCE), operator_keys)
    tree = _entries(path / ENTRIES, report, signatures)
    report.root = tree.root()
    _inside(path / CHECKPOINT, key, tree, report)
    _outside(outside, tree, report)
    report.signatures = signatures.verified
    report.broken += [Finding(index, what) for index, what in signatures.broken]
    report.not_checked += signatures.not_checked()
    return report


def _entries(path: Path, report: Report, signatures: Signatures) -> MerkleTree:
    tree, order = MerkleTree(), Order(signatures.uses)
    try:
        data = files.read_mapped(path)
    except OSError as error:
        report.broken.append(Finding(None, f"the entries cannot be read: {error.strerror}"))
        return tree
    end = 0
    for frame_end, bytes_of in files.frames(data, leaf.MAX_LEAF):
        index = tree.append(leaf_hash(bytes_of))
        end = frame_end
        try:
            entry = leaf.decode(bytes_of)
        except Malformed as broken:
            report.broken.append(Finding(index, str(broken)))
            continue
        signatures.check(index, entry)
        report.broken += [Finding(index, what) for what in order.follow(entry)]
    if end != len(data):
        report.broken.append(
            Finding(tree.size(), "the file ends, or goes on wrongly, in the middle of an entry")
        )
    signatures.finish()
    report.size = tree.size()
    report.open_actions, report.unknown_actions = order.open(), order.unknown()
    return tree


def _inside(path: Path, key: LogKey, tree: MerkleTree, report: Report) -> None:
    try:
        with path.open("rb") as file:
            checkpoint = Checkpoint.open(file.read(MAX_NOTE + 1), key)
    except OSError as error:
        report.broken.append(Finding(None, f"the checkpoint cannot be read: {error.strerror}"))
        return
    except QueenrightError as broken:
        report.broken.append(Finding(None, f"the checkpoint does not verify: {broken}"))
        return
    if _leads_to(checkpoint, tree, report, "the checkpoint"):
        report.signed = checkpoint.size
        if checkpoint.size < tree.size():
            report.not_checked.append(
                f"the last {tree.size() - checkpoint.size} entries are not under a checkpoint yet"
            )


def _outside(checkpoint: Checkpoint | None, tree: MerkleTree, report: Report) -> None:
    if checkpoint is None:
        report.not_checked.append("the tail: no checkpoint kept elsewhere was given")
    elif _leads_to(checkpoint, tree, report, "the checkpoint kept elsewhere"):
        report.tail = "checked"


def _leads_to(checkpoint: Checkpoint, tree: MerkleTree, report: Report, which: str) -> bool:
    """Does this tree begin with what was signed? If not, say so in the report."""
    if checkpoint.size > tree.size():
        missing = checkpoint.size - tree.size()
        what = f"{which} covers {checkpoint.size} entries: the last {missing} of them are missing"
        report.broken.append(Finding(tree.size(), what))
        return False
    if tree.root(checkpoint.size) != checkpoint.root:
        what = f"the first {checkpoint.size} entries are not those that {which} covers"
        report.broken.append(Finding(None, what))
        return False
    return True
