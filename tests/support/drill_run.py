"""A drill on a live supervisor by whoever runs this, in an empty directory. Prints one line of JSON: its report and what is left.

`drill_run.py whole`: every attack. `drill_run.py refused`: where nobody makes namespaces, the drill ends with 6 and plants
nothing, with and without a supervisor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from supervised import Supervised


def drill(world: Supervised, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "queenright.cli", "drill", "--state", str(world.paths.state),
               "--key", str(world.key_file), "--yes", *words]  # fmt: skip
    environ = dict(os.environ) | {"QUEENRIGHT_CONFIG": str(world.base / "config")}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=world.base)


def left() -> list[str]:
    """What drills of this user have left on the host."""
    mine = [
        path
        for path in Path(tempfile.gettempdir()).glob("queenright-drill-*")
        if path.stat().st_uid == os.geteuid()
    ]
    return sorted(map(str, mine))


def whole(world: Supervised) -> dict[str, Any]:
    world.up()
    done = drill(world, "--json")
    lines = done.stdout.strip().splitlines()
    entries = world.entries("what:drill.*")
    return {
        "exit": done.returncode,
        "report": json.loads(lines[-1]) if lines else None,
        "said": done.stderr,
        "left": left(),
        "file": (world.paths.state / "drill-decoy").exists(),
        "secrets": [row["name"] for row in world.call("secret_list")],
        "drill_leaves": [
            [entry["kind"], entry["actor"].get("name", ""), entry["facts"]] for entry in entries
        ],
        "orders": [entry["facts"]["order"] for entry in world.entries("what:order.spent")],
        "alive": [name for name, row in world.agents().items() if row["state"] != "ended"],
        "cells": world.call("health")["cells"],
    }


def refused(world: Supervised) -> dict[str, Any]:
    without = drill(world)
    world.up(degraded="landlock")
    degraded = drill(world)
    return {
        "without": [without.returncode, without.stderr],
        "degraded": [degraded.returncode, degraded.stderr],
        "left": left(),
        "begun": world.entries("what:drill.begun"),
    }


def main() -> None:
    base = Path.cwd() / "b"
    base.mkdir()
    world = Supervised(base)
    try:
        print(json.dumps({"whole": whole, "refused": refused}[sys.argv[1]](world)))
    finally:
        world.close()


if __name__ == "__main__":
    main()
