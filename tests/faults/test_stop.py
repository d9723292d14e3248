"""Stop means stop: every order against an agent whose command will not go, by what the kernel lists after the answer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_command import COMMAND, FAMILIES, STOPPED, left, mark
from supervised import Supervised

PACKAGE = """
import itertools
from queenright.agent import Agent, Allow, Context, Message, handles

class Go(Message):
    pass

class Beat(Message):
    pass

class Runs(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.log("runs")
        done = await ctx.shell(ctx.args["command"], timeout=600)
        ctx.log(f"dropped: {done.dropped}")

class RunsAlone(Runs):
    pass

class Parent(Agent):
    async def on_start(self, ctx: Context) -> None:
        rights = [Allow("fs.read", "ws:self")]
        bad = await ctx.spawn(Bad, name="bad", args=dict(ctx.args), exercise=rights)
        good = await ctx.spawn(Good, name="good", exercise=rights)
        ctx.send(good, Go())
        ctx.send(bad, Go())

class Good(Agent):
    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        ctx.every(0.05, Beat())

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        ctx.log("beat")

class Bad(Agent):
    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        ctx.log("holds")
        if ctx.args["how"] == "holds the interpreter":
            sum(itertools.repeat(0))
        try:
            await ctx.sleep(1000)
        finally:
            sum(itertools.repeat(0))
"""
EXTRA = '[class.RunsAlone]\ncell = "own"'
CLASSES = '"Runs", "RunsAlone", "Parent", "Good", "Bad"'
INTENT = """
[intent]
purpose = "will not go"
swarm = "{swarm}"
for = "10m"
depth = 1
max_agents = 8

[run]
start = "hostile.{start}"
packages = ["hostile"]
args = {args}

[[allow]]
do = ["fs.read", "shell.run"]
on = "ws:self"
"""
WITHIN_S = 120.0


def begin(supervised: Supervised, swarm: str, start: str, **args: str) -> str:
    words = ", ".join(f"{name} = '''{value}'''" for name, value in args.items())
    return supervised.apply(INTENT.format(swarm=swarm, start=start, args="{" + words + "}"))


@pytest.fixture
def up(supervised: Supervised) -> Supervised:
    supervised.up()
    supervised.add("hostile", PACKAGE, classes=CLASSES, extra=EXTRA)
    return supervised


def hostile(supervised: Supervised, number: int, start: str) -> tuple[str, str, str]:
    """(intent, agent's name, mark) of an agent whose command has all of its processes."""
    word, swarm = mark(number), f"s{number}"
    command = COMMAND.format(mark=word, families=FAMILIES)
    intent = begin(supervised, swarm, start, command=command)

    def complete() -> bool:
        found = left(word)
        # Each family's two sleeps and its shell, the command's own sleep and shell, and the one that is stopped.
        return len(found) >= 3 * FAMILIES + 2 and any(state == STOPPED for _, state in found)

    supervised.until("the command's processes", complete, WITHIN_S)
    return intent, f"{swarm}/{start.lower()}", word


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    return False


def cells(supervised: Supervised, intent: str) -> list[int]:
    """The processes of the intent's cells that the record says were started and not ended."""
    entries = [entry for entry in supervised.entries() if entry.get("intent") == intent]
    ended = {entry["facts"]["cell"] for entry in entries if entry["kind"] in ("cell.ended", "cell.killed")}
    started = [entry["facts"] for entry in entries if entry["kind"] == "cell.started"]
    return [facts["pid"] for facts in started if facts["cell"] not in ended]


def reached(supervised: Supervised, verb: str) -> dict[str, Any]:
    facts = [entry["facts"] for entry in supervised.entries() if entry["kind"] == "stop.reached"]
    return next(one for one in reversed(facts) if one["order"] == verb)


# Each verb, whether it is given to the agent or to its swarm, and whether the agent's own cell is ended too.
ORDERS = [
    ("freeze", "agent", True),
    ("pause", "agent", True),
    ("revoke", "agent", False),
    ("stop", "agent", True),
    ("freeze", "intent", True),
    ("pause", "intent", True),
    ("revoke", "intent", True),
    ("stop", "intent", True),
]


@pytest.mark.parametrize("start", ["RunsAlone", "Runs"])
def test_each_order_ends_the_command_and_all_it_forked_before_it_answers(up: Supervised, start: str) -> None:
    for number, (verb, kind, ends_cell) in enumerate(ORDERS):
        intent, name, word = hostile(up, number, start)
        own = cells(up, intent)
        done = up.call(verb, target=intent if kind == "intent" else up.agents()[name]["id"])
        assert left(word) == [], f"{verb} of {kind}: the kernel lists these after the answer"
        reach = done["reach"]
        assert (done["unacked"], reach["late"], reach["commands"]) == (0, [], 1), (verb, kind, done)
        assert reach["processes"] > 3 * FAMILIES, "the kernel counted them"
        if ends_cell and (kind == "intent" or start == "RunsAlone"):
            assert not any(alive(pid) for pid in own), f"{verb} of {kind} left a cell"
            assert reach["cells"] == 1
        elif ends_cell:
            assert reach["cells"] == 1, "its shared cell had nobody else"
        recorded = reached(up, verb)
        assert (recorded["commands"], recorded["unreached"]) == (1, 0)
        ordered = up.call("ledger", query="", newest=False, limit=500)["rows"][recorded["ordered"]]
        assert recorded["ordered"] == done["leaf"] == ordered["index"], "ordered, then reached"


def test_down_ends_everything_and_says_so_before_it_goes(up: Supervised) -> None:
    _, _, word = hostile(up, 20, "RunsAlone")
    done = up.call("down")
    assert left(word) == []
    assert (done["unacked"], done["reach"]["cells"], done["reach"]["commands"]) == (0, 1, 1)
    assert up.daemon is not None
    assert up.daemon.wait(WITHIN_S) == 0
    up.daemon = None


@pytest.mark.parametrize("verb", ["freeze", "pause"])
def test_what_is_held_runs_nothing_until_it_is_let_go_and_is_then_told_what_was_dropped(
    up: Supervised, verb: str
) -> None:
    _, name, word = hostile(up, 30, "RunsAlone")
    agent = up.agents()[name]["id"]
    up.call(verb, target=agent)
    # Its turn is open and its step has a result: nothing but the order keeps it from a cell.
    assert up.call("status")["cells"] == 0
    assert not any("dropped" in line for line in up.log(name))
    up.call("unfreeze" if verb == "freeze" else "resume", target=agent)
    up.until(
        "the agent hears", lambda: any("dropped: it was cut off" in line for line in up.log(name)), WITHIN_S
    )
    assert left(word) == []


@pytest.mark.parametrize("how", ["holds the interpreter", "holds it when it is thrown out"])
def test_a_turn_that_does_not_yield_costs_its_shared_cell_and_the_neighbours_go_on_in_the_next(
    up: Supervised, how: str
) -> None:
    intent = begin(up, "h", "Parent", how=how)
    up.until("they are born", lambda: {"h/parent/bad", "h/parent/good"} <= up.agents().keys(), WITHIN_S)
    if how == "holds the interpreter":
        up.until("it holds", lambda: up.agents()["h/parent/bad"]["doing"].startswith("hostile.Go"), WITHIN_S)
    else:
        up.until("it sleeps", lambda: "holds" in up.log("h/parent/bad"), WITHIN_S)
        up.until("the neighbour works", lambda: "beat" in up.log("h/parent/good"), WITHIN_S)
    held = cells(up, intent)
    done = up.call("freeze", target=up.agents()["h/parent/bad"]["id"])
    assert done["reach"]["late"] == []
    assert not any(alive(pid) for pid in held), "only the end of its process ends such a turn"
    before = up.log("h/parent/good").count("beat")
    up.until("the neighbour goes on", lambda: up.log("h/parent/good").count("beat") > before, WITHIN_S)
    assert up.agents()["h/parent/bad"]["state"] == "frozen"
    assert up.agents()["h/parent/good"]["state"] not in ("suspect", "quarantined"), "nobody else is blamed"


@contextlib.contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Processes that not even SIGKILL reaches: version 1's freezer lets none of them die before it thaws."""
    group = Path(f"/sys/fs/cgroup/freezer/queenright-test-{os.getpid()}")
    group.mkdir()
    try:
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/freezer/cgroup.procs", os.W_OK), reason="needs root and cgroup 1's freezer"
)
def test_what_not_even_the_kernel_can_end_is_named_and_ordered_again_until_it_is_gone(up: Supervised) -> None:
    intent, name, word = hostile(up, 40, "RunsAlone")
    with frozen([pid for pid, state in left(word) if state != STOPPED][:1]):
        done = up.call("stop", target=intent)
        assert (done["unacked"], done["reach"]["unreached"]) == (1, 1)
        assert name in done["reach"]["late"][0], "by name"
        assert done["reach"]["cells"] == 1, "what could be reached was"
        status = up.call("status")
        assert (status["stop"], status["stop_unacked"]) == ("stopping", 1)
        assert name in status["stop_late"][0]
        unreached = [entry["facts"] for entry in up.entries() if entry["kind"] == "stop.unreached"]
        assert name in unreached[-1]["late"]
    up.until("it obeys", lambda: up.call("status")["stop_unacked"] == 0, WITHIN_S)
    assert left(word) == []
    assert up.call("status")["stop_late"] == []
    up.until("that is recorded too", lambda: any(e["kind"] == "stop.reached" for e in up.entries()), WITHIN_S)
