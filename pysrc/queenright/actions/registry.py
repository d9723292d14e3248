"""The verbs that exist. One file each in `builtin`; nothing is added at run time."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from queenright.actions.manifest import Manifest
from queenright.errors import Denied, Dimension

__all__ = ["VERBS", "all_manifests", "find_manifest", "find_verb"]

VERBS = MappingProxyType(
    {
        "metrics.read": "metrics_read",
        "logs.read": "logs_read",
        "http.get": "http_get",
        "svc.restart": "svc_restart",
        "release.rollback": "release_rollback",
        "config.restore": "config_restore",
        "flag.set": "flag_set",
        "db.index.create": "db_index_create",
        "db.session.kill": "db_session_kill",
        "fs.read": "fs_read",
        "fs.list": "fs_list",
        "fs.write": "fs_write",
        "shell.run": "shell_run",
        "workspace.restore": "workspace_restore",
    }
)


@cache
def find_verb(verb: str) -> Any:
    """The verb's object (`verb.Read` or `verb.Action`), its manifest pinned to its code. Raises `Denied`
    by name.
    """
    name = VERBS.get(verb)
    if name is None:
        raise Denied(
            f"{verb} is not an action that is installed here",
            verb=verb,
            resource="",
            dimensions=(Dimension("verb", "actions", "not installed"),),
            reason="unknown_verb",
            hint=f"installed: {', '.join(VERBS)}",
        )
    module = importlib.import_module(f"queenright.actions.builtin.{name}")
    found = module.VERB
    code = hashlib.sha256(Path(str(module.__file__)).read_bytes()).digest()
    found.manifest = replace(found.manifest, code=code)
    return found


def find_manifest(verb: str) -> Manifest:
    """Raises `Denied` for a verb that is not installed."""
    manifest: Manifest = find_verb(verb).manifest
    return manifest


def all_manifests() -> tuple[Manifest, ...]:
    """Every installed action's, by verb."""
    return tuple(find_manifest(verb) for verb in sorted(VERBS))
