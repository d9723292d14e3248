"""What the demo started ends with it, and nothing else does."""

import subprocess
import sys
import time

from queenright.demo.processes import Processes, running

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_children_are_ended_even_if_they_will_not_listen() -> None:
    deaf = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    processes = Processes()
    child = processes.start("deaf", [sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    assert processes.end("deaf") == -9
    assert processes.end("deaf") is None


def test_what_an_action_started_for_us_is_ended_and_nothing_like_it() -> None:
    ours = [*SLEEP, "/nowhere/demo-7/worker"]
    inside = subprocess.Popen(ours)
    others = [subprocess.Popen(argv) for argv in (SLEEP, [*ours, "x"], [*SLEEP, "/nowhere/demo-7"])]
    try:
        limit = time.monotonic() + 10
        while inside.pid not in running([ours]) and time.monotonic() < limit:
            time.sleep(0.01)  # until it has become the interpreter
        assert Processes().end_all([ours]) == []
        assert inside.wait(10) == -9
        assert all(other.poll() is None for other in others)
    finally:
        for child in (inside, *others):
            child.kill()
            child.wait()
