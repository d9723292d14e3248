"""All questions, in order: `python -m bench [ID ...] [--mode full|quick|tiny]`."""

from __future__ import annotations

import sys
from importlib import import_module

from bench.program import main
from bench.question import Question

PROGRAMS = (
    "w1_ping_pong", "w2_fan_in", "w2b_fan_in", "w3_ring", "w3b_ring", "w4_dormant", "w4m_million", "w4s_spawn", "w5_wake",
    "w5b_dormant_wake", "w6_sealed", "w7_flood", "x1_throughput", "x2_durable", "x3_round_trip", "x4_full_mailbox",
    "y1_command", "y2_many", "y3_commit", "y4_own_wake", "y4b_own_many", "y5_egress", "y6_stop_one", "y6s_stop_swarm", "y7_shell",
)  # fmt: skip


def questions() -> list[Question]:
    """One a program."""
    return [import_module(f"bench.{name}").QUESTION for name in PROGRAMS]


if __name__ == "__main__":
    sys.exit(main(questions()))
