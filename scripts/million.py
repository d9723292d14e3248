"""A million sleeping agents under a real supervisor: what they cost, how fast they are born, found again and woken.

    python scripts/million.py [AGENTS]

One supervisor process, one cell, the store on disk, nothing left out: identities, grants, ledger. Prints one figure a line.
Memory is Rss of /proc/PID/smaps_rollup; a rate is over the parent's own clock around `await ctx.spawn_many`, so it holds the
making of the certificates in the cell, the crossing, every check, and the commit.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from supervised import Supervised, remove

WAKES = 40
PEERS = 100_000


def asyncio_actors(count: int) -> float:
    """Bare asyncio: a task and a queue an actor, made in a second."""

    async def actor(queue: asyncio.Queue[int]) -> None:
        await queue.get()

    async def make() -> float:
        began = time.monotonic()
        queues = [asyncio.Queue[int]() for _ in range(count)]
        tasks = [asyncio.create_task(actor(queue)) for queue in queues]
        await asyncio.sleep(0)  # each runs to where it waits
        spent = time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return count / spent

    return asyncio.run(make())


CROWD = """
import random, time
from queenright.agent import Agent, Context, Message, handles

class Ping(Message):
    n: int

class Root(Agent):
    async def on_start(self, ctx: Context) -> None:
        left, many, spent = SIZE, [], 0.0
        while left:
            count = min(left, 100_000)
            began = time.monotonic()
            refs = await ctx.spawn_many(Sleeper, count, stem=f"s{len(many)}")
            spent += time.monotonic() - began
            many.append(refs)
            left -= count
        ctx.log(f"rate {SIZE / spent:.0f}")
        ctx.after(SETTLE, Ping(1))

    @handles
    async def wake(self, ctx: Context, message: Ping) -> None:
        # The refs are not kept over turns: the agents are found again as anybody would, by asking for some of them.
        found = [one.agent for one in await ctx.discover(behaviour="crowd.Sleeper")]
        for ref in random.sample(found, WAKES):
            began = time.monotonic()
            await ctx.call(ref, Ping(2))
            ctx.log(f"wake {(time.monotonic() - began) * 1000:.3f}")
        ctx.log("done")

class Sleeper(Agent):
    @handles
    async def ping(self, ctx: Context, message: Ping) -> Ping:
        return message
"""
INTENT = """
[intent]
purpose = "a crowd"
swarm = "crowd"
for = "2h"
depth = 1
max_agents = MOST

[run]
start = "crowd.Root"
packages = ["crowd"]

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""
SETTLE_S = 25
IDLE_S = 10


def rss(pid: int) -> int:
    """Bytes resident."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} tells no Rss")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cell_pid(supervised: Supervised) -> int:
    started = [entry for entry in supervised.entries("what:cell.started")]
    pid: int = started[-1]["facts"]["pid"]
    return pid


def root(supervised: Supervised) -> str:
    """By id: looking for a name among a million every few milliseconds would be what is measured."""
    found: str = supervised.call("agent", agent="crowd/root")["row"]["id"]
    return found


def told(supervised: Supervised, agent: str, what: str) -> list[str]:
    lines = supervised.log(agent)
    return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == what]


def measure(agents: int) -> None:
    base = Path(tempfile.mkdtemp(prefix="crowd", dir="/var/tmp"))
    supervised = Supervised(base)
    try:
        supervised.up()
        assert supervised.daemon is not None
        source = (
            CROWD.replace("SIZE", str(agents)).replace("WAKES", str(WAKES)).replace("SETTLE", str(SETTLE_S))
        )
        extra = "[class.Sleeper]\non_start = false\n"
        supervised.add("crowd", source, classes='"Root", "Sleeper"', extra=extra)
        empty = rss(supervised.daemon.pid)
        supervised.apply(INTENT.replace("MOST", str(agents + 1)))
        first = root(supervised)
        supervised.until("all are born", lambda: told(supervised, first, "rate"), within_s=600)
        print(f"{agents} agents")
        print(f"  born a second            {told(supervised, first, 'rate')[0]}")
        supervisor, cell = supervised.daemon.pid, cell_pid(supervised)
        time.sleep(2)
        full = rss(supervisor)
        print(
            f"  supervisor, resident     {full / 2**20:.0f} MiB, {(full - empty) / agents:.0f} bytes an agent"
        )
        print(f"  cell, resident           {rss(cell) / 2**20:.0f} MiB")
        before = cpu_s(supervisor) + cpu_s(cell)
        time.sleep(IDLE_S)
        print(f"  idle, of one core        {(cpu_s(supervisor) + cpu_s(cell) - before) / IDLE_S:.2%}")
        supervised.until("some were woken", lambda: "done" in supervised.log(first), within_s=300)
        woken = sorted(float(line) for line in told(supervised, first, "wake"))
        print(f"  woken in, ms             median {statistics.median(woken):.2f}, worst {woken[-1]:.2f}")
        supervised.kill()
        began = time.monotonic()
        supervised.up()
        print(f"  restarted after kill -9  {time.monotonic() - began:.2f} s")
        assert supervised.call("health")["agents"] == agents + 1
        began = time.monotonic()
        stopped = supervised.call("stop", target="crowd")
        print(f"  stopped, all {stopped['count']}     {time.monotonic() - began:.2f} s")
        print(f"  supervisor, restarted    {rss(supervised.daemon.pid) / 2**20:.0f} MiB")
    finally:
        supervised.close()
        remove(base)


if __name__ == "__main__":
    print(f"asyncio, a second          {asyncio_actors(PEERS):.0f}")
    for size in [int(text) for text in sys.argv[1:]] or [1_000, 1_000_000]:
        measure(size)
