"""Ours inside a cell: a real cell process (`queenright.cell.main`: its loop, watchdog and shared page), driven over its link
by the frames a supervisor sends. This file alone knows those frames; what it prints is what peers print.

Run as `python -m bench.ours WORKLOAD key=value ...`; the last line is one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.work import (
    START_IN_S,
    Params,
    end_in_order,
    next_link,
    percent_cpu,
    pick,
    rss_bytes,
    spaced,
    until,
)
from queenright.clock import SystemClock
from queenright.core import canonical
from queenright.testing.loopback import CellProcess
from queenright.testing.runtime import Runtime
from queenright.wire.certificate import NO_PARENT
from queenright.wire.frame import pack
from queenright.wire.link import Deliver, Fault, Frame, Host, Log, Ready, Rest, Talk, Up, encode

PACKAGE = Path(__file__).parent / "behaviours" / "cellwork"
CLASSES = ["Collector", "Flooder", "Link", "Player", "Sink", "Sleeper", "Source", "Talker"]
DIGEST = hashlib.sha256(b"cellwork").digest()
INTENT = hashlib.sha256(b"bench").digest()
DEADLINE_S = 600.0
RUNTIME = bytes(32)
SLICE = 500  # latencies in one log line


def agent_id(number: int) -> bytes:
    """32 bytes, as a digest of a birth certificate would be."""
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def host(number: int, behaviour: str, state: dict[str, Any] | None = None) -> Host:
    """The frame that puts an agent into the cell."""
    return Host(
        agent=agent_id(number), name=f"bench/{number}", behaviour=f"cellwork.{behaviour}", args=canonical({}),
        parent=NO_PARENT, intent=INTENT, package=DIGEST, state=None if state is None else canonical(state),
        state_version=1, kin=[],
    )  # fmt: skip


def volatile(number: int, kind: str, **fields: Any) -> Deliver:
    """A volatile message of the runtime to an agent."""
    mail: dict[str, Any] = {
        "id": b"", "sender": RUNTIME, "sender_name": "runtime", "type": f"cellwork.{kind}", "body": canonical(fields),
        "sealed": None, "call": None, "chain": [],
    }  # fmt: skip
    return Deliver(agent_id(number), 0, 1, mail, [])


class Cell:
    """One cell process. A context manager; leaves nothing behind."""

    def __init__(self) -> None:
        runtime = Runtime(None, os.urandom, SystemClock())  # type: ignore[arg-type]
        self.process = CellProcess()
        self.said: list[dict[str, Any]] = []
        self.ready = False
        package = {
            "name": "cellwork",
            "digest": DIGEST,
            "path": str(PACKAGE),
            "classes": CLASSES,
            "bundle": False,
        }
        runtime.open_cell(self.process.send, [package], shared=True)
        names = [f"cellwork.{name}" for name in CLASSES]
        # What an intent without talk clauses gives: everyone of the swarm may write to everyone.
        self.process.send(Talk([[sender, receiver] for sender in names for receiver in names]))
        self.wait(lambda: self.ready, "the cell to be ready")

    def __enter__(self) -> Cell:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close()

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.process.send(frame)

    def look(self, wait_s: float = 0.05) -> None:
        """Take what the cell said; write what still waits for it."""
        process = self.process
        select.select([process.link], [process.link] if process._out else [], [], wait_s)
        for frame in process.frames():
            if isinstance(frame, Ready):
                self.ready = True
            elif isinstance(frame, Log) and frame.text.startswith("bench "):
                self.said.append(json.loads(frame.text.removeprefix("bench ")))
            elif isinstance(frame, Up | Rest):
                pass  # it is up; an object was let go of
            elif isinstance(frame, Fault):
                raise RuntimeError(f"the cell: {frame.text}")
            else:
                raise RuntimeError(f"the cell said what no run should make it say: {frame}")
        if process.closed:
            raise RuntimeError(f"the cell ended: {process.stderr}")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > limit:
                raise TimeoutError(f"waited {DEADLINE_S:.0f} s for {what}")
            self.look()

    def answer(self) -> dict[str, Any]:
        """The next thing an agent told."""
        self.wait(lambda: bool(self.said), "an agent to tell its figure")
        return self.said.pop(0)

    def hosted(self, frames: Iterator[Host], last: int) -> None:
        """Put agents there and wait until agent `last`, which must be a Sleeper and the last hosted, has answered."""
        for at, frame in enumerate(frames):
            self.send(frame)
            if at % 256 == 0:
                self.look(0)
        self.report(last, 0, 0)

    def report(self, agent: int, first: int, most: int, *, clear: bool = False) -> dict[str, Any]:
        self.send(volatile(agent, "Report", first=first, most=most, clear=clear))
        return self.answer()


# --- W1 to W3 ------------------------------------------------------------------------------------------------------------


def ping_pong(params: Params) -> dict[str, Any]:
    with Cell() as cell:
        cell.send(host(0, "Player"), host(1, "Player"))
        result = {}
        for messages in params.warm("messages"):
            # The one that does not serve would have to hit back once more than it can: it never reaches 0.
            cell.send(volatile(1, "Serve", returns=messages // 2 + 1, to=None))
            cell.send(volatile(0, "Serve", returns=messages // 2, to=agent_id(1)))
            result = cell.answer()
        return result


def fan_in(params: Params) -> dict[str, Any]:
    senders = params.whole("senders")
    with Cell() as cell:
        cell.send(host(0, "Sink"), *(host(n, "Source") for n in range(1, senders + 1)))
        result = {}
        for messages in params.warm("messages"):
            cell.send(volatile(0, "Expect", items=messages))
            share = {"to": agent_id(0), "items": messages // senders, "fresh": params.flag("fresh")}
            cell.send(*(volatile(n, "Begin", **share) for n in range(1, senders + 1)))
            result = cell.answer()
        return result


def ring(params: Params) -> dict[str, Any]:
    agents, tokens = params.whole("agents"), params.whole("tokens")
    collector, entries = agents, spaced(agents, tokens)
    with Cell() as cell:
        frames = [host(n, "Link") for n in range(agents)]
        cell.hosted(
            iter([*frames, host(collector, "Collector"), host(agents + 1, "Sleeper")]),
            agents + 1,
        )
        result = {}
        for hops in params.warm("hops"):
            for n in range(agents):
                to = agent_id(next_link(n, agents))
                cell.send(
                    volatile(
                        n,
                        "Join",
                        next=to,
                        collector=agent_id(collector),
                        hops=hops,
                        fresh=params.flag("fresh"),
                    )
                )
            cell.report(agents + 1, 0, 0)
            links = [agent_id(n) for n in entries]
            cell.send(volatile(collector, "Inject", links=links, hops=hops * agents))
            result = cell.answer()
        return result


# --- W4, W5, W7 ----------------------------------------------------------------------------------------------------------


def dormant(params: Params) -> dict[str, Any]:
    """Residents that were never woken: what they weigh, what they cost while idle, how fast a cell takes them."""
    agents = params.whole("agents")
    with Cell() as cell:
        cell.hosted(iter([host(agents, "Sleeper")]), agents)
        before, began = rss_bytes(cell.process.pid), time.perf_counter()
        frames = (host(n, "Sleeper", {"woken": 1}) for n in range(agents - 1))
        cell.hosted(_then(frames, host(agents - 1, "Sleeper")), agents - 1)
        seconds = time.perf_counter() - began
        after = rss_bytes(cell.process.pid)
        idle = percent_cpu(cell.process.pid, params.real("idle_s"))
        return {
            "count": agents, "seconds": seconds, "bytes_each": (after - before) / agents, "rss_mb": after / 1e6,
            "idle_cpu_percent": idle,
        }  # fmt: skip


def _then(frames: Iterator[Host], last: Host) -> Iterator[Host]:
    yield from frames
    yield last


def wake(params: Params) -> dict[str, Any]:
    """Open loop: message i is meant to be sent at start + i / rate, and its latency counts from then."""
    agents, count = params.whole("agents"), params.whole("count")
    with Cell() as cell:
        state = None if params.flag("warm") else {"woken": 1}
        cell.hosted(
            (host(n, "Sleeper", state) for n in range(agents + 1)), agents
        )  # agent `agents` only reports
        if params.flag("warm"):
            for n in range(agents):
                cell.send(volatile(n, "Wake", at=0))
                if n % 256 == 0:
                    cell.look(0)
            cell.wait(
                lambda: cell.report(agents, 0, 0)["total"] == agents, "every resident to have been woken"
            )
            cell.report(agents, 0, 0, clear=True)
        if params.flag("flood"):
            cell.send(host(agents + 1, "Flooder"), host(agents + 2, "Sleeper"))
            cell.send(volatile(agents + 1, "Flood", to=agent_id(agents + 2)))
        start = time.time_ns() + int(START_IN_S * 1e9)
        gap = 1_000_000_000 // params.whole("rate")
        frames = [pack(encode(volatile(pick(i, agents), "Wake", at=start + i * gap))) for i in range(count)]
        for i, frame in enumerate(frames):
            until(start + i * gap)
            cell.process.send_raw(frame)
        cell.wait(lambda: cell.report(agents, 0, 0)["total"] == count, "every wake to have been handled")
        latencies: list[int] = []
        while len(latencies) < count:
            latencies += cell.report(agents, len(latencies), SLICE)["part"]
        return {"count": count, "latencies_ns": latencies}


WORKLOADS: dict[str, Callable[[Params], dict[str, Any]]] = {
    "ping_pong": ping_pong,
    "fan_in": fan_in,
    "ring": ring,
    "dormant": dormant,
    "wake": wake,
}


def main() -> int:
    end_in_order()
    params = Params.of_argv(sys.argv[2:])
    print(json.dumps(WORKLOADS[sys.argv[1]](params)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
