"""A cell as a process: started with `-I -S`, spoken to over its link, killed, stopped, starved and lied to."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queenright.clock import ManualClock
from queenright.core import canonical, decode
from queenright.testing.loopback import CellProcess, Loopback
from queenright.testing.records import AgentRecord
from queenright.testing.runtime import Runtime
from queenright.wire.frame import MAX_FRAME, pack
from queenright.wire.link import End, Evict, Result, Shutdown, Step, encode
from queenright.wire.page import read

PACKAGES = Path(__file__).parents[1] / "support" / "packages"
DIGEST = b"d" * 32


class Allowing:
    def __init__(self) -> None:
        self.acts = 0

    def births(self, *_: Any) -> None:
        raise AssertionError("nothing is born in batches here")

    def birth(self, *_: Any) -> None:
        return

    def act(self, agent: AgentRecord, ordinal: int, request: dict[str, Any]) -> Any:
        self.acts += 1
        return 40 + self.acts


def package(
    name: str = "probe", classes: tuple[str, ...] = ("Probe", "Child"), path: Path | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "digest": DIGEST,
        "path": str(path or PACKAGES / name),
        "classes": list(classes),
        "bundle": False,
    }


class Bench:
    def __init__(self, python: str = sys.executable) -> None:
        self.authority = Allowing()
        self.clock = ManualClock()
        self.runtime = Runtime(self.authority, os.urandom, self.clock)
        self.loop = Loopback(self.runtime, python)

    def start(self, *, cell: Any = None) -> AgentRecord:
        cell = cell or self.loop.open_cell([package()])
        record = self.runtime.first("probe.Probe", DIGEST, f"probe{len(self.runtime.agents)}", {})
        self.runtime.host(record, cell)
        self.loop.until(lambda: record.turn is None and not record.mailbox, "on_start")
        return record

    def send(self, agent: AgentRecord, what: str, who: AgentRecord | None = None) -> None:
        ref = None if who is None else {"t": "queenright.AgentRef", "f": {"id": who.id, "name": who.name}}
        self.runtime.post(agent.id, self.runtime.runtime_mail("probe.Do", {"what": what, "who": ref}))

    def do(self, agent: AgentRecord, what: str, who: AgentRecord | None = None) -> None:
        self.send(agent, what, who)
        self.loop.until(lambda: agent.turn is None, f"`{what}` to end")

    def count(self, agent: AgentRecord) -> int:
        return int(decode(agent.state)["count"]) if agent.state else 0

    def process(self, agent: AgentRecord) -> CellProcess:
        assert agent.cell is not None
        return self.loop.processes[agent.cell.id]


@pytest.fixture
def bench() -> Iterator[Bench]:
    found = Bench()
    with found.loop:
        yield found


# --- good ------------------------------------------------------------------------------------------------------------


def test_a_cell_starts_says_what_it_found_and_runs_a_turn(bench: Bench) -> None:
    agent = bench.start()
    assert agent.cell is not None
    assert agent.cell.ready is not None
    assert [cls["name"] for cls in agent.cell.ready.classes] == ["probe.Child", "probe.Probe"]
    assert agent.cell.ready.classes[1]["handles"] == ["probe.Beat", "probe.Do"]
    bench.do(agent, "count")
    bench.do(agent, "count")
    assert bench.count(agent) == 2
    assert agent.logs == [("info", "started")]


@pytest.mark.skipif(not Path("/usr/bin/python3.11").exists(), reason="needs the system's own Python 3.11")
def test_a_cell_runs_under_the_systems_python() -> None:
    bench = Bench("/usr/bin/python3.11")
    with bench.loop:
        agent = bench.start()
        bench.do(agent, "count")
        assert bench.count(agent) == 1


def test_a_cell_imports_no_event_loop_and_nothing_of_the_supervisors(tmp_path: Path) -> None:
    import subprocess

    import queenright

    root = Path(queenright.__file__).parents[1]
    code = (
        f"import sys; sys.path.append({str(root)!r}); import queenright.cell.main; "
        "print(*sorted(name for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split())
    heavy = {
        "asyncio",
        "socket",
        "subprocess",
        "logging",
        "platform",
        "traceback",
        "msgpack",
        "nacl",
        "threading",
    }
    assert names & heavy == set()
    rooms = {name.split(".")[1] for name in names if name.startswith("queenright.")}
    assert rooms <= {"_core", "agent", "cell", "clock", "core", "errors", "wire"}
    assert not names & {"queenright.core.host", "queenright.core.operator"}


def test_children_are_born_called_and_told_in_one_cell(bench: Bench) -> None:
    agent = bench.start()
    bench.do(agent, "family")
    kids = [record for record in bench.runtime.agents.values() if record.parent == agent.id]
    assert [kid.name for kid in kids] == ["probe0/kid-0", "probe0/kid-1", "probe0/kid-2"]
    assert [decode(kid.args) for kid in kids] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [bench.count(kid) for kid in kids] == [1, 1, 1]


def test_two_cells_talk_through_seals(bench: Bench) -> None:
    here = bench.start()
    there = bench.start()
    assert here.cell is not there.cell
    bench.do(here, "call", there)
    assert bench.count(there) == 1
    assert here.errors == there.errors == []
    step = next(frame for frame in bench.runtime.frames if isinstance(frame, Step) and frame.kind == "call")
    assert decode(step.request)["body"] is None


def test_timers_come_as_messages(bench: Bench) -> None:
    agent = bench.start()
    bench.do(agent, "later")
    for n in range(1, 4):
        bench.clock.advance(5000)
        bench.loop.until(lambda n=n: bench.count(agent) == n, "the timer")


def test_a_turn_goes_on_in_another_cell_after_its_own_was_killed(bench: Bench) -> None:
    agent = bench.start()
    bench.send(agent, "act_then_wait")
    bench.loop.until(lambda: agent.turn is not None and len(agent.turn.steps) == 2, "the sleep")
    assert agent.cell is not None
    bench.loop.kill(agent.cell)
    bench.runtime.host(agent, bench.loop.open_cell([package()]))
    bench.loop.until(lambda: agent.turn is not None and agent.turn.delivered, "the second try")
    bench.clock.advance(60_000)
    bench.loop.until(lambda: agent.turn is None, "the turn to end")
    assert bench.count(agent) == 41
    assert bench.authority.acts == 1
    assert agent.errors == []


def test_stop_runs_on_stop_and_shutdown_ends_the_process(bench: Bench) -> None:
    agent = bench.start()
    process = bench.process(agent)
    bench.do(agent, "count")
    bench.runtime.stop(agent)
    bench.loop.until(lambda: agent.ended, "its end")
    assert agent.logs[-1] == ("info", "stopped after 1")
    process.send(Shutdown())
    assert process.wait() == 0


def test_the_end_of_the_link_ends_the_cell(bench: Bench) -> None:
    agent = bench.start()
    process = bench.process(agent)
    process.link.close()
    process.closed = True
    assert process.wait() == 2


# --- bad behaviours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["spin", "block", "spin_stubbornly"])
def test_a_handler_that_holds_the_interpreter_is_interrupted_and_the_cell_goes_on(
    bench: Bench, what: str
) -> None:
    agent = bench.start()
    other = bench.start(cell=agent.cell)
    bench.send(agent, what)
    bench.loop.until(lambda: agent.errors != [], "the interruption")
    assert "TurnTimeout" in agent.errors[0]
    assert len(agent.errors[0]) <= 4000
    bench.runtime.evict(agent)
    bench.do(other, "count")
    assert bench.count(other) == 1


def test_an_error_whose_text_never_ends_still_ends_its_turn(bench: Bench) -> None:
    agent = bench.start()
    bench.send(agent, "mute")
    bench.loop.until(lambda: agent.errors != [], "the failure")
    assert agent.errors[0]


def test_the_shared_page_names_the_turn_in_progress(bench: Bench) -> None:
    agent = bench.start()
    process = bench.process(agent)
    assert read(process.page) is None
    bench.send(agent, "block")
    bench.loop.until(lambda: read(process.page) is not None, "the page")
    found = read(process.page)
    assert found is not None
    assert (found.agent, found.turn) == (agent.id, 2)
    assert read(process.page) == found, "while one step runs its number stays"


@pytest.mark.parametrize(("what", "code"), [("crash", -signal.SIGSEGV), ("leave", 9)])
def test_a_crash_ends_the_cell_and_the_page_says_whose(bench: Bench, what: str, code: int) -> None:
    agent = bench.start()
    process = bench.process(agent)
    bench.send(agent, what)
    bench.loop.until(lambda: process.closed, "the end")
    assert process.wait() == code
    found = read(process.page)
    assert found is not None
    assert found.agent == agent.id


def test_a_memory_hog_loses_its_turn(bench: Bench) -> None:
    agent = bench.start()
    bench.send(agent, "hog")
    bench.loop.until(lambda: agent.errors != [], "the failure")
    assert "MemoryError" in agent.errors[0]


def test_what_a_behaviour_prints_is_a_bounded_log_of_its_own_agent(bench: Bench) -> None:
    agent = bench.start()
    bench.start(cell=agent.cell)
    bench.do(agent, "say")
    assert ("stdout", "to stdout") in agent.logs
    assert ("stderr", "to stderr") in agent.logs
    assert max(len(text) for _, text in agent.logs) <= 2000
    assert sum(len(text) for _, text in agent.logs) < 100_000
    assert any("is dropped" in text for _, text in agent.logs)
    bench.do(agent, "log")
    assert len(agent.logs) < 20_000


def test_what_a_behaviour_writes_into_the_link_is_caught_by_the_reader(bench: Bench) -> None:
    from queenright.errors import Malformed

    agent = bench.start()
    bench.send(agent, "garble")
    with pytest.raises(Malformed):
        bench.loop.until(lambda: agent.turn is None, "the garbage")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise ValueError('no luck')", "no luck"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("import sys; sys.exit(5)", "SystemExit"),
        ("x = (", "SyntaxError"),
        ("from queenright.agent import Agent\nclass Bad(Agent):\n    cell = 'mine'", "shared"),
        ("class Other: pass", "no behaviour class `Bad`"),
    ],
)
def test_a_package_that_does_not_import_is_a_fault_with_its_reason(
    bench: Bench, tmp_path: Path, source: str, words: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    cell = bench.loop.open_cell([package("bad", ("Bad",), tmp_path)])
    assert words in cell.fault
    process = bench.loop.processes[cell.id]
    assert process.wait() == 4
    assert words in process.stderr


def test_a_package_cannot_take_the_name_of_a_module_in_use(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "dataclasses.py").write_text("")
    cell = bench.loop.open_cell([package("dataclasses", ("X",), tmp_path)])
    assert "name of a module that is in use" in cell.fault


# --- bad frames ------------------------------------------------------------------------------------------------------

BAD_FRAMES = {
    "an oversize length": (MAX_FRAME + 1).to_bytes(4, "big"),
    "garbage": pack(b"\xc1\xc1\xc1"),
    "an empty frame": pack(b""),
    "no map": pack(canonical([1, 2])),
    "an unknown frame": pack(canonical({"t": "format_disk"})),
    "a frame of the other side": pack(encode(End(b"\x01" * 32, 1, True, "", None, 1, [], None))),
    "a missing field": pack(canonical({"t": "evict"})),
    "a wrong type": pack(canonical({"t": "evict", "agent": 5})),
    "not canonical": pack(b"\x82\xa1t\xa5evict\xa5agent\xc4\x00"),
    "an answer for nobody": pack(encode(Result(b"\x09" * 32, 1, 0, True, b"", None))),
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_a_frame_the_supervisor_never_sends_ends_the_cell_with_words(bench: Bench, what: str) -> None:
    agent = bench.start()
    process = bench.process(agent)
    process.send_raw(BAD_FRAMES[what])
    assert process.wait() == 3
    assert process.stderr.startswith("cell: ")
    assert process.stderr.count("\n") == 1


def test_a_first_frame_that_is_no_start_ends_the_cell(bench: Bench) -> None:
    process = CellProcess()
    try:
        process.send(Evict(b"\x01" * 32))
        assert process.wait() == 3
        assert "the first frame" in process.stderr
    finally:
        process.close()


def test_frames_may_come_byte_by_byte(bench: Bench) -> None:
    agent = bench.start()
    process = bench.process(agent)
    for byte in pack(encode(Shutdown())):
        process.send_raw(bytes([byte]))
    assert process.wait() == 0


def test_a_cell_reads_on_while_nobody_reads_from_it(bench: Bench) -> None:
    """Both sides writing at once must not lock up: the cell drains its link while its own output waits."""
    agent = bench.start()
    process = bench.process(agent)
    big = pack(encode(Result(agent.id, 99, 0, True, canonical("x" * 1_000_000), None)))
    bench.send(agent, "bulk")  # more than the socket holds, and nobody reads for now
    for _ in range(30):
        process.send_raw(big)
    deadline = time.monotonic() + 20
    while process._out and time.monotonic() < deadline:
        process._write()
    assert not process._out
    bench.loop.until(lambda: agent.turn is None, "the turn")
