"""The attacks as a behaviour package, in a cell that was empty when it started: sealed bytes, imported by the cell's own loader."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from queenright.supervisor.empty_cell import EmptyCell
from queenright.supervisor.launcher import Exit, Launcher
from queenright.supervisor.sandbox_spec import BEHAVIOURS, SandboxSpec
from queenright.wire.bundle import pack_bundle
from queenright.wire.frame import pack
from queenright.wire.link import Shutdown, Start, encode

PROBE = """
import sys

class Flat:
    def find_spec(self, name, path, target=None):
        return BUNDLE.find_spec(name, [PLACE])

BUNDLE, PLACE = __spec__.loader._bundle, __file__.rpartition("/")[0]
sys.meta_path.append(Flat())
sys.argv[1:] = [{facts!r}]
import main
from queenright.agent import Agent

class Probe(Agent):
    pass
"""
DEADLINE = 300.0


async def attack_as_package(
    launcher: Launcher, spec: SandboxSpec, probe: Path, drill: Path, facts: dict[str, Any]
) -> tuple[Exit, str]:
    """How the cell ended, and what the attacks printed."""
    # The scheduler and the mapping hold duplicates of the link and the page: 5 and 6, and nothing more, no bundle.
    facts = facts | {"probe": "", "drill": "", "descriptors": 7}
    files = {path.name: path.read_bytes() for path in probe.glob("*.py")}
    files |= {f"attacks/{path.name}": path.read_bytes() for path in drill.glob("*.py")}
    files["__init__.py"] = PROBE.format(facts=json.dumps(facts)).encode()
    empty = await EmptyCell.start(launcher, spec)
    await empty.until_up()
    bundle = os.memfd_create("bundle")
    os.write(bundle, pack_bundle(files))
    package = {
        "name": "probe", "digest": bytes(32), "path": f"{BEHAVIOURS}/{'00' * 32}", "classes": ["Probe"], "bundle": True,
    }  # fmt: skip
    frame = Start(
        cell="cell-1", number=1, shared=False, runtime_key=bytes(32), nonce=bytes(32), packages=[package], turn_ms=1000,
        now_ms=0,
    )  # fmt: skip
    empty.begin(frame, [bundle])
    os.close(bundle)
    empty.link.send(pack(encode(Shutdown())))
    text = b""
    while chunk := await asyncio.wait_for(asyncio.to_thread(os.read, empty.output, 1 << 16), DEADLINE):
        text += chunk
    how = await empty.sandbox.wait()
    empty.discard()
    return how, text.decode()
