"""What resources were before: release targets and config versions, as the supervisor saw them itself.

"Previous" is decided from this and from nothing a name, a date or an agent says. Contents are encrypted
blobs.
"""

from __future__ import annotations

from typing import Any

from queenright.actions.hostfile import sha256
from queenright.core import canonical, decode
from queenright.errors import Unknown
from queenright.ledger.blobs import BlobRef, Blobs
from queenright.store import Change, Record, Store

__all__ = ["History"]

SEEN = "seen"
KEPT = 50
"""Versions of one thing that are remembered: "previous" needs two, a person looking back some more."""


class History:
    """Rows in "seen": resource, thing and a rising number to what it was."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    def of(self, resource: str) -> dict[str, list[str]]:
        """Thing ("release", "config:PATH") to its values, newest first, without neighbours that are equal."""
        found: dict[str, list[str]] = {}
        for key, row in self._store.scan(SEEN, resource.encode() + b"\0"):
            thing = key.split(b"\0")[1].decode()
            found.setdefault(thing, []).insert(0, decode(row)["value"])
        return found

    def version(self, resource: str, sha256: str) -> bytes:
        """The content of a config version seen for this resource. Raises `Unknown`."""
        for _, row in self._store.scan(SEEN, resource.encode() + b"\0config:"):
            body = decode(row)
            if body["value"] == sha256 and body["blob"] is not None:
                return self._blobs.get(BlobRef(*body["blob"]))
        raise Unknown(f"{resource} was never seen with the config version {sha256[:12]}")

    def saw(self, resource: str, observed: dict[str, Any], now_ms: int) -> Change:
        """What `observe` found, where it differs from the last time."""
        records: list[Record] = []
        if observed["release"] is not None:
            records += self._one(resource, "release", observed["release"], None, now_ms)
        for path, data in observed["config"].items():
            records += self._one(resource, f"config:{path}", sha256(data), data, now_ms)
        return Change(tuple(records))

    def _one(self, resource: str, thing: str, value: str, data: bytes | None, now_ms: int) -> list[Record]:
        prefix = f"{resource}\0{thing}\0".encode()
        rows = self._store.scan(SEEN, prefix)
        if rows and decode(rows[-1][1])["value"] == value:
            return []
        number = int.from_bytes(rows[-1][0][len(prefix) :], "big") + 1 if rows else 0
        blob = None
        if data is not None:
            ref = self._blobs.put("config", data)
            blob = [ref.role, ref.sha256, ref.length, ref.commitment]
        row = canonical({"value": value, "t": now_ms, "blob": blob})
        dropped: list[Record] = [("delete", SEEN, key) for key, _ in rows[: max(0, len(rows) - KEPT + 1)]]
        return [*dropped, ("insert", SEEN, prefix + number.to_bytes(8, "big"), row)]
