"""Agents with cells of their own: woken from the pool, bounded, in turn, and none lost whatever dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from supervised import Supervised

SOLO = """
import json, os
from dataclasses import dataclass
from queenright.agent import Agent, Allow, Context, Message, handles

class Go(Message):
    n: int

@dataclass
class Count:
    n: int = 0

class Boss(Agent):
    async def on_start(self, ctx: Context) -> None:
        for child in await ctx.spawn_many(Solo, ctx.args["agents"], stem="solo", exercise=[Allow("fs.read", "ws:self")]):
            for n in range(ctx.args["each"]):
                ctx.send(child, Go(n))

class Solo(Agent):
    state: Count

    @handles
    async def go(self, ctx: Context, message: Go) -> None:
        self.state.n += 1
        ctx.log(f"{message.n} is the {self.state.n}.")
"""
EXTRA = '[class.Solo]\ncell = "own"\non_start = false\n'
INTENT = """
[intent]
purpose = "alone"
swarm = "{swarm}"
for = "10m"
depth = 1
max_agents = 400

[run]
start = "solo.Boss"
packages = ["solo"]
args = {{ agents = {agents}, each = {each} }}

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


def counts(supervised: Supervised) -> dict[str, Any]:
    found: dict[str, Any] = supervised.call("health")["own_cells"]
    return found


def solos(supervised: Supervised, swarm: str) -> list[str]:
    return [name for name in supervised.agents() if name.startswith(f"{swarm}/boss/solo")]


def started(supervised: Supervised) -> list[dict[str, Any]]:
    return [
        entry
        for entry in supervised.entries()
        if entry["kind"] == "cell.started" and not entry["facts"]["shared"]
    ]


def cell_processes(supervised: Supervised) -> list[int]:
    """Every process of the launcher's that runs a cell, the pool's among them."""
    assert supervised.daemon is not None
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                grand = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
                if b"queenright.cell" in line and supervised.daemon.pid in (parent, grand):
                    found.append(int(entry.name))
    return found


def test_more_agents_than_places_are_served_in_turn_each_message_once(supervised: Supervised) -> None:
    """Two swarms, 12 agents each, three places: the second does not wait for the first to be through."""
    supervised.up(own_cells=3)
    supervised.add("solo", SOLO, classes='"Boss", "Solo"', extra=EXTRA)
    for swarm in ("one", "two"):
        supervised.apply(INTENT.format(swarm=swarm, agents=12, each=2))
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, counts(supervised)["alive"])
        names = [name for swarm in ("one", "two") for name in solos(supervised, swarm)]
        return len(names) == 24 and all(len(supervised.log(name)) == 2 for name in names)

    supervised.until("all of both swarms", done, 120)
    for swarm in ("one", "two"):
        assert len(solos(supervised, swarm)) == 12
        for name in solos(supervised, swarm):
            assert supervised.log(name) == ["0 is the 1.", "1 is the 2."], name
    assert most <= 3
    intents = [entry["intent"] for entry in started(supervised)]
    assert len(set(intents)) == 2
    # From when both waited until one has no more to wake they take turns: neither gets a round of places ahead.
    first, second = dict.fromkeys(intents)
    ahead, left = 0, {intent: intents[intents.index(second) :].count(intent) for intent in (first, second)}
    assert left[second] >= 12
    for intent in intents[intents.index(second) :]:
        if not all(left.values()):
            break
        left[intent] -= 1
        ahead += 1 if intent == second else -1
        assert abs(ahead) <= 3, intents
    assert supervised.call("status")["own_cells"]["waiting"] == 0


def test_many_agents_with_own_cells_are_resident_and_only_the_busy_have_a_process(
    supervised: Supervised,
) -> None:
    supervised.up(own_cells=2)
    supervised.add("solo", SOLO, classes='"Boss", "Solo"', extra=EXTRA)
    supervised.apply(INTENT.format(swarm="big", agents=300, each=0))
    supervised.until("300 agents", lambda: supervised.call("health")["agents"] == 301)
    assert counts(supervised)["alive"] == 0
    assert len(cell_processes(supervised)) <= 1  # the boss's
    assert started(supervised) == []


def test_what_dies_costs_nobody_a_message(supervised: Supervised) -> None:
    """Every cell process, empty ones among them, is killed again and again while agents wake."""
    supervised.up(own_cells=2)
    supervised.add("solo", SOLO, classes='"Boss", "Solo"', extra=EXTRA)
    supervised.apply(INTENT.format(swarm="one", agents=8, each=1))
    killed = 0

    def pooled() -> bool:
        return counts(supervised)["pool"] > 0

    supervised.until("a filled pool", pooled)
    for pid in cell_processes(supervised):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    assert killed
    supervised.until(
        "all handled",
        lambda: all(supervised.log(name)[-1:] == ["0 is the 1."] for name in solos(supervised, "one")),
        60,
    )
    assert len(solos(supervised, "one")) == 8
    supervised.until("the pool is filled again", pooled)
    assert [entry for entry in supervised.entries() if entry["kind"] == "message.dead"] == []


@pytest.mark.parametrize("who", ["supervisor", "launcher"])
def test_no_cell_and_nothing_of_the_pool_outlives_the_supervisor_or_the_launcher(
    supervised: Supervised, who: str
) -> None:
    supervised.up(own_cells=2)
    supervised.add("solo", SOLO, classes='"Boss", "Solo"', extra=EXTRA)
    supervised.apply(INTENT.format(swarm="one", agents=2, each=1))
    supervised.until("a filled pool", lambda: counts(supervised)["pool"] > 0)
    processes = cell_processes(supervised)
    assert len(processes) >= 2
    if who == "supervisor":
        supervised.kill()
    else:
        assert supervised.daemon is not None
        children = Path(f"/proc/{supervised.daemon.pid}/task/{supervised.daemon.pid}/children").read_text()
        launchers = [
            int(pid)
            for pid in children.split()
            if Path(f"/proc/{pid}/comm").read_text().startswith("queenright-laun")
        ]
        assert len(launchers) == 1
        os.kill(launchers[0], signal.SIGKILL)
    supervised.until(
        "nothing is left", lambda: not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    )


SPY = """
import json, os
from queenright.agent import Agent, Context

def attempt(fn):
    try:
        return "GOT " + repr(fn())[:200]
    except BaseException as error:
        return type(error).__name__

def write(path, how=os.O_WRONLY):
    descriptor = os.open(path, how)
    os.write(descriptor, b"x")

class Spy(Agent):
    async def on_start(self, ctx: Context) -> None:
        fds = [int(fd) for fd in os.listdir("/proc/self/fd")] if os.path.exists("/proc/self/fd") else []
        own = Spy.on_start.__code__.co_filename
        ctx.log(json.dumps({
            "packages": attempt(lambda: os.listdir("/queenright/behaviours")),
            "own file": attempt(lambda: open(own).read()),
            "write own file": attempt(lambda: write(own, os.O_WRONLY | os.O_CREAT)),
            "memory files": [name for fd in fds for name in [attempt(lambda: os.readlink(f"/proc/self/fd/{fd}"))] if "bundle" in name],
            "processes": attempt(lambda: [p for p in os.listdir("/proc") if p.isdigit() and p not in (str(os.getpid()), "1")] or 1 / 0),
            "uid": open("/proc/self/uid_map").read().split()[1],
        }))
        ctx.log(own)
        raise ValueError("shown with its line")
"""


def test_an_agent_in_a_cell_of_the_pool_reaches_no_package_not_even_its_own_and_no_neighbour(
    supervised: Supervised,
) -> None:
    """Its package came as sealed bytes and the descriptor is closed; nothing else was ever shown to the process."""
    supervised.up()
    supervised.add("solo", SOLO, classes='"Boss", "Solo"', extra=EXTRA)
    supervised.apply(INTENT.format(swarm="one", agents=1, each=1))
    supervised.until("a filled pool", lambda: counts(supervised)["pool"] > 0)
    digest = supervised.add("spy", SPY, classes='"Spy"', extra='cell = "own"')
    intent = INTENT.format(swarm="spy", agents=0, each=0).replace("solo.Boss", "spy.Spy")
    pooled = {uid_of(pid) for pid in cell_processes(supervised)}
    supervised.apply(intent.replace('["solo"]', '["spy"]'))
    lines = supervised.until(
        "the spy's report",
        lambda: (
            (found := supervised.log("spy/spy")) and any("shown with" in line for line in found) and found
        ),
    )
    report = json.loads(lines[0])
    assert report["packages"] == "FileNotFoundError"
    assert report["own file"] == "FileNotFoundError"
    assert report["write own file"] in ("FileNotFoundError", "PermissionError", "OSError")
    assert report["memory files"] == []
    assert report["processes"] == "ZeroDivisionError"
    # The file's name, the line and its text, as for a mounted package.
    assert lines[1] == f"/queenright/behaviours/{digest.hex()}/__init__.py"
    failure = next(line for line in lines if "shown with its line" in line)
    assert "Traceback" not in failure or 'raise ValueError("shown with its line")' in failure
    if os.geteuid() == 0:
        assert int(report["uid"]) in pooled
        uids = [uid_of(pid) for pid in cell_processes(supervised)]
        assert len(set(uids)) == len(uids)


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


BOMB = """
import os, threading, time
from queenright.agent import Agent, Context

class Bomb(Agent):
    async def on_start(self, ctx: Context) -> None:
        try:
            {bomb}
        except BaseException as error:
            ctx.log("stopped by " + type(error).__name__)
        else:
            ctx.log("GOT THROUGH")
"""
BOMBS = {
    "memory": ("memory_mib = 128", "bytearray(256 * 1024 * 1024)", "MemoryError"),
    "processes": (
        "processes = 8",
        "[threading.Thread(target=time.sleep, args=(600,), daemon=True).start() for _ in range(32)]",
        "RuntimeError",
    ),
    "files": ("open_files = 40", "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(100)]", "OSError"),
    "file size": (
        "file_mib = 1",
        "open(os.memfd_create('m'), 'wb').write(bytes(2 * 1024 * 1024))",
        "OSError",
    ),
}


@pytest.mark.parametrize("cell", ["own", "shared"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_packages_own_limits_hold_in_its_cells(supervised: Supervised, cell: str, bomb: str) -> None:
    """Each bomb passes the default's bound and not this package's."""
    limit, code, error = BOMBS[bomb]
    supervised.up()
    supervised.add(
        "bomb", BOMB.format(bomb=code), classes='"Bomb"', extra=f'cell = "{cell}"\n[limits]\n{limit}'
    )
    intent = INTENT.format(swarm="b", agents=0, each=0)
    supervised.apply(intent.replace("solo.Boss", "bomb.Bomb").replace('["solo"]', '["bomb"]'))
    lines = supervised.until("the bomb's end", lambda: supervised.log("b/bomb"))
    assert lines[0] == f"stopped by {error}", lines


def test_the_same_bombs_pass_without_limits(supervised: Supervised) -> None:
    """The positive control: what stopped them is the package's limit."""
    supervised.up()
    for number, (_, code, _) in enumerate(BOMBS.values()):
        name = f"bomb{number}"
        supervised.add(name, BOMB.format(bomb=code), classes='"Bomb"', extra='cell = "own"')
        intent = INTENT.format(swarm=f"b{number}", agents=0, each=0)
        supervised.apply(intent.replace("solo.Boss", f"{name}.Bomb").replace('["solo"]', f'["{name}"]'))
        lines = supervised.until("the bomb's end", lambda agent=f"b{number}/bomb": supervised.log(agent))
        assert lines[0] == "GOT THROUGH", (code, lines)


CALLING = """
from queenright.agent import Agent, Allow, Context, Message, handles

class Ask(Message):
    depth: int

class Answer(Message):
    depth: int

class Asker(Agent):
    async def on_start(self, ctx: Context) -> None:
        if ctx.args["depth"]:
            child = await ctx.spawn(
                Asker, name="deeper", args={"depth": ctx.args["depth"] - 1}, depth=ctx.args["depth"], agents=ctx.args["depth"],
                exercise=[Allow("fs.read", "ws:self")], delegate=[Allow("fs.read", "ws:self")],
            )
            answer = await ctx.call(child, Ask(0), timeout=60)
            ctx.log(f"heard from {answer.depth} below")

    @handles
    async def ask(self, ctx: Context, message: Ask) -> Answer:
        return Answer(ctx.args["depth"])
"""


def test_agents_that_call_each_other_through_one_place_do_not_wait_for_ever(supervised: Supervised) -> None:
    """A turn that waits for an answer needs no process: it gives its place up and runs again when the answer is there."""
    supervised.up(own_cells=1)
    supervised.add("asking", CALLING, classes='"Asker"', extra='cell = "own"')
    intent = INTENT.format(swarm="ask", agents=0, each=0).replace("agents = 0, each = 0", "depth = 2")
    intent = intent.replace("solo.Boss", "asking.Asker").replace('["solo"]', '["asking"]')
    supervised.apply(intent.replace("depth = 1", "depth = 3"))
    supervised.until("the answer", lambda: "heard from 1 below" in supervised.log("ask/asker"), 90)
    assert supervised.log("ask/asker/deeper") == ["heard from 0 below"]


VOLATILE = """
from dataclasses import dataclass
from queenright.agent import Agent, Context, Message, handles

class Beat(Message, volatile=True):
    n: int

class Ask(Message):
    pass

class Go(Message):
    pass

@dataclass
class Count:
    n: int = 0

class Boss(Agent):
    async def on_start(self, ctx: Context) -> None:
        first = await ctx.spawn(Heart, name="first")
        await ctx.call(first, Ask())
        for n in range(3):
            ctx.send(first, Beat(n))
        await ctx.sleep(1)
        second = await ctx.spawn(Heart, name="second")
        await ctx.call(second, Ask())
        await ctx.call(first, Ask())

class Heart(Agent):
    state: Count

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        self.state.n += 1

    @handles
    async def ask(self, ctx: Context, message: Ask) -> Go:
        ctx.log(f"{self.state.n} beats")
        return Go()
"""


def test_what_volatile_mail_changed_is_kept_when_an_idle_cell_makes_room(supervised: Supervised) -> None:
    supervised.up(own_cells=1)
    extra = '[class.Heart]\ncell = "own"\non_start = false\n'
    supervised.add("hearts", VOLATILE, classes='"Boss", "Heart"', extra=extra)
    intent = INTENT.format(swarm="beat", agents=0, each=0).replace("solo.Boss", "hearts.Boss")
    supervised.apply(intent.replace('["solo"]', '["hearts"]'))
    first = "beat/boss/first"
    supervised.until("its birth", lambda: first in supervised.agents())
    supervised.until("both answers", lambda: len(supervised.log(first)) == 2, 90)
    assert supervised.log("beat/boss/second") == ["0 beats"]
    assert supervised.log("beat/boss/first") == ["0 beats", "3 beats"]
