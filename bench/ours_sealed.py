"""W6, ours: two cells (`Process`) of this process, joined by the supervisor's own checks (`supervisor.post.Post`).

Every frame is encoded and decoded on its way, as on the link. Run as `python -m bench.ours_sealed signed key=value ...`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from bench.ours import CLASSES, DIGEST, INTENT, PACKAGE, agent_id, host, volatile
from bench.work import Params, end_in_order
from queenright.cell.process import Process
from queenright.clock import SystemClock
from queenright.core import SigningKey, canonical
from queenright.errors import QueenrightError
from queenright.store import Store
from queenright.supervisor.agents import Agent, Agents
from queenright.supervisor.identity import Identity
from queenright.supervisor.mail import Mail
from queenright.supervisor.post import Post
from queenright.supervisor.reach import Reach
from queenright.testing.runtime import Runtime
from queenright.wire.certificate import NO_PARENT
from queenright.wire.link import (
    Certified,
    Deliver,
    Frame,
    Incarnation,
    Log,
    NeedSealKey,
    OpenKey,
    Ready,
    SealKey,
    Volatile,
    decode,
    encode,
)

SENDER, RECEIVER = 0, 1
BURST = 200  # steps of a cell between two looks at its link, as in cell.main


def record(number: int, parent: bytes) -> Agent:
    """A supervisor's record of an agent; its birth is not under test."""
    return Agent(
        id=agent_id(number), name=f"bench/{number}", behaviour="cellwork.Talker", package=DIGEST, intent=INTENT,
        parent=parent, args=canonical({}), born_ms=0, birth=b"", parent_signature=b"", runtime_signature=b"",
        parent_incarnation=b"", own_cell=True,
    )  # fmt: skip


class Pair:
    """Two cells with one agent each, and the supervisor's side of both links."""

    def __init__(self, directory: Path) -> None:
        clock = SystemClock()
        self.identity = Identity(SigningKey.from_seed(os.urandom(32)), os.urandom(32))
        store = Store.open(directory, os.urandom(32))
        agents = Agents(store)
        self.post = Post(store, clock, agents, Mail(store), Reach(), self.identity.runtime_key)
        starts = Runtime(None, os.urandom, clock)  # type: ignore[arg-type]
        starts.identity._key = self.identity._runtime  # the Start frame names the key that certifies
        self.records = [record(SENDER, NO_PARENT), record(RECEIVER, agent_id(SENDER))]
        self.cells: list[Process] = []
        self.out: list[deque[Frame]] = [deque(), deque()]
        self.ends = []
        self.said: list[dict[str, Any]] = []
        self.opened: set[tuple[bytes, int]] = set()
        package = {"name": "cellwork", "digest": DIGEST, "path": str(PACKAGE), "classes": CLASSES}
        loaded: dict[str, Any] = {}

        def known(packages: list[Any]) -> dict[str, Any]:
            return loaded

        for number, agent in enumerate(self.records):
            store.commit(agents.add(agent))
            cell = Process(self.out[number].append, clock, os.urandom, *([known] if number else []))
            self.cells.append(cell)
            end = starts.open_cell(partial(self.give, number), [package], shared=False)
            agent.cell, agent.incarnation = end.id, end.number
            self.ends.append(end)
            loaded |= (
                cell._behaviours
            )  # one interpreter imports a package once; the second cell gets the same classes
            self.give(number, host(number, "Talker", []))

    def give(self, number: int, frame: Frame) -> None:
        """To a cell, as bytes."""
        self.cells[number].receive(decode(encode(frame)))

    def run(self) -> None:
        """Until an agent has told its figure."""
        while not self.said:
            for number, cell in enumerate(self.cells):
                cell.run(BURST)
                out = self.out[number]
                while out:
                    self.take(number, decode(encode(out.popleft())))

    def take(self, number: int, frame: Frame) -> None:
        """From a cell: what `supervisor.cells` does with it."""
        agent, end = self.records[number], self.ends[number]
        match frame:
            case Volatile():
                self.post.volatile(agent, frame.op, self.hand_over)
            case Incarnation():
                agent.certificate, agent.certificate_signature = self.identity.certify_incarnation(
                    agent=agent.id, number=end.number, cell=end.id, shared=False, nonce=end.nonce,
                    public_key=frame.public_key, signature=frame.signature,
                )  # fmt: skip
                self.give(number, Certified(agent.id, agent.certificate, agent.certificate_signature))
            case NeedSealKey():
                sealing = self.identity.sealing(frame.receiver, 0)
                sequence = self.post.last_sequence(agent.id, frame.receiver) + 1
                key = SealKey(frame.receiver, agent.id, sequence, 0, sealing.certificate, sealing.signature)
                self.give(number, key)
            case Log() if frame.text.startswith("bench "):
                self.said.append(json.loads(frame.text.removeprefix("bench ")))
            case Ready():
                pass
            case _:
                raise QueenrightError(f"a cell said what no run should make it say: {frame}")

    def hand_over(self, target: Agent, mail: dict[str, Any]) -> None:
        number = self.records.index(target)
        key = (target.id, mail["sealed"]["generation"])
        if key not in self.opened:
            self.opened.add(key)
            self.give(number, OpenKey(*key, self.identity.sealing(*key).private_key))
        self.give(number, Deliver(target.id, 0, 1, mail, []))


def signed(params: Params) -> dict[str, Any]:
    """Messages a second of one sender, each sealed for the receiver and attributable to the sender's key."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="qr-bench-") as directory:
        pair = Pair(Path(directory))
        for messages in params.warm("messages"):
            size, window = params.whole("size"), params.whole("window")
            # Whole half windows: the last credit ends the run.
            if messages % (window // 2):
                raise ValueError(f"messages is a multiple of {window // 2} and its tenth too, not {messages}")
            begin = volatile(
                SENDER, "Open", to=agent_id(RECEIVER), messages=messages, size=size, window=window
            )
            pair.give(SENDER, begin)
            pair.run()
            result = pair.said.pop(0)
    return result


def main() -> int:
    end_in_order()
    if sys.argv[1] != "signed":
        raise SystemExit(f"no workload {sys.argv[1]}")
    print(json.dumps(signed(Params.of_argv(sys.argv[2:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
