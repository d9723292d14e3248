"""kill -9 and what comes back: swarms, agents, states, timers; LOCKED; stopping and freezing."""

from __future__ import annotations

import pytest
from counting import COUNTER, INTENT, ticks
from supervised import Supervised

from queenright.errors import Locked, QueenrightError


def start(supervised: Supervised) -> None:
    supervised.up()
    supervised.add("counter", COUNTER, classes='"Counter"')
    supervised.apply(INTENT)
    supervised.until("some ticks", lambda: ticks(supervised) >= 3)


def test_killing_the_supervisor_takes_every_process_with_it_and_state_goes_on(supervised: Supervised) -> None:
    start(supervised)
    before = ticks(supervised)
    pids = [e["facts"]["pid"] for e in supervised.entries() if e["kind"] == "cell.started"]
    supervised.kill()
    supervised.until("no cell is left", lambda: not any(alive(pid) for pid in pids))
    assert supervised.processes() == []
    supervised.up()
    supervised.until("counting goes on", lambda: ticks(supervised) > before)
    kinds = [entry["kind"] for entry in supervised.entries()]
    assert "supervisor.recovered" in kinds


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_locked_supervisor_starts_no_cell_but_lets_authority_be_taken_away(supervised: Supervised) -> None:
    start(supervised)
    supervised.kill()
    supervised.up(locked=True)
    health = supervised.call("health")
    assert health["locked"]
    assert health["cells"] == 0
    with pytest.raises((Locked, QueenrightError)):
        supervised.call("agent_log", agent="n/counter")
    intent = supervised.call("intents")[0]["id"]
    done = supervised.call("revoke", target=intent)
    assert done["count"] == 1
    supervised.call("unlock", master_key=bytes.fromhex((supervised.base / "master").read_text().strip()))
    assert not supervised.call("health")["locked"]
    assert supervised.call("intents")[0]["state"] == "revoked"


def test_stopping_a_swarm_waits_for_the_kernels_word(supervised: Supervised) -> None:
    start(supervised)
    pids = [e["facts"]["pid"] for e in supervised.entries() if e["kind"] == "cell.started"]
    intent = supervised.call("intents")[0]["id"]
    done = supervised.call("stop", target=intent)
    assert done["unacked"] == 0
    assert not any(alive(pid) for pid in pids)
    assert supervised.agents() == {}


def test_a_frozen_swarm_does_nothing_until_a_signed_order(supervised: Supervised) -> None:
    start(supervised)
    intent = supervised.call("intents")[0]["id"]
    supervised.call("freeze", target=intent)
    frozen = ticks(supervised)
    assert supervised.call("can", agent="n/counter", verb="fs.read", resource="ws:self")["outcome"] == "deny"
    supervised.call("unfreeze", target=intent)
    supervised.until("counting goes on", lambda: ticks(supervised) > frozen)
    assert supervised.call("can", agent="n/counter", verb="fs.read", resource="ws:self")["outcome"] == "allow"
