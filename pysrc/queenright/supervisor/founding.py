"""Making a state directory: its keys, its pinned owner and the first operators document. All of it, or nothing.

It is built beside its place and renamed into it, so that a failure (a key that would not sign, a full disk)
leaves no half-made directory that `up` would take for one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from queenright.authority.document import OPERATORS
from queenright.authority.operators import EVERYTHING, FIRST, Operators, Person
from queenright.clock import Clock
from queenright.core import SigningKey, parse_key_line
from queenright.errors import Conflict, Malformed
from queenright.paths import Paths
from queenright.supervisor.keyring import Kept, Keyring
from queenright.supervisor.master import MasterKey, Passphrase

__all__ = ["OPERATORS_DOCUMENT", "OPERATORS_SIGNATURE", "PINNED", "Pinned", "found_state", "read_pinned"]

OPERATORS_DOCUMENT = "operators"
OPERATORS_SIGNATURE = "operators.sig"
PINNED = "pinned.json"
_MAX_PINNED = 64 * 1024

Sign = Callable[[str, bytes], str]
"""(namespace, message) -> armoured SSHSIG, by the owner's key."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is known of a state directory without its master key: public keys only."""

    runtime: bytes
    log: bytes
    owners: tuple[str, ...]

    def to_json(self) -> bytes:
        body = {"v": 1, "runtime": self.runtime.hex(), "log": self.log.hex(), "owners": list(self.owners)}
        return json.dumps(body, indent=1).encode() + b"\n"


def read_pinned(paths: Paths) -> Pinned:
    """What `found_state` pinned. Raises Malformed for a directory that `init` did not make."""
    path = paths.documents / PINNED
    try:
        with path.open("rb") as file:
            body = json.loads(file.read(_MAX_PINNED))
        if body.keys() != {"v", "runtime", "log", "owners"} or body["v"] != 1:
            raise ValueError
        found = Pinned(bytes.fromhex(body["runtime"]), bytes.fromhex(body["log"]), tuple(body["owners"]))
        if len(found.runtime) != 32 or len(found.log) != 32 or not found.owners:
            raise ValueError
        for line in found.owners:
            parse_key_line(line)
    except FileNotFoundError:
        raise Malformed(f"{paths.state} is no state directory", hint="make one: `queenright init`") from None
    except (ValueError, TypeError, AttributeError):
        raise Malformed(f"{path} is damaged or of another version", hint="restore it from a backup") from None
    return found


def found_state(
    paths: Paths,
    *,
    owner: str,
    key_line: str,
    sign: Sign,
    master: MasterKey | Passphrase,
    kept: Kept,
    clock: Clock,
    rand: Callable[[int], bytes] = os.urandom,
) -> Pinned:
    """Make the state directory of `paths` with `owner` (a name) and their public key as its one owner.

    Raises Conflict if something is there, Malformed for a bad name or key, and whatever `sign` raises.
    """
    if paths.state.exists() and any(paths.state.iterdir()):
        raise Conflict(f"{paths.state} exists and is not empty", hint="choose another: --state DIR")
    line = parse_key_line(key_line).line
    beside = paths.state.with_name(f".{paths.state.name}.founding-{rand(4).hex()}")
    try:
        pinned = _build(Paths(beside), owner, line, sign, master, kept, clock, rand)
        paths.state.parent.mkdir(parents=True, exist_ok=True)
        beside.rename(paths.state)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return pinned


def _build(
    paths: Paths,
    owner: str,
    line: str,
    sign: Sign,
    master: MasterKey | Passphrase,
    kept: Kept,
    clock: Clock,
    rand: Callable[[int], bytes],
) -> Pinned:
    person = Person(
        owner,
        (line,),
        intents=EVERYTHING,
        approvals=EVERYTHING,
        undo=EVERYTHING,
        break_glass=True,
        records=True,
    )
    paths.create()
    keyring = Keyring.create(paths.keyring, master, kept=kept, rand=rand)
    try:
        runtime = SigningKey.from_seed(keyring.runtime_seed).public_key
        log = SigningKey.from_seed(keyring.log_seed).public_key
    finally:
        keyring.lock()
    operators = Operators(runtime, 1, FIRST, clock.wall_ms(), (line,), (person,))
    operators.check()
    document = operators.encode()
    signature = sign(OPERATORS, document)
    Operators.first(document, signature, (line,), runtime)
    pinned = Pinned(runtime, log, (line,))
    _write(paths.documents / OPERATORS_DOCUMENT, document)
    _write(paths.documents / OPERATORS_SIGNATURE, signature.encode())
    _write(paths.documents / PINNED, pinned.to_json())
    return pinned


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
