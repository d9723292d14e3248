"""Keeping workspaces: committing or proposing what a command left, carrying a workspace to its newest version, looking at
versions.

Not an action: no agent can ask for it. The supervisor has it done in an executor, because it opens what agents made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.actions.manifest import Manifest
from queenright.actions.resources import Resource
from queenright.actions.verb import Reach
from queenright.actions.world import World
from queenright.errors import Malformed
from queenright.workspace import versions
from queenright.workspace.workspaces import Quota

__all__ = ["KEEP", "MAX_LISTED", "UPPER", "Keeper"]

UPPER = 4
"""The executor's descriptor of a command's upper layer, after its channel."""

MAX_LISTED = 1_000
"""Rows of one answer about a version: what a person can look through, and a frame carries."""

MAX_SHOWN = 1 << 20
"""Bytes of one file that are shown."""


class Keeper:
    """What is asked by name; each answer is a map."""

    manifest = Manifest("workspace.keep", ("ws",), "exact", deadline_ms=5 * 60_000)

    def reach(self, resource: Resource) -> Reach:
        return Reach()

    def keep(self, world: World, what: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Raises WorkspaceFull, Conflict, Malformed, Unknown, StoreFailed."""
        place = world.place
        if what == "collect":
            contents, size = versions.collect(place.store)
            return {"contents": contents, "bytes": size}
        if what == "forget":
            versions.forget(place.store, place.agent, place.live)
            return {}
        with versions.opened(place.store, place.agent, place.live) as space:
            head = space.settle()
            match what:
                case "settle":
                    return {"version": head}
                case "commit":
                    quota = Quota()
                    return space.commit_upper(
                        UPPER, place.act, place.intent, place.at_ms, quota.bytes, quota.files, facts["listed"]
                    )
                case "propose":
                    quota = Quota()
                    return space.propose_upper(
                        UPPER,
                        place.act,
                        place.intent,
                        place.at_ms,
                        quota.bytes,
                        quota.files,
                        facts["note"],
                        facts["listed"],
                    )
                case "drop":
                    space.drop_proposal(facts["act"])
                    return {}
                case "drop_old":
                    return {"dropped": space.drop_proposals(facts["keep"], facts["before_ms"])}
                case "log":
                    return {"version": head, "rows": space.log(facts["limit"])}
                case "changes":
                    rows, count = space.changes(facts["version"], MAX_LISTED)
                    return {"rows": rows, "count": count}
                case "would_restore":
                    rows, count = space.would_restore(facts["version"], MAX_LISTED)
                    return {"version": head, "rows": rows, "count": count}
                case "list":
                    entries, cut = space.list(facts["path"], _at(facts, head), MAX_LISTED)
                    return {"rows": entries, "cut": cut}
                case "read":
                    data = space.read(facts["path"], _at(facts, head), MAX_SHOWN + 1)
                    return {"data": data[:MAX_SHOWN], "cut": len(data) > MAX_SHOWN}
        raise Malformed(f"a keeper does not do {what[:40]}")


def _at(facts: Mapping[str, Any], head: int) -> int:
    version: int | None = facts["version"]
    return head if version is None else version


KEEP = Keeper()
