"""One demo from its set-up to its end: the directory, the processes, and one fault after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from queenright.actions.resources import NAMESPACE as RESOURCES
from queenright.actions.resources_toml import compile_resources
from queenright.control.client import Client
from queenright.demo.follow import Follow
from queenright.demo.place import SCRIPT, Place
from queenright.demo.probe import Probe
from queenright.demo.processes import Processes
from queenright.demo.record import Record, entries, summarise
from queenright.demo.shop import deploy
from queenright.demo.table import Closing, Row
from queenright.demo.tell import Tell
from queenright.demo.texts import intent_text, resources_text
from queenright.demo.verify import Reader
from queenright.errors import QueenrightError

__all__ = ["DENIED", "FAILED", "OK", "Demo", "Stopped"]

OK, FAILED, DENIED = 0, 1, 3
SALT = 16
RATE = 30  # customers' requests a second
LOAD_S = 3600  # the load generator ends by itself after this, whatever becomes of us
SETTLE_S = 60.0  # for the shop to be healthy, and the watcher to know what is normal
HURT_S = 20.0  # for customers to notice a fault
HEAL_S = 90.0  # for detection, investigation, remedy and its check
PERSON_S = 620.0  # a little more than a person has to answer
BLIP_S = 12.0  # how long a false alarm is watched


PIECE = re.compile(r"piece (\S+) (\S+) (\S+) (\d+\.\.\d+) read (\d+):")


class Stopped(Exception):
    """Somebody wants the demo to end now."""


class Demo:
    """Set it up, play faults, end it. `stopping` may be set from another thread."""

    def __init__(self, root: Path, tell: Tell, *, scripted: bool) -> None:
        self.root, self.tell, self.scripted = root, tell, scripted
        self.processes = Processes()
        self.stopping = threading.Event()
        self.rows: list[Row] = []
        self.closing: Closing | None = None
        self._commands: list[list[str]] = []
        self._client: Client | None = None
        self._ledger: list[dict[str, Any]] = []
        self._follow: Follow | None = None

    # --- set up ---

    def set_up(self) -> None:
        """Everything up to a healthy shop under a watching swarm. Raises QueenrightError or Stopped."""
        self.tell.say(
            "demo", f"in {self.root}, with keys and a master key made for it and thrown away with it"
        )
        self.place = Place(self.root)
        self.place.up(self.processes)
        self._client = self.client = self.place.client()
        keys = [self.place.owner.key.line, self.place.script.key.line]
        self.reader = Reader(self.root / "reader", self.place.pinned.log, keys)
        self.tell.say("demo", f"supervisor ready, runtime {self.client.hello.runtime.hex()[:12]}")
        self.shop = deploy.deploy(self.root / "shop")
        self._commands = [self.shop.start(name) for name in deploy.PROCESSES]
        for name in ("w1", "w2", "edge"):
            self.processes.adopt(name, deploy.start(self.shop, name))
        self.probe = Probe(self.root / "shop" / "log" / "load.jsonl")
        self._program("load", "load", "--port", str(self.shop.ports["edge"]), "--rate", str(RATE),
                      "--seconds", str(LOAD_S), "--out", str(self.root / "shop" / "log" / "load.jsonl"))  # fmt: skip
        self.tell.say("demo", f"shop open: an edge, two workers, {RATE} requests a second")
        self._authorise()
        self._follow = self.follow = Follow(self.place.client(), self.tell)
        self.follow.start()
        if not self._wait(
            "the shop is healthy and the watcher knows what is normal", self._settled, SETTLE_S
        ):
            raise QueenrightError("the demo cannot begin", hint="run it with --keep and look into its logs")
        self.probe.learn()

    def _program(self, name: str, *args: str) -> subprocess.Popen[Any]:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return self.processes.start(name, self.shop.command(*args), **quiet)

    def _authorise(self) -> None:
        """The operator's part: who may answer, what runs, what it may touch, with which secret, and the intent."""
        client, place = self.client, self.place
        if self.scripted:
            place.enrol_script(client)
        package = place.add_behaviour(client)
        client.call("secret_set", name="shop-admin", value=self.shop.token.encode(), salt=os.urandom(SALT))
        document = compile_resources(resources_text(self.shop)).encode()
        client.call("resources_set", document=document, signature=place.owner.sign(RESOURCES, document))
        intent = place.apply(client, intent_text("2m" if self.scripted else "10m"), package)
        self.tell.say("demo", f"{intent[:19]} signed and applied: the watcher starts")
        if self.scripted:
            place.start_script(self.processes)
            self.tell.say("demo", f"a scripted operator ({SCRIPT}) will answer what is asked")

    def _settled(self) -> bool:
        """The load is measured as healthy, and the watcher has lived through the samples that teach it."""
        seconds = self.probe.seconds
        well = len(seconds) > 5 and self.probe.healthy_at(seconds[-5].ts) is not None
        return well and self.follow.heard(0, "normal here is")

    # --- faults ---

    def play(self, faults: list[str]) -> int:
        """Each fault until it is healed or refused; then the record is checked. The exit code so far."""
        code = OK
        for fault in faults:
            row = self._fault(fault)
            self.rows.append(row)
            self.reader.look(self.client)
            if row.verdict in ("denied", "expired"):
                who = "denied by you" if row.verdict == "denied" else "nobody answered in time"
                self.tell.say("demo", f"{fault}: {who}, not healed")
                code = DENIED
                break
        self._close()
        return code

    def _fault(self, fault: str) -> Row:
        self.tell.say("injector", f"{fault}: nobody is told")
        injected_ms = self._inject(fault)
        self._wait("customers are hurt", lambda: bool(self.probe.hurt_since(injected_ms)), HURT_S)
        if fault == "false-alarm":
            self._pause(BLIP_S)
        else:
            self._wait(
                f"{fault} is over", lambda: self._over(injected_ms), HEAL_S if self.scripted else PERSON_S
            )
        record = self._record(injected_ms)
        hurt = self.probe.hurt_since(injected_ms)
        since = record.done_ms or (hurt[-1].ts if hurt else injected_ms)
        if record.verdict not in ("denied", "expired"):
            self._wait("healthy by measurement", lambda: self.probe.healthy_at(since) is not None, HURT_S)
        return self._row(fault, injected_ms, since, record)

    def _over(self, injected_ms: int) -> bool:
        """A commander was born, and the watcher is alone again: as the ledger has it."""
        record = self._record(injected_ms)
        return record.detected_ms is not None and record.after == 1

    def _inject(self, fault: str) -> int:
        child = self.processes.start(
            f"inject-{fault}", self.shop.command("inject", fault, "--root", str(self.shop.root)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise QueenrightError(f"the injector of {fault} ended with {child.wait()}")
        injected: int = json.loads(line)["ts"]
        return injected

    def _record(self, since_ms: int) -> Record:
        """What the ledger says of all since then; entries seen before are not fetched again."""
        after = self._ledger[-1]["index"] if self._ledger else None
        while True:
            page = self.client.call("ledger", after=after, limit=500, newest=False)
            self._ledger += page["rows"]
            after = page["next"]
            if after is None:
                return summarise(entries(self._ledger), since_ms)

    def _row(self, fault: str, injected_ms: int, since_ms: int, record: Record) -> Row:
        worst = max(self.probe.hurt_since(injected_ms), key=lambda s: (s.bad, s.p95_ms), default=None)
        healthy = self.probe.healthy_at(since_ms)
        severity, why = self.follow.severity(injected_ms)
        pieces = [found for agent in record.investigators for found in self._pieces(agent)]
        return Row(
            fault,
            hurt=str(worst) if worst else "",
            severity=severity,
            why=why,
            detected_s=None if record.detected_ms is None else (record.detected_ms - injected_ms) / 1000,
            agents=record.peak,
            pieces=[f"{source} {signal} {target} {window}" for source, signal, target, window, _ in pieces],
            blind=[f"{signal} of {target}" for _, signal, target, _, read in pieces if read == "0"],
            alone=record.alone,
            asked=record.asked,
            decided_by=record.decided_by.replace("-", " "),
            verdict=record.verdict,
            healthy_s=None if healthy is None else (healthy - injected_ms) / 1000,
            agents_after=record.after,
        )

    def _pieces(self, agent: str) -> list[tuple[str, ...]]:
        """What an investigating agent said that it looked at: source, signal, target, window, how much it read."""
        lines = self.client.call("agent_log", agent=agent)["lines"]
        found = [PIECE.match(line["text"]) for line in lines if line["stream"] == "log"]
        return [match.groups() for match in found if match]

    # --- waiting ---

    def _wait(self, what: str, done: Callable[[], bool], seconds: float) -> bool:
        def check() -> bool:
            if self.stopping.is_set():
                raise Stopped
            if self.processes.died("supervisor") or self.follow.error:
                raise QueenrightError(
                    f"the supervisor is lost ({self.follow.error}) while waiting until {what}"
                )
            return done()

        if self.probe.wait(check, seconds):
            return True
        self.tell.say("demo", f"not within {seconds:.0f} s: {what}")
        return False

    def _pause(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        self._wait("the time has passed", lambda: time.monotonic() >= limit, seconds + 1)

    # --- the end ---

    def _close(self) -> None:
        """The record is checked while everything still stands: by another process, with nothing but public keys."""
        leases = self.client.call("leases", state="active")
        verified = self.reader.verify(self.client)
        self.closing = Closing(len(leases), verified.entries, verified.ok, verified.said, self.tell.seconds)

    def end(self) -> list[int]:
        """End all that was started, newest first. The pids that would not go."""
        if self._follow is not None:
            self._follow.stop()
        if self._client is not None:
            self._client.close()
        return self.processes.end_all(self._commands)
