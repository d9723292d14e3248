"""The record, as operators read it: leases, who can what, the ledger, undo previews, documents, packages, secrets' names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from queenright.authority.decision import Decision
from queenright.control.protocol import (
    BehaviourRow,
    CanResult,
    Checkpoint,
    LeaseRow,
    LedgerCopy,
    LedgerExport,
    LedgerFile,
    LedgerPage,
    OperatorsView,
    ResourcesView,
    SecretRow,
    UndoPreview,
    UndoStep,
    Why,
)
from queenright.control.service import Caller
from queenright.core import sanitize_name
from queenright.errors import LedgerUnwritable, Malformed, Unknown
from queenright.ledger import Query
from queenright.ledger.export import EVIDENCE
from queenright.ledger.log import ENTRIES, LOG_VKEY
from queenright.supervisor.cell_start import cold_reason
from queenright.supervisor.explain import explain, leaf_row
from queenright.supervisor.find import find
from queenright.supervisor.rows import NAME_CHARACTERS, lease_row
from queenright.supervisor.service_asks import ReadingAsks
from queenright.supervisor.service_read import PAGE
from queenright.wire.ids import full

if TYPE_CHECKING:
    pass

__all__ = ["ReadingRecord"]


class ReadingRecord(ReadingAsks):
    """Authority and its record."""

    # --- leases, authority ----------------------------------------------------------------------------------------

    async def leases(
        self, caller: Caller, agent: str | None = None, state: str | None = None
    ) -> list[LeaseRow]:
        chosen = find(self.rt, agent, ("agent",))[1] if agent is not None else None
        return [
            lease_row(self.rt, lease)
            for lease in self.rt.leases
            if (chosen is None or lease.agent == chosen) and (state is None or lease.state == state)
        ]

    def _can(self, decision: Decision) -> CanResult:
        agent = self.rt.agents.find(decision.grant)
        return {
            "agent": full("agent", decision.grant),
            "agent_name": sanitize_name(agent.name, NAME_CHARACTERS) if agent is not None else "",
            "verb": decision.verb,
            "resource": decision.resource,
            "outcome": decision.outcome,
            "dimensions": [
                {"name": d.name, "level": d.level, "detail": d.detail} for d in decision.dimensions
            ],
            "amendment": decision.amendment,
        }

    async def can(self, caller: Caller, agent: str, verb: str, resource: str) -> CanResult:
        _, digest = find(self.rt, agent, ("agent",))
        irreversible = self.rt.acting.irreversible(verb)
        return self._can(self.rt.grants.can(digest, verb, resource, irreversible=irreversible))

    async def who_can(self, caller: Caller, verb: str, resource: str) -> list[CanResult]:
        irreversible = self.rt.acting.irreversible(verb)
        decisions = self.rt.grants.who_can(verb, resource, irreversible=irreversible)
        return [self._can(one) for one in decisions if self.rt.agents.find(one.grant) is not None][:PAGE]

    # --- ledger ---------------------------------------------------------------------------------------------------

    async def ledger(
        self,
        caller: Caller,
        query: str | None = None,
        after: int | None = None,
        limit: int | None = None,
        newest: bool | None = None,
    ) -> LedgerPage:
        rt = self.rt
        count = min(limit or PAGE, PAGE)
        found = list(
            Query.parse(query or "").search(
                rt.ledger, rt.clock.wall_ms(), newest=bool(newest), after=after, limit=count
            )
        )
        rows = [leaf_row(rt, one.index, one.entry) for one in found]
        return {
            "rows": rows,
            "next": rows[-1]["index"] if len(rows) == count else None,
            "size": rt.ledger.size,
        }

    def _published(self) -> tuple[int, bytes, str]:
        published, vkey = self.rt.ledger.checkpoint(), self.rt.ledger.vkey
        if published is None or vkey is None:
            raise LedgerUnwritable("the ledger has no checkpoint yet", hint="queenright unlock")
        return published[0], published[1], vkey

    async def ledger_checkpoint(self, caller: Caller, since: int | None = None) -> Checkpoint:
        rt = self.rt
        size, note, vkey = self._published()
        root = rt.ledger.root(size)
        if since is not None and not 0 <= since <= size:
            raise Malformed(f"no tree of {since} entries is a prefix of one of {size}")
        if caller.operator is not None:
            rt.copies[caller.operator.person.name] = (size, root, rt.clock.wall_ms())
        return {
            "note": note.decode(),
            "vkey": vkey,
            "size": size,
            "root": root,
            "since": since,
            "proof": rt.ledger.consistency(since, size) if since else [],
        }

    def _export_files(self, size: int) -> dict[str, tuple[Path, int]]:
        """What an outsider needs, by name: entries up to the checkpoint, the log's key, the signed documents."""
        ledger = self.rt.ledger
        files = {
            ENTRIES: (ledger.directory / ENTRIES, sum(4 + len(leaf) for _, leaf in ledger.leaves(0, size))),
            LOG_VKEY: (ledger.directory / LOG_VKEY, (ledger.directory / LOG_VKEY).stat().st_size),
        }
        for name in self.rt.evidence.names():
            path = self.rt.paths.ledger / EVIDENCE / name.hex()
            files[f"{EVIDENCE}/{name.hex()}"] = (path, path.stat().st_size)
        return files

    async def ledger_export(self, caller: Caller) -> LedgerExport:
        size, note, vkey = self._published()
        files: list[LedgerFile] = [
            {"name": name, "bytes": length, "sha256": None}
            for name, (_, length) in self._export_files(size).items()
        ]
        return {"files": files, "checkpoint": note.decode(), "vkey": vkey}

    async def ledger_read(self, caller: Caller, name: str, offset: int, limit: int) -> bytes:
        files = self._export_files(self._published()[0])
        if name not in files:
            raise Unknown(f"no file `{name[:80]}` is exported", hint="ledger_export lists them")
        path, size = files[name]
        with path.open("rb") as file:
            file.seek(max(0, offset))
            return file.read(max(0, min(limit, 1 << 20, size - offset)))

    async def ledger_copies(self, caller: Caller) -> list[LedgerCopy]:
        return [
            {"who": who, "size": size, "root": root, "at_ms": at}
            for who, (size, root, at) in self.rt.copies.items()
        ]

    async def why(self, caller: Caller, id: str) -> Why:
        return explain(self.rt, id)

    async def undo_preview(self, caller: Caller, target: str, since_ms: int | None = None) -> UndoPreview:
        preview = await self.rt.acting.undo.preview(self.undo_target(target, since_ms))
        steps: list[UndoStep] = []
        skipped: list[UndoStep] = []
        for step in preview.steps:
            row: UndoStep = {
                "action": full("act", step.act),
                "verb": step.verb,
                "resource": step.resource,
                "reversibility": step.klass,
                "what": step.what,
                "diff": "",
                "conflict": step.conflict,
            }
            (skipped if step.skipped else steps).append(row)
        return {"target": target, "steps": steps, "skipped": skipped, "bytes": preview.encode()}

    def undo_target(self, target: str, since_ms: int | None) -> tuple[str, bytes | int]:
        if since_ms is not None:
            return "since", since_ms
        return find(self.rt, target, ("act", "agent", "intent"))

    # --- documents and packages -----------------------------------------------------------------------------------

    async def resources(self, caller: Caller) -> ResourcesView:
        documents = self.rt.documents
        signed = documents.resources_signed
        return {
            "document": documents.resources.encode(),
            "signature": signed.signature if signed is not None else "",
            "digest": documents.resources.digest,
            "signer": documents.resources_signer,
        }

    async def operators(self, caller: Caller) -> OperatorsView:
        documents = self.rt.documents
        return {
            "document": documents.operators_signed.document,
            "signature": documents.operators_signed.signature,
            "digest": documents.operators.digest,
            "version": documents.operators.version,
        }

    async def behaviours(self, caller: Caller) -> list[BehaviourRow]:
        used: dict[bytes, list[str]] = {}
        for standing in self.rt.swarms.live():
            for pinned in standing.intent.packages.values():
                used.setdefault(pinned, []).append(full("intent", standing.intent.id))
        return [
            {
                "name": package.name,
                "version": package.version,
                "digest": package.digest,
                "classes": sorted(package.classes),
                "cell": "own" if any(cls.cell == "own" for cls in package.classes.values()) else "shared",
                "cold": cold_reason(package),
                "added_ms": package.added_ms,
                "used_by": used.get(package.digest, []),
            }
            for package in self.rt.packages
        ]

    async def secret_list(self, caller: Caller) -> list[SecretRow]:
        by_secret: dict[str, list[str]] = {}
        for resource in self.rt.documents.resources:
            references = {
                *([resource.admin.secret] if resource.admin is not None and resource.admin.secret else []),
                *([resource.host.secret] if resource.host is not None else []),
            }
            for reference in references:
                by_secret.setdefault(reference.removeprefix("vault:"), []).append(resource.id)
        return [
            {"name": info.name, "set_ms": info.set_ms, "resources": by_secret.get(info.name, [])}
            for info in self.rt.vault.list()
        ]
