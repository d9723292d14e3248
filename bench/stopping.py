"""Ours for the questions about stopping and about whole commands: a throw-away supervisor, agents whose commands will not go.

Run as `python -m bench.stopping stop_one|stop_swarm|shell key=value ...`; the last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.work import Params, end_in_order
from queenright.authority.document import INTENT
from queenright.authority.intent_toml import parse_intent
from queenright.cli.behaviour import read_package
from queenright.cli.throwaway import ThrowAway
from queenright.clock import SystemClock
from queenright.control.client import Client

PACKAGE = Path(__file__).parent / "behaviours" / "stopwork"
DEADLINE_S = 300.0
LOOK_S = 0.05
INTENT_TEXT = """
[intent]
purpose = "measure"
swarm = "bench-{number}"
for = "1h"
depth = 1
max_agents = {most}

[run]
start = "stopwork.{start}"
packages = ["stopwork"]
args = {args}

[[allow]]
do = ["shell.run"]
on = "ws:self"
"""
# One process each: in a session of its own, orphaned, deaf to what can be ignored.
STUBBORN = (
    "trap '' TERM HUP INT; i=1; while [ $i -lt {processes} ]; do"
    " (setsid sh -c \"trap '' TERM HUP INT; exec sleep {mark}\" &); i=$((i+1)); done; exec sleep {mark}"
)


def left(mark: str) -> int:
    """Processes with the mark as a word of their command line, by /proc."""
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(f"/proc/{entry.name}/cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            found += words[:2] == [b"sleep", mark.encode()]
    return found


class World:
    """A supervisor with the package installed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        row = client.call("behaviour_add", files=read_package(PACKAGE))
        self._packages = {row["name"]: row["digest"]}
        self._number = 0

    def begin(self, start: str, most: int, **args: Any) -> str:
        """Sign and apply an intent; its id."""
        self._number += 1
        words = ", ".join(f"{name} = {json.dumps(value)}" for name, value in args.items())
        text = INTENT_TEXT.format(number=self._number, most=most, start=start, args=f"{{ {words} }}")
        intent = parse_intent(text).compile(
            runtime=self.client.hello.runtime, packages=self._packages, now_ms=SystemClock().wall_ms(), rand=os.urandom
        )  # fmt: skip
        document = intent.encode()
        assert self.client.signer is not None
        signature = self.client.signer.sign(INTENT, document)
        return str(self.client.call("intent_apply", document=document, signature=signature)["id"])

    def stop(self, intent: str, mark: str) -> tuple[int, dict[str, Any]]:
        """Nanoseconds from the order to its answer, and the answer. Raises RuntimeError if anything is left after it."""
        began = time.perf_counter_ns()
        done = self.client.call("stop", target=intent)
        took = time.perf_counter_ns() - began
        if done["unacked"] or left(mark):
            raise RuntimeError(f"{left(mark)} processes are left after {done}")
        return took, done


def until(what: str, condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {DEADLINE_S:.0f} s for {what}")
        time.sleep(LOOK_S)


def stop_one(world: World, params: Params) -> dict[str, Any]:
    """An agent in a cell of its own and a command of so many processes: from the order to the kernel's word for all."""
    rounds, processes = params.whole("messages"), params.whole("processes")
    took: list[int] = []
    for number in range(rounds):
        mark = f"8{os.getpid():07d}{number:03d}"
        command = STUBBORN.format(processes=processes, mark=mark)
        intent = world.begin("Runs", 2, command=command)
        until("the command's processes", lambda mark=mark: left(mark) == processes)  # type: ignore[misc]
        one, done = world.stop(intent, mark)
        if done["reach"]["processes"] < processes:
            raise RuntimeError(f"the kernel counted {done['reach']['processes']} processes of {processes}")
        took.append(one)
    return {"count": rounds, "latencies_ns": took}


def stop_swarm(world: World, params: Params) -> dict[str, Any]:
    """A swarm of woken agents, some of them with a command: from the order to the kernel's word for all."""
    agents, commands = params.whole("agents"), params.whole("commands")
    mark = f"9{os.getpid():07d}"
    intent = world.begin("Swarm", agents, agents=agents, commands=commands, command=f"exec sleep {mark}")
    until("the commands", lambda: left(mark) == commands)
    # Every member has had its message: nobody but those with a command has a turn.
    until("the members", lambda: world.client.call("status")["agents"].get("run", 0) <= commands)
    took, done = world.stop(intent, mark)
    if (done["count"], done["reach"]["commands"]) != (agents, commands):
        raise RuntimeError(f"stopped {done}, not {agents} agents and {commands} commands")
    return {"count": agents, "stopped_ms": took / 1e6, "gone_ms": done["reach"]["ms"]}


def shell(world: World, params: Params) -> dict[str, Any]:
    """`ctx.shell("true")`, one after the other: the grant, the record, sandbox, keeper and outcome are all in it."""
    commands = params.whole("messages")
    world.begin("Shells", 2, messages=commands)
    took: list[int] = []

    def told() -> bool:
        rows = world.client.call("agents")["rows"]
        if not rows:
            return False
        lines = world.client.call("agent_log", agent=rows[0]["id"])["lines"]
        wrong = [line["text"] for line in lines if "Error" in line["text"]]
        if wrong:
            raise RuntimeError(wrong[0])
        took[:] = [
            one
            for line in lines
            if line["text"].startswith("bench ")
            for one in json.loads(line["text"].removeprefix("bench "))["took"]
        ]
        return len(took) >= commands

    until("the commands", told)
    return {"count": len(took), "latencies_ns": took}


def main() -> int:
    end_in_order()
    workloads = {"stop_one": stop_one, "stop_swarm": stop_swarm, "shell": shell}
    workload, params = sys.argv[1], Params.of_argv(sys.argv[2:])
    if workload not in workloads:
        raise SystemExit(f"no workload {workload}")
    with ThrowAway(SystemClock()) as place:
        client = place.client()
        try:
            print(json.dumps(workloads[workload](World(client), params)))
        finally:
            client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
