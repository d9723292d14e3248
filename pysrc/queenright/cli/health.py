"""`queenright health` and `queenright status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queenright.cli import exit_codes
from queenright.cli.output import ago, clean
from queenright.cli.run import Run, command

__all__ = ["health_command", "isolation", "own_cells", "status_command"]


@command("health", "queenright health", "queenright health --json", key=False)
def health_command(run: Run) -> int:
    """Show counts, and nothing that a key protects.

    Ends with 0 when the supervisor serves, 7 when it is locked, 1 when its ledger cannot be written or it
    is stopped.
    """
    with run.client(prove=False) as client:
        health = client.call("health")
    words = "locked" if health["locked"] else "stopped" if health["stopped"] else "serving"
    run.out.data(
        health,
        [
            f"{words} (version {health['version']}, up {ago(0, health['uptime_ms'])})",
            f"agents {health['agents']}, cells {health['cells']}, leases {health['leases']}",
            own_cells(health["own_cells"]),
            f"asks waiting for a person: {health['asks_open']}",
            f"ledger: {'ok' if health['ledger_ok'] else 'NOT WRITABLE, no action runs'}",
            isolation(health),
        ],
    )
    if health["locked"]:
        return exit_codes.LOCKED
    return exit_codes.OK if health["ledger_ok"] and not health["stopped"] else exit_codes.FAILED


def own_cells(counts: Mapping[str, Any]) -> str:
    """How many agents have a cell of their own, who waits for one, and why if not for want of places."""
    text = (
        f"own cells: {counts['alive']} of at most {counts['most']}, {counts['waiting']} agents wait for one, "
        f"{counts['pool']} empty in the pool"
    )
    return text + (f"; REFUSED: {clean(counts['refused'])}" if counts["refused"] else "")


def isolation(told: Mapping[str, Any]) -> str:
    """What stands around agents' code, and who holds their memory; less than all of it in capitals."""
    tier = {
        "full": "full",
        "bwrap": "bwrap (bubblewrap makes the namespaces)",
        "landlock-strict": "DEGRADED, landlock-strict: agents share the host's namespaces",
    }[told["tier"]]
    memory = {"hard": "memory: hard", "soft": "memory: soft", "none": "memory: NOT HELD"}[told["memory"]]
    return f"isolation: {tier}; {memory}"


@command("status", "queenright status", "queenright status --json")
def status_command(run: Run) -> None:
    """Show what runs, who waits for a person, where the ledger stands, how far your key is away."""
    with run.client() as client:
        who = client.call("whoami")
        status = client.call("status")
    states = ", ".join(f"{count} {state}" for state, count in sorted(status["agents"].items()) if count)
    waiting = f"{status['asks_open']} asks wait for a person"
    if status["oldest_ask_ms"] is not None:
        waiting += f", the oldest for {ago(status['oldest_ask_ms'], status['now_ms'])}"
    lines = [
        f"{clean(status['name'])} {status['version']}, up {ago(0, status['uptime_ms'])}"
        f"{', LOCKED' if status['locked'] else ''}",
        f"you are {clean(who['operator'])} ({who['fingerprint']}), proved by {who['level']}; "
        f"key distance: {who['distance']}",
        f"agents: {states or 'none'}; {status['swarms']} swarms in {status['cells']} cells; "
        f"{status['leases']} leases",
        own_cells(status["own_cells"]),
        waiting,
        f"stop: {status['stop']}"
        + (f", NOT ACKED {status['stop_unacked']}" if status["stop_unacked"] else ""),
        *(f"  NOT REACHED: {clean(name)}" for name in status["stop_late"]),
        f"ledger: {status['ledger_size']} entries, root {status['ledger_root'].hex()[:16]}, "
        f"{'ok' if status['ledger_ok'] else 'NOT WRITABLE'}",
        isolation(status),
    ]
    run.out.data({"status": status, "whoami": who}, lines)
