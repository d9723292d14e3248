"""W6, ours: two cells (`Process`) of this process, joined by the supervisor's own checks (`post` and `volatile`).

Every frame is encoded and decoded on its way, as on the link. Run as `python -m bench.ours_sealed signed key=value ...`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.ours import CLASSES, DIGEST, INTENT, PACKAGE, agent_id, host, volatile
from bench.work import Params, end_in_order
from queenright.cell.main import BURST
from queenright.cell.process import Process
from queenright.clock import SystemClock
from queenright.core import SigningKey, canonical
from queenright.errors import QueenrightError
from queenright.store import Store
from queenright.supervisor.agents import Agent, Agents
from queenright.supervisor.births import Births
from queenright.supervisor.identity import Identity
from queenright.supervisor.mail import Mail
from queenright.supervisor.post import Post
from queenright.supervisor.reach import Reach
from queenright.supervisor.volatile import VolatileMail
from queenright.testing.runtime import Runtime
from queenright.wire.certificate import NO_PARENT
from queenright.wire.link import (
    Batch,
    Certified,
    Frame,
    Incarnation,
    Log,
    NeedSealKey,
    OpenKey,
    Ready,
    SealKey,
    Taken,
    decode,
    encode,
)

SENDER, RECEIVER = 0, 1


@dataclass(eq=False)
class Cell:
    """What the supervisor sees of a cell, with the cell behind it."""

    process: Process
    out: deque[Frame]
    id: str = ""
    number: int = 0
    nonce: bytes = b""
    agent: Agent | None = None
    peers: set[tuple[bytes, int]] = field(default_factory=set)
    idle_since: int | None = None
    behind: bool = False
    opened: set[int] = field(default_factory=set)

    def send(self, frame: Frame) -> None:
        """To the cell, as bytes."""
        self.process.receive(decode(encode(frame)))

    def may_log(self, now: int) -> bool:
        return True


class Pair:
    """Two cells with one agent each, and the supervisor's side of both links."""

    def __init__(self, directory: Path) -> None:
        clock = SystemClock()
        self.identity = Identity(SigningKey.from_seed(os.urandom(32)), os.urandom(32))
        store = Store.open(directory, os.urandom(32))
        agents = Agents(store, Births(store))
        reach = Reach()
        self.post = Post(store, clock, agents, Mail(store), reach, self.identity.runtime_key)
        runtime: Any = SimpleNamespace(
            agents=agents, post=self.post, clock=clock, reach=reach, cells=self,
            logs=SimpleNamespace(line=lambda agent, level, text: print(text, file=sys.stderr)),
        )  # fmt: skip
        self.mail = VolatileMail(runtime)
        starts = Runtime(None, os.urandom, clock)  # type: ignore[arg-type]
        starts.identity._key = self.identity._runtime  # the Start frame names the key that certifies
        self.cells: list[Cell] = []
        self.said: list[dict[str, Any]] = []
        package = {
            "name": "cellwork",
            "digest": DIGEST,
            "path": str(PACKAGE),
            "classes": CLASSES,
            "bundle": False,
        }
        loaded: dict[str, Any] = {}

        def known(packages: list[Any]) -> dict[str, Any]:
            return loaded

        for number, parent in ((SENDER, NO_PARENT), (RECEIVER, agent_id(SENDER))):
            born = agents.add(
                agent_id(number), name=f"bench/{number}", behaviour="cellwork.Talker", package=DIGEST, intent=INTENT,
                parent=parent, args=canonical({}), born_ms=0, birth=b"", parent_signature=b"", runtime_signature=b"",
                parent_incarnation=b"", own_cell=True,
            )  # fmt: skip
            store.commit(born)
            out: deque[Frame] = deque()
            cell = Cell(Process(out.append, clock, os.urandom, *([known] if number else [])), out)
            self.cells.append(cell)
            end = starts.open_cell(cell.send, [package], shared=False)
            cell.id, cell.number, cell.nonce = end.id, end.number, end.nonce
            cell.agent = agents.get(agent_id(number))
            cell.agent.enter(end.number)
            # One interpreter imports a package once; the second cell gets the same classes.
            loaded |= cell.process._behaviours
            cell.send(host(number, "Talker"))

    # --- as `supervisor.cells` ----------------------------------------------------------------------------------------

    def of(self, agent: Agent) -> Cell | None:
        return next((cell for cell in self.cells if cell.agent is agent), None)

    def mine(self, cell: Cell, agent: bytes) -> Agent | None:
        return cell.agent

    def give_open_key(self, cell: Cell, agent: Agent, generation: int) -> None:
        if generation not in cell.opened:
            cell.opened.add(generation)
            cell.send(OpenKey(agent.id, generation, self.identity.sealing(agent.id, generation).private_key))

    def run(self) -> None:
        """Until an agent has told its figure."""
        while not self.said:
            for cell in self.cells:
                cell.process.run(BURST)
                while cell.out:
                    self.take(cell, decode(encode(cell.out.popleft())))

    def take(self, cell: Any, frame: Frame) -> None:
        """From a cell."""
        agent = cell.agent
        match frame:
            case Batch():
                self.mail.on_batch(cell, frame)
            case Taken():
                self.mail.on_taken(cell, frame)
            case Incarnation():
                agent.certificate, agent.certificate_signature = self.identity.certify_incarnation(
                    agent=agent.id, number=cell.number, cell=cell.id, shared=False, nonce=cell.nonce,
                    public_key=frame.public_key, signature=frame.signature,
                )  # fmt: skip
                cell.send(Certified(agent.id, agent.certificate, agent.certificate_signature))
            case NeedSealKey():
                sealing = self.identity.sealing(frame.receiver, 0)
                sequence = self.post.last_sequence(agent.id, frame.receiver) + 1
                cell.send(
                    SealKey(frame.receiver, agent.id, sequence, 0, sealing.certificate, sealing.signature)
                )
            case Log() if frame.text.startswith("bench "):
                self.said.append(json.loads(frame.text.removeprefix("bench ")))
            case Ready():
                pass
            case _:
                raise QueenrightError(f"a cell said what no run should make it say: {frame}")


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
            pair.cells[SENDER].send(begin)
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
