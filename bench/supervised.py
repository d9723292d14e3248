"""Ours between cells: a throw-away supervisor with its own key and directory, real sandboxed cells, agents that measure.

What they measured is read from their logs through the control socket, as an operator would. Run as
`python -m bench.supervised WORKLOAD key=value ...`; the last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.work import Params, cpu_seconds, end_in_order, rss_bytes
from queenright.authority.document import INTENT
from queenright.authority.intent_toml import parse_intent
from queenright.cli.behaviour import read_package
from queenright.cli.throwaway import ThrowAway
from queenright.clock import SystemClock
from queenright.control.client import Client

DEADLINE_S = 300.0
LOOK_S = 0.05
INTENT_TEXT = """
[intent]
purpose = "measure"
swarm = "bench"
for = "1h"
depth = 2
max_agents = {most}

[run]
start = "{start}"
packages = ["{package}"]
args = {{ {args} }}

[[allow]]
do = ["fs.read"]
on = "ws:self"
"""


class Supervised:
    """A supervisor with one intent applied. A context manager; leaves nothing behind."""

    package = Path(__file__).parent / "behaviours" / "crosswork"
    start = "crosswork.Conductor"

    def files(self, params: Params) -> dict[str, bytes]:
        """The package as it is installed."""
        return read_package(self.package)

    def __init__(self, workload: str, params: Params, most: int) -> None:
        self._clock = SystemClock()
        sizes = {name: params.whole(name) for name in params.words} | {"workload": f'"{workload}"'}
        self._text = INTENT_TEXT.format(
            most=most, args=", ".join(f"{name} = {value}" for name, value in sizes.items()),
            start=self.start, package=self.package.name,
        )  # fmt: skip
        self._files = self.files(params)
        self._place = ThrowAway(self._clock)
        self._after: dict[str, int] = {}
        self._known: dict[str, dict[str, Any]] = {}  # by prefix, by id
        self.said: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> Supervised:
        self._place.__enter__()
        self.client: Client = self._place.client()
        row = self.client.call("behaviour_add", files=self._files)
        intent = parse_intent(self._text).compile(
            runtime=self.client.hello.runtime, packages={row["name"]: row["digest"]}, now_ms=self._clock.wall_ms(),
            rand=os.urandom,
        )  # fmt: skip
        document = intent.encode()
        assert self.client.signer is not None
        signature = self.client.signer.sign(INTENT, document)
        self.client.call("intent_apply", document=document, signature=signature)
        return self

    def __exit__(self, *error: Any) -> None:
        self.client.close()
        self._place.__exit__(*error)

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        assert self._place._daemon is not None
        return self._place._daemon.pid

    def cells(self) -> list[int]:
        """The processes of its cells."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit():
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
        return [pid for pid in parents if self._below(pid, parents) and self._is_cell(pid)]

    def _below(self, pid: int, parents: dict[int, int]) -> bool:
        while pid in parents and pid != self.pid:
            pid = parents[pid]
        return pid == self.pid

    def _is_cell(self, pid: int) -> bool:
        try:
            return b"queenright.cell" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def look(self, prefix: str, agents: int) -> None:
        """Read what agents named like this have told since the last look. Raises RuntimeError for a turn that failed."""
        if self._place.ended():
            raise RuntimeError("the supervisor ended")
        known = self._known.setdefault(prefix, {})
        if len(known) < agents:
            # Looked for only until all are known: a swarm may have more agents than one page of them shows.
            rows = self.client.call("agents")["rows"]
            known |= {row["id"]: row for row in rows if row["name"].rpartition("/")[2].startswith(prefix)}
        for row in known.values():
            page = self.client.call("agent_log", agent=row["id"], after=self._after.get(row["id"]))
            for line in page["lines"]:
                self._after[row["id"]] = line["seq"]
                if line["text"].startswith("bench "):
                    figures = json.loads(line["text"].removeprefix("bench "))
                    self.said.setdefault(row["name"], []).append(figures)
                elif line["stream"] != "log" or "Error" in line["text"]:
                    raise RuntimeError(f"{row['name']}: {line['text']}")

    def wait(self, prefix: str, agents: int, at: str, count: int | None = None) -> list[dict[str, Any]]:
        """Until so many agents named like this have told that they are there, with that count; what they told."""
        limit = time.monotonic() + DEADLINE_S
        while True:
            self.look(prefix, agents)
            found = [
                figures
                for said in self.said.values()
                for figures in said
                if figures["at"] == at and count in (None, figures.get("count"))
            ]
            if len(found) >= agents:
                return found
            if time.monotonic() > limit:
                raise TimeoutError(
                    f"waited {DEADLINE_S:.0f} s for {agents} x {at!r}; told so far: {self.said}"
                )
            time.sleep(LOOK_S)


def between(workload: str, params: Params) -> dict[str, Any]:
    """X1 to X4. `pairs` senders and receivers, each in a cell of its own; the rate is that of all pairs together."""
    pairs, messages = params.whole("pairs"), params.whole("messages")
    if workload in ("cross", "durable") and messages // 10 % (params.whole("window") // 2):
        # The last credit of a run, and of its warm-up of a tenth, ends it.
        raise ValueError(
            f"a tenth of messages is a multiple of {params.whole('window') // 2}, not {messages / 10:g}"
        )
    with Supervised(workload, params, 2 * pairs + 1) as world:
        world.wait("sender", pairs, "begin", messages)
        before = cpu_seconds(world.pid)
        ends = world.wait("sender", pairs, "end", messages)
        spent = cpu_seconds(world.pid) - before
        began, ended = min(end["began"] for end in ends), max(end["ended"] for end in ends)
        result = {
            "count": messages * pairs, "seconds": (ended - began) / 1e9, "supervisor_us": 1e6 * spent / (messages * pairs),
        }  # fmt: skip
        if workload == "round_trip":
            parts = world.wait("sender", messages // 100, "part")[-(messages // 100) :]
            result["latencies_ns"] = [one for part in parts for one in part["latencies_ns"]]
        return result


def spawn(params: Params) -> dict[str, Any]:
    """W4s: births a second, and what a born agent weighs in all processes."""
    agents = params.whole("agents")
    with Supervised("spawn", params, agents + 1) as world:
        world.wait("conductor", 1, "ready")
        before = [rss_bytes(world.pid), sum(map(rss_bytes, world.cells()))]
        (end,) = world.wait("conductor", 1, "end")
        after = [rss_bytes(world.pid), sum(map(rss_bytes, world.cells()))]
        supervisor, cells = ((now - then) / agents for then, now in zip(before, after, strict=True))
        return {
            "count": end["count"], "seconds": (end["ended"] - end["began"]) / 1e9, "bytes_each": supervisor + cells,
            "cell_bytes_each": cells, "supervisor_bytes_each": supervisor,
        }  # fmt: skip


def main() -> int:
    end_in_order()
    workload, params = sys.argv[1], Params.of_argv(sys.argv[2:])
    if workload == "spawn":
        result = spawn(params)
    elif workload in ("cross", "durable", "round_trip", "full"):
        result = between(workload, params)
    else:
        raise SystemExit(f"no workload {workload}")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
