"""Running a question: every contestant once, then every contestant again, so that what the machine does meanwhile meets all.

A contestant is a process that prints one JSON object: `count` and `seconds` (a rate follows), or `latencies_ns`, or figures
by name. It is refused if it did another number of messages than it was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.contestants import PROGRAMS, ROOT
from bench.pacer import Pacer
from bench.question import FULL, QUICK, TINY, Question, Rival

__all__ = ["REPETITIONS", "Outcome", "ask", "figures"]

REPETITIONS = {FULL: 5, QUICK: 1, TINY: 1}
TIMEOUT_S = 600.0
END_WITHIN_S = 30.0


@dataclass(slots=True)
class Outcome:
    """`samples`: by contestant, by measure, one value a repetition. `missing`: who is not here and how to get it;
    `skipped`: whom a quick run leaves out; `failed`: who is here and did not do it, and why."""

    question: Question
    mode: str
    repetitions: int
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        rivals = {rival.label: self.question.params(self.mode, rival) for rival in self.question.rivals}
        return {
            "id": self.question.id,
            "title": self.question.title,
            "mode": self.mode,
            "repetitions": self.repetitions,
            "params": {name: rivals[name] for name in self.samples},
            "counts": self.counts,
            "samples": self.samples,
            "missing": self.missing,
            "skipped": self.skipped,
            "failed": self.failed,
        }


def ask(question: Question, mode: str, repetitions: int, say: Callable[[str], None]) -> Outcome:
    """Run it. What is missing or fails is in the outcome; nothing is dropped without a word."""
    outcome = Outcome(question, mode, repetitions)
    here = []
    for rival in question.rivals:
        missing = PROGRAMS[rival.program].missing()
        if mode in (QUICK, TINY) and not rival.quick:
            outcome.skipped.append(rival.label)
        elif missing:
            outcome.missing[rival.label] = missing
        else:
            here.append(rival)
    for repetition in range(repetitions):
        for rival in here:
            if rival.label in outcome.failed:
                continue
            say(f"{question.id} {repetition + 1}/{repetitions} {rival.label}")
            try:
                found = figures(question, rival, mode)
            except (RuntimeError, OSError) as error:
                outcome.failed[rival.label] = str(error)
                continue
            outcome.counts[rival.label] = int(found.pop("count"))
            mine = outcome.samples.setdefault(rival.label, {})
            for measure in question.measures:
                if measure.key in found:
                    mine.setdefault(measure.key, []).append(found[measure.key])
    return outcome


def figures(question: Question, rival: Rival, mode: str) -> dict[str, float]:
    """One run of one contestant. Raises RuntimeError with its last words if it failed or did other work."""
    program, params = PROGRAMS[rival.program], question.params(mode, rival)
    words = [f"{name}={int(value) if isinstance(value, bool) else value}" for name, value in params.items()]
    with tempfile.TemporaryDirectory(prefix="qr-bench-") as directory:
        pacer = None
        if question.workload == "wake" and rival.program != "ours":
            path = Path(directory) / "wakes"
            pacer = _Paced(Pacer(path), params)
            words.append(f"socket={path}")
        argv = [*program.argv(), question.workload, *program.extra, *words]
        try:
            said = _output(argv)
            if pacer is not None:
                pacer.join()
        finally:
            if pacer is not None:
                pacer.close()
    try:
        found = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"{rival.label} printed no figures: {said[-300:]!r}") from None
    expected = _expected(question.workload, params)
    if found.get("count") != expected:
        raise RuntimeError(
            f"{rival.label} did {found.get('count')} of {expected}: its figure is of other work"
        )
    return _figures(found)


def _expected(workload: str, params: dict[str, object]) -> int:
    """How many messages, agents or wakes a contestant must have done."""
    if workload == "ring":
        hops, agents = params["hops"], params["agents"]
        assert isinstance(hops, int)
        assert isinstance(agents, int)
        return hops * agents
    name = {
        "wake": "count",
        "dormant": "agents",
        "spawn": "agents",
        "stop_swarm": "agents",
        "commit": "changes",
    }.get(workload, "messages")
    found, pairs = params[name], params.get("pairs", 1)
    assert isinstance(found, int)
    assert isinstance(pairs, int)
    return found * pairs


def _figures(found: dict[str, Any]) -> dict[str, float]:
    latencies = found.pop("latencies_ns", None)
    if latencies is not None:
        ordered = sorted(latencies)
        if len(ordered) != found["count"] or ordered[0] <= 0:
            raise RuntimeError(
                f"{len(ordered)} latencies, the least {ordered[:1]} ns, of {found['count']} messages"
            )
        for name, part in (("p50_us", 0.5), ("p99_us", 0.99), ("max_us", 1.0)):
            found[name] = ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000
    if "seconds" in found:
        found["rate"] = found["count"] / found["seconds"]
    return {name: float(value) for name, value in found.items()}


def _output(argv: list[str]) -> str:
    """Its standard output. It runs in a group of its own, which ends with it whatever happens."""
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done after {TIMEOUT_S:.0f} s") from None
    finally:
        if process.poll() is None:
            _end(process)
    if process.returncode != 0:
        raise RuntimeError(f"ended with {process.returncode}: {err.strip()[-500:]}")
    return out


def _end(process: subprocess.Popen[str]) -> None:
    """Ask it to end what it started (a supervisor and its cells are not of its group), then make sure."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Paced:
    """The pacer in a thread beside the contestant."""

    def __init__(self, pacer: Pacer, params: dict[str, object]) -> None:
        self._pacer = pacer
        sizes = {name: params[name] for name in ("agents", "count", "rate")}
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, kwargs={"sizes": sizes}, daemon=True)
        self._thread.start()

    def _run(self, sizes: dict[str, Any]) -> None:
        try:
            self._pacer.run(**sizes)
        except OSError as error:
            self._error = error

    def join(self) -> None:
        """Raises what the pacer met."""
        self._thread.join(TIMEOUT_S)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._pacer.close()
