"""The ledger's check at the end: a copy, public keys, a checkpoint kept apart, and a second process with nothing else.

All through the demo the client remembers the newest checkpoint it saw and checks that each continues the last one; the
second process gets that one, the copy, and the public keys as they were when the state directory was made.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from queenright.control.client import Client
from queenright.control.ledger_copy import Memory, copying, drive
from queenright.demo.place import command_line
from queenright.errors import LedgerBroken, Malformed
from queenright.ledger.checkpoint import LogKey

__all__ = ["Reader", "Verified"]

WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Verified:
    """What the second process said, and whether it ended well."""

    ok: bool
    said: str
    entries: int = 0


class Reader:
    """The client as the second reader of a ledger. `folder` is out of the supervisor's reach."""

    def __init__(self, folder: Path, log_key: bytes, operator_keys: list[str]) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._log_key = log_key
        self.memory = Memory(folder / "seen")
        self._keys = folder / "operators.pub"
        self._keys.write_text("".join(f"{line}\n" for line in operator_keys))

    def look(self, client: Client) -> None:
        """Remember the newest checkpoint. Raises LedgerBroken if it does not continue the last one."""
        drive(client, self.memory.checking(client.hello.runtime))

    def verify(self, client: Client) -> Verified:
        """Copy the ledger and have a process of its own verify the copy: no state directory, no key, no environment."""
        self.look(client)
        seen = self.memory.last(client.hello.runtime)
        if seen is None:
            raise LedgerBroken("the ledger never showed a checkpoint")
        if LogKey.parse(seen.vkey).public_key != self._log_key:
            raise LedgerBroken("the ledger is signed by another key than the one made at the beginning")
        copy, note = self._folder / "copy", self._folder / "checkpoint"
        note.write_text(seen.note)
        drive(client, copying(copy))
        argv = command_line(
            "ledger", "verify", str(copy), "--vkey", seen.vkey, "--checkpoint", str(note),
            "--operator-key", str(self._keys), "--json",
        )  # fmt: skip
        done = subprocess.run(
            argv, cwd=copy, env={"PATH": os.defpath, "HOME": str(self._folder)}, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=WITHIN_S, text=True,
        )  # fmt: skip
        return _report(done)


def _report(done: subprocess.CompletedProcess[str]) -> Verified:
    try:
        report = json.loads(done.stdout)
        entries, signatures, against = int(report["entries"]), int(report["signatures"]), report["checked"]
        trouble = [found["what"] for found in report["broken"]] + report["not_checked"]
    except (ValueError, KeyError, TypeError):
        raise Malformed(f"the verifier ended with {done.returncode}: {done.stderr.strip()[-300:]}") from None
    said = f"{entries} entries, {signatures} signatures, tail checked against {against} entries seen here"
    ok = done.returncode == 0 and not trouble
    return Verified(ok, said if ok else f"exit {done.returncode}: {'; '.join(trouble)[:300]}", entries)
