"""The ledger's check at the end: a copy, public keys, a checkpoint kept apart, and a second process with nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from queenright.control.client import Client
from queenright.demo.place import command_line
from queenright.errors import Malformed

__all__ = ["Verified", "copy_ledger", "keep_checkpoint", "verify_apart"]

CHUNK = 1024 * 1024
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Verified:
    """What the second process said, and whether its exit code says the same."""

    ok: bool
    said: str


def keep_checkpoint(client: Client, path: Path) -> int:
    """Keep the newest signed checkpoint where the supervisor cannot reach it; the size it speaks for."""
    found = client.call("ledger_checkpoint")
    path.write_text(found["note"])
    size: int = found["size"]
    return size


def copy_ledger(client: Client, target: Path) -> str:
    """Copy the ledger file by file over the control socket; the log's public key."""
    export = client.call("ledger_export")
    for file in export["files"]:
        path = target / file["name"]
        if not path.resolve().is_relative_to(target.resolve()):
            raise Malformed(f"the supervisor names a file outside the copy: {file['name'][:80]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            while out.tell() < file["bytes"]:
                data = client.call(
                    "ledger_read",
                    name=file["name"],
                    offset=out.tell(),
                    limit=min(CHUNK, file["bytes"] - out.tell()),
                )
                if not data:
                    raise Malformed(f"the ledger's file {file['name'][:80]} is shorter than was said")
                out.write(data)
    vkey: str = export["vkey"]
    return vkey


def verify_apart(copy: Path, vkey: str, checkpoint: Path) -> Verified:
    """`queenright ledger verify` as a process of its own: an empty environment, no state directory, no key."""
    argv = command_line(
        "ledger", "verify", str(copy), "--vkey", vkey, "--checkpoint", str(checkpoint), "--json"
    )
    done = subprocess.run(
        argv,
        cwd=copy,
        env={"PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WITHIN_S,
        text=True,
    )
    if done.returncode != 0:
        return Verified(False, f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    report = json.loads(done.stdout)
    return Verified(
        True, f"{report['entries']} entries, tail checked against a checkpoint of {report['checked']}"
    )
