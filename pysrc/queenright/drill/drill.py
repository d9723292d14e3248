"""One drill, from the operator's order to its report: plant, attack one at a time, judge by evidence, remove."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from queenright.authority.document import INTENT
from queenright.authority.intent import Intent
from queenright.authority.intent_toml import parse_intent
from queenright.clock import Clock
from queenright.control.client import Client
from queenright.control.operator_key import Signer
from queenright.core import canonical
from queenright.drill.attacks import agents  # noqa: F401 - its rooms register their attacks
from queenright.drill.attacks.controls import USABILITY
from queenright.drill.attacks.kit import ATTACKS, LIMIT_S, Attack, NotRun, Stopped, code_of
from queenright.drill.decoys import Decoys
from queenright.drill.outside import Outside
from queenright.drill.package import NAME, drill_package
from queenright.drill.report import NOT_OBSERVABLE, Report, Row, Use
from queenright.errors import Locked, NoSupervisor, QueenrightError, SandboxRefused, TimedOut, Unknown
from queenright.paths import Paths

__all__ = ["Drill", "chosen"]

READY_S = 60.0
LIFE = "20m"
POLL_S = 0.01
# As `supervisor.sandbox_spec.CELL_LIMITS` gives a cell; an attack succeeds by passing one of them.
LIMITS = {
    "processes": 64,
    "open_files": 1024,
    "memory_bytes": 1 << 30,
    "file_bytes": 256 << 20,
    "tmp_bytes": 16 << 20,
}
DEMANDED_TIER = "full"
PURPOSE = "attack drill: try every wall around agents, and remove everything after"
_INTENT = """
[intent]
purpose = "{purpose}"
swarm = "drill"
for = "{life}"
depth = 2
max_agents = 120
agents_ever = 400
open_asks = 2

[run]
start = "drill.Warden"
packages = ["drill"]

[[allow]]
do = ["fs.read", "fs.list", "shell.run"]
on = "ws:self"

[[ask]]
do = ["fs.write"]
on = "ws:self"
"""


def chosen(only: Sequence[str]) -> list[Attack]:
    """All attacks in the order they are made, or those of these names. Raises Unknown for a name that is none."""
    missing = [name for name in only if name not in ATTACKS]
    if missing:
        raise Unknown(f"there is no attack `{missing[0]}`", hint="`queenright drill --list`")
    found = [attack for attack in ATTACKS.values() if not only or attack.name in only]
    order = {"cell": 0, "command": 1, "agent": 2, "client": 3, "link": 4}
    return sorted(found, key=lambda attack: order[attack.place])


@dataclass(slots=True)
class _Told:
    end: str
    code: str
    text: str


class Drill:
    """`show` draws for the attacks on the screen; `say` hears of each row as it comes."""

    def __init__(
        self,
        client: Client,
        signer: Signer,
        paths: Paths,
        clock: Clock,
        *,
        attacks: Sequence[Attack],
        show: Callable[[str, str, str], str],
        say: Callable[[Row], None],
    ) -> None:
        self._client = client
        self._signer = signer
        self._paths = paths
        self._clock = clock
        self._attacks = attacks
        self._show = show
        self._say = say
        self._drill = ""
        self._document = b""
        self._warden = ""
        self._neighbour = ""
        self._attacker = ""
        self._facts: dict[str, Any] = {}
        self._seen: dict[str, int] = {}

    def run(self) -> Report:
        """Make every attack and say what came of each. Raises SandboxRefused, Locked, NotEntitled before anything is planted."""
        status = self._client.call("status")
        if status["locked"]:
            raise Locked("the supervisor has no master key yet", hint="`queenright unlock`")
        if status["tier"] != DEMANDED_TIER:
            raise SandboxRefused(
                f"the drill tries cells and commands, and commands are refused in tier {status['tier']}",
                step="overlay", hint="`queenright doctor` says what the full tier needs",
            )  # fmt: skip
        rows: list[Row] = []
        uses: list[Use] = []
        interrupted = ""
        with Decoys() as decoys:
            try:
                self._begin(decoys)
                for attack in self._attacks:
                    row = self._one(attack, decoys)
                    rows.append(row)
                    self._say(row)
                uses = [self._use(name) for name in USABILITY]
            except (NoSupervisor, KeyboardInterrupt) as stop:
                interrupted = str(stop) or "by the operator"
            except QueenrightError as error:
                if not self._drill:
                    raise
                interrupted = error.message
            made = {row.attack for row in rows}
            rows += [
                _row(attack, "not run", f"the drill ended before it: {interrupted}")
                for attack in self._attacks
                if attack.name not in made
            ]
            report = Report(
                self._client.hello.version,
                status["tier"],
                status["memory"],
                tuple(rows),
                tuple(uses),
                interrupted,
            )
            self._end(report)
        return report

    # --- begin and end --------------------------------------------------------------------------------------------

    def _begin(self, decoys: Decoys) -> None:
        package, _ = drill_package()
        names = [attack.name for attack in self._attacks if attack.place != "client"]
        self._facts = {
            **decoys.facts,
            "limits": LIMITS,
            "control": str(self._paths.socket),
            "state_file": str(self._paths.state / "drill-decoy"),
            "secret": "vault:drill-decoy",
        }
        draft = parse_intent(_INTENT.format(purpose=PURPOSE, life=LIFE))
        compiled = draft.compile(
            runtime=self._client.hello.runtime,
            packages={NAME: package},
            now_ms=self._clock.wall_ms() + self._client.hello.skew_ms,
            rand=os.urandom,
        )
        body = {name: getattr(compiled, name) for name in Intent.__slots__ if not name.startswith("_")}
        intent = Intent(**body | {"args": {**self._facts, "attacks": [*names, *USABILITY]}})
        self._document = intent.encode()
        begun = self._client.call(
            "drill_begin",
            document=self._document,
            signature=self._signer.sign(INTENT, self._document),
            canary=decoys.token.encode(),
        )
        self._drill, self._warden = begun["drill"], begun["warden"]
        self._facts["supervisor"] = begun["pid"]
        told = self._wait(self._warden, lambda line: "neighbour" in line, READY_S)
        self._neighbour = f"agent-{told['neighbour']}"
        ready = self._wait(self._neighbour, lambda line: "ready" in line, READY_S)
        if not ready["ready"]:
            raise QueenrightError(f"the drill's decoy agent could not prepare its workspace: {ready['said']}")
        self._facts["neighbour"] = bytes.fromhex(told["neighbour"])
        self._facts["neighbour_file"] = str(
            self._paths.state / "workspaces" / told["neighbour"] / "secret.txt"
        )

    def _end(self, report: Report) -> None:
        if not self._drill:
            return
        try:
            self._client.call(
                "drill_end",
                drill=self._drill,
                report=report.digest,
                stopped=report.count("stopped"),
                escaped=report.count("ESCAPED"),
                not_run=report.count("not run"),
            )
        except (NoSupervisor, TimedOut):
            if not report.interrupted:
                raise  # a report that is not in the ledger is none; what was planted is cleared at the next start

    # --- one attack -----------------------------------------------------------------------------------------------

    def _one(self, attack: Attack, decoys: Decoys) -> Row:
        decoys.marks()  # what an attack before this one did late is its own row's, and not this one's
        before = self._client.call("status")["ledger_size"]
        told = self._outside(attack) if attack.place == "client" else self._inside(attack, before)
        marks = decoys.marks()
        leaf = self._leaf(attack, before) if attack.leaf else None
        if marks or told.end == "through":
            return _row(
                attack, "ESCAPED", "; ".join([*marks, *([told.text] if told.end == "through" else [])]), leaf
            )
        if told.end != "stopped":
            return _row(attack, "not run", told.text, leaf)
        if told.code not in attack.stops:
            return _row(attack, "not run", f"{told.code} is not what stops it: {told.text}", leaf)
        if attack.leaf and leaf is None:
            return _row(
                attack, "not run", f"{told.code}, and no {attack.leaf} in the ledger tells of it", leaf
            )
        return _row(attack, "stopped", f"{told.code}: {told.text}", leaf, told.code)

    def _inside(self, attack: Attack, before: int) -> _Told:
        fresh = attack.place == "link" or attack.group in ("bombs", "spawn bomb", "mailbox flood")
        try:
            line = self._ask(attack.name, fresh or not self._attacker, attack, before)
        except TimedOut:
            self._drop()
            return _Told("not run", "", f"no answer within {attack.limit_s:.0f} s")
        if line is None:  # the ledger answered
            self._drop()
            return _Told("stopped", "ended", "the supervisor ended the cell")
        if line["code"] == "again" or fresh:
            self._drop()
        return _Told(line["end"], line["code"], line["text"])

    def _ask(self, name: str, fresh: bool, attack: Attack | None, before: int) -> dict[str, Any] | None:
        """Have an attack or a control made, and wait for its agent's line; None if a ledger entry came instead."""
        self._client.call(
            "drill_attack", drill=self._drill, attack=name, facts=canonical(self._told()), fresh=fresh
        )
        passed = self._wait(self._warden, lambda line: line.get("attack") == name, LIMIT_S)
        self._attacker = f"agent-{passed['attacker']}"
        until = time.monotonic() + (attack.limit_s if attack else LIMIT_S)
        while time.monotonic() < until:
            for line in self._lines(self._attacker):
                if line.get("told") == name and not (
                    attack and attack.place == "link" and line["code"] == "again"
                ):
                    return line
            if attack is not None and attack.place == "link" and self._leaf(attack, before) is not None:
                return None
            time.sleep(POLL_S)
        raise TimedOut(f"`{name}` gave no answer")

    def _told(self) -> dict[str, Any]:
        return {name: self._facts[name] for name in ("supervisor", "neighbour", "neighbour_file")}

    def _drop(self) -> None:
        """End the present attacker: the next attack gets another."""
        if self._attacker:
            self._client.call("stop", target=self._attacker, reason="the drill goes on with another")
        self._attacker = ""

    def _outside(self, attack: Attack) -> _Told:
        at = Outside(
            self._paths.socket, self._client, self._signer, self._clock, self._facts, self._drill, self._document,
            self._neighbour, self._show,
        )  # fmt: skip
        try:
            return _Told("through", "", str(attack.run(at)))
        except NotRun as reason:
            return _Told("not run", "", str(reason))
        except (Stopped, QueenrightError, OSError) as stop:
            return _Told("stopped", code_of(stop), str(stop)[:200])

    def _use(self, name: str) -> Use:
        try:
            line = self._ask(name, not self._attacker, None, 0)
        except TimedOut:
            self._drop()
            return Use(name, False, f"no answer within {LIMIT_S:.0f} s")
        assert line is not None
        return Use(name, line["end"] == "works", line["text"])

    # --- listening ------------------------------------------------------------------------------------------------

    def _lines(self, agent: str) -> Iterator[dict[str, Any]]:
        """What the drill's own agents have said since: one JSON object a line; anything else in their logs is let go."""
        page = self._client.call("agent_log", agent=agent, after=self._seen.get(agent))
        for line in page["lines"]:
            self._seen[agent] = line["seq"]
            if line["stream"] == "log" and line["text"].startswith("{"):
                yield json.loads(line["text"])

    def _wait(self, agent: str, wanted: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self._lines(agent):
                if wanted(line):
                    return line
            time.sleep(POLL_S)
        raise TimedOut(
            f"the drill's agent said nothing within {seconds:.0f} s", hint=f"`queenright logs {agent}`"
        )

    def _leaf(self, attack: Attack, before: int) -> int | None:
        """The ledger entry that tells of this attack: of its kind, since it began, of the drill or of this process."""
        page = self._client.call("ledger", query=f"what:{attack.leaf}", after=before - 1, newest=False)
        for row in page["rows"]:
            entry = json.loads(row["entry"])
            facts = entry.get("facts", {})
            mine = (
                facts.get("pid") == os.getpid()
                if attack.place == "client"
                else entry.get("intent") == self._drill
            )
            if mine and attack.says in json.dumps(facts):
                found: int = row["index"]
                return found
        return None


def _row(attack: Attack, outcome: Any, evidence: str, leaf: int | None = None, code: str = "") -> Row:
    attributed = NOT_OBSERVABLE if leaf is None else f"#{leaf} {attack.leaf}"
    by = attack.by if outcome == "stopped" else ""
    return Row(attack.name, attack.group, attack.place, outcome, by, evidence[:400], attributed, leaf, code)
