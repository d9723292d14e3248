"""Each program of bench/, at its smallest: it measures ours and a peer that is always there, by the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALWAYS_HERE = [
    "asyncio", "asyncio, no flood", "asyncio, 4 processes", "asyncio + fsync", "Unix socket", "no sandbox",
]  # fmt: skip
# Processor time has a grain of 10 ms, and a few agents may fit into memory that was there before.
MAY_BE_NOTHING = {
    "idle_cpu_percent", "supervisor_us", "resting_processes", "bytes_each", "cell_bytes_each", "supervisor_bytes_each", "orphans",
}  # fmt: skip

IN_A_CELL = (
    "w1_ping_pong", "w2_fan_in", "w2b_fan_in", "w3_ring", "w3b_ring", "w4_dormant", "w4m_million", "w5_wake",
    "w5b_dormant_wake", "w6_sealed", "w7_flood",
)  # fmt: skip
BETWEEN_CELLS = (
    "y4_own_wake",
    "y4b_own_many",
    "w4s_spawn",
    "x1_throughput",
    "x2_durable",
    "x3_round_trip",
    "x4_full_mailbox",
)
OVER_THE_LAUNCHER = ("y1_command", "y2_many", "y5_egress")
OF_WORKSPACES = ("y3_commit",)
OF_STOPPING = ("y6_stop_one", "y6s_stop_swarm", "y7_shell")
WITHOUT_PEER = {
    "w4m_million",
    "w5b_dormant_wake",
    "x4_full_mailbox",
    "y2_many",
    "y3_commit",
    "y4_own_wake",
    "y4b_own_many",
    *OF_STOPPING,
}


def measured(program: str, directory: Path) -> dict[str, Any]:
    only = [word for name in ALWAYS_HERE for word in ("--only", name)]
    argv = [sys.executable, "-m", f"bench.{program}", "--mode", "tiny", "--results", str(directory), *only]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = directory.glob("*.json")
    run = json.loads(path.read_text())
    (question,) = run["questions"]
    assert question["failed"] == {}
    assert question["id"] in done.stdout
    for figures in question["samples"].values():
        for name, values in figures.items():
            assert len(values) == question["repetitions"]
            for value in values:
                assert value > 0 or name in MAY_BE_NOTHING
    # As many messages each, for as many pairs of processes each.
    pairs = {name: params.get("pairs", 1) for name, params in question["params"].items()}
    # But for births that are commits each, which no run can wait for by the thousand.
    alike = [name for name, params in question["params"].items() if not params.get("one_by_one")]
    assert len({question["counts"][name] // pairs[name] for name in alike if name in question["counts"]}) == 1
    assert bool(set(ALWAYS_HERE) & question["samples"].keys()) == (program not in WITHOUT_PEER)
    side_by_side = subprocess.run(
        [ROOT / "bench/compare", path, path], capture_output=True, text=True, check=True
    )
    assert "B/A 1.00" in side_by_side.stdout
    return dict(question)


@pytest.mark.parametrize("program", IN_A_CELL)
def test_a_program_in_a_cell_measures_ours_and_a_peer_by_the_same_work(program: str, tmp_path: Path) -> None:
    measured(program, tmp_path)


@pytest.mark.isolation
@pytest.mark.parametrize("program", BETWEEN_CELLS)
def test_a_program_between_cells_measures_real_sandboxed_cells(program: str, tmp_path: Path) -> None:
    measured(program, tmp_path)


@pytest.mark.isolation
@pytest.mark.parametrize("program", OVER_THE_LAUNCHER)
def test_a_program_over_the_launcher_measures_real_sandboxes(program: str, tmp_path: Path) -> None:
    measured(program, tmp_path)


@pytest.mark.isolation
@pytest.mark.parametrize("program", OF_WORKSPACES)
def test_a_program_of_workspaces_keeps_what_a_sandboxed_command_left(program: str, tmp_path: Path) -> None:
    measured(program, tmp_path)


def test_no_program_is_left_out_here() -> None:
    from bench.__main__ import PROGRAMS

    assert set(IN_A_CELL + BETWEEN_CELLS + OVER_THE_LAUNCHER + OF_WORKSPACES + OF_STOPPING) == set(PROGRAMS)


@pytest.mark.isolation
@pytest.mark.parametrize("program", OF_STOPPING)
def test_a_program_of_stopping_leaves_nothing_that_the_kernel_lists(program: str, tmp_path: Path) -> None:
    measured(program, tmp_path)
