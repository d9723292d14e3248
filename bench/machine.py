"""Where and of what a run was made: kept with its figures, because a figure without them says nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.contestants import PEERS, ROOT

__all__ = ["describe"]


def _said(*argv: str) -> str:
    """What a command says, or that it is not here."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=20, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return "not here"
    return done.stdout.strip() if done.returncode == 0 else "not here"


def _cpu() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else platform.machine()


def _locked(file: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Versions of packages in a Cargo.lock or uv.lock."""
    text = file.read_text() if file.exists() else ""
    found = {}
    for name in names:
        match = re.search(rf'^name = "{re.escape(name)}"\nversion = "([^"]+)"', text, re.M)
        found[name] = match.group(1) if match else "not here"
    return found


def _ours() -> str:
    try:
        return version("queenright")
    except PackageNotFoundError:
        return "not installed"


def describe() -> dict[str, Any]:
    """Canonical JSON values only."""
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_mb": int(memory.group(1)) // 1024 if memory else None,
        "kernel": platform.release(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "revision": _said("git", "rev-parse", "HEAD"),
        "changed": _said("git", "status", "--porcelain", "--untracked-files=no") not in ("", "not here"),
        "versions": {
            "queenright": _ours(),
            "python": platform.python_version(),
            "go": _said("go", "env", "GOVERSION"),
            "erlang": _said(
                "erl", "-noinput", "-eval", 'io:format("~s",[erlang:system_info(otp_release)]),halt().'
            ),
            **_locked(PEERS / "rust" / "Cargo.lock", ("tokio", "ractor", "kameo")),
            **_locked(PEERS / "python" / "uv.lock", ("uvloop", "xoscar", "autogen-core", "pykka", "pynacl")),
        },
    }
