"""Each attack of the drill against a boundary that is switched off: the same code gets through, and the drill says ESCAPED.

One run of the whole drill in a throw-away place (`drill_open.py`); each attack is its own test. Needs root, for the namespaces of
that place and because many calls are refused to ordinary users by the kernel itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from queenright.drill import outside
from queenright.drill.attacks import agents
from queenright.drill.attacks.kit import ATTACKS

OPEN = Path(__file__).parents[1] / "support" / "drill_open.py"
SECONDS = 400

pytestmark = [pytest.mark.isolation, pytest.mark.root]

assert agents
assert outside


@pytest.fixture(scope="module")
def opened() -> dict[str, Any]:
    if os.geteuid() != 0:
        pytest.skip("switching the kernel's boundaries off needs root")
    environ = dict(os.environ) | {"PYTHONPATH": str(OPEN.parent)}
    done = subprocess.run(
        [sys.executable, str(OPEN), "world"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {row["attack"]: row for row in json.loads(done.stdout.strip().splitlines()[-1])["attacks"]}


def test_every_attack_has_a_control(opened: dict[str, Any]) -> None:
    assert set(opened) == set(ATTACKS)


# What the throw-away place itself would need: the attack's name, a capability's number (capability.h), and its name.
NEEDS = {"raise-a-limit": (24, "CAP_SYS_RESOURCE")}


def held(capability: int) -> bool:
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> capability & 1)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_attack_escapes_where_its_boundary_is_switched_off(opened: dict[str, Any], name: str) -> None:
    if name in NEEDS and not held(NEEDS[name][0]):
        pytest.skip(f"the control of {name} needs {NEEDS[name][1]}, which root does not have on this machine")
    assert opened[name]["outcome"] == "ESCAPED", opened[name]
