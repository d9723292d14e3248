"""Workspaces, as operators read them. Keepers look; the supervisor passes on what they say."""

from __future__ import annotations

from typing import Any

from queenright.actions.verb import ActionFailed
from queenright.control.protocol import (
    PathChange,
    PathRow,
    RestorePreview,
    VersionDiff,
    VersionRow,
    WorkspaceView,
)
from queenright.control.service import Caller
from queenright.errors import Conflict, Malformed, QueenrightError, Unknown
from queenright.supervisor.agents import Agent
from queenright.supervisor.find import find
from queenright.supervisor.service_record import ReadingRecord
from queenright.wire.ids import full

__all__ = ["ReadingWorkspaces"]

MAX_VERSIONS = 1_000
FEW_VERSIONS = 50


class ReadingWorkspaces(ReadingRecord):
    """Versions of workspaces."""

    def _agent(self, text: str) -> Agent:
        return self.rt.agents.get(find(self.rt, text, ("agent",))[1])

    async def _kept(self, agent: str, what: str, **facts: Any) -> dict[str, Any]:
        """A keeper's answer, also while a command of the agent runs: it waits for a commit at most. Raises Unknown, Conflict.

        What brings a workspace to its newest version was done before that command's overlay was laid over it, so that looking
        changes nothing below it.
        """
        found = self._agent(agent)
        try:
            answer: dict[str, Any] = await self.rt.acting.engine.hands.keep(found.id, what, **facts)
            return answer
        except ActionFailed as failed:
            raise _plain(failed) from None

    async def workspace_log(self, caller: Caller, agent: str, limit: int | None = None) -> list[VersionRow]:
        most = FEW_VERSIONS if limit is None else limit
        if not 1 <= most <= MAX_VERSIONS:
            raise Malformed(f"limit is {most}: 1 to {MAX_VERSIONS}")
        found = await self._kept(agent, "log", limit=most)
        return [_version(row) for row in found["rows"]]

    async def workspace_diff(self, caller: Caller, agent: str, version: int) -> VersionDiff:
        found = await self._kept(agent, "changes", version=_number(version))
        changes: list[PathChange] = [
            {"path": path, "change": change, "before": _mark(before), "after": _mark(after)}
            for path, change, before, after in found["rows"]
        ]
        return {"version": version, "changes": changes, "count": found["count"]}

    async def workspace_show(
        self,
        caller: Caller,
        agent: str,
        path: bytes,
        version: int | None = None,
        content: bool | None = None,
    ) -> WorkspaceView:
        at = None if version is None else _number(version)
        if content:
            found = await self._kept(agent, "read", path=path, version=at)
            return {"version": version, "entries": [], "data": found["data"], "cut": found["cut"]}
        found = await self._kept(agent, "list", path=path, version=at)
        entries: list[PathRow] = [
            {"name": name, "kind": kind, "mode": mode, "bytes": size}
            for name, kind, mode, size in found["rows"]
        ]
        return {"version": version, "entries": entries, "data": None, "cut": found["cut"]}

    async def workspace_restore_preview(self, caller: Caller, agent: str, version: int) -> RestorePreview:
        found = self._agent(agent)
        try:
            plan = await self.rt.acting.restore.preview(self.rt.acting.restoring(found, _number(version)))
        except ActionFailed as failed:
            raise _plain(failed) from None
        return {
            "agent": full("agent", found.id),
            "version": version,
            "effect": plan.effect,
            "bytes": plan.encode(),
        }


def _number(version: int) -> int:
    if not 0 <= version <= 2**53:
        raise Malformed(f"a version is a number from 0, not {version}")
    return version


def _version(row: dict[str, Any]) -> VersionRow:
    return {
        "version": row["version"],
        "at_ms": row["at_ms"],
        "act": full("act", row["act"]),
        "intent": full("intent", row["intent"]),
        "cause": row["cause"],
        "of": None if row["cause"] == "act" else row["of"],
        "added": row["added"],
        "modified": row["modified"],
        "deleted": row["deleted"],
        "files": row["files"],
        "bytes": row["bytes"],
    }


def _mark(mark: Any) -> dict[str, Any] | None:
    if mark is None:
        return None
    kind, mode, size, target = mark
    return {"kind": kind, "mode": mode, "bytes": size, "target": target}


def _plain(failed: ActionFailed) -> QueenrightError:
    kinds: dict[str, type[QueenrightError]] = {"unknown": Unknown, "malformed": Malformed}
    return kinds.get(failed.code, Conflict)(failed.message)
