"""What the programs of bench/ promise about any figure: same work, nothing dropped without a word, kept and comparable."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.contestants import PROGRAMS, Program
from bench.program import main
from bench.question import RATE, Bar, Question, Rival
from bench.results import compare, place, read, write
from bench.run import Outcome, ask
from bench.table import table
from bench.work import Params, next_link, pick, spaced

MACHINE = {"revision": "0" * 40, "changed": False, "cpu": "a cpu", "load_before": [0.0, 0.0, 0.0]}


def question(*rivals: str, bars: tuple[Bar, ...] = ()) -> Question:
    sizes: dict[str, dict[str, object]] = {mode: {"messages": 10} for mode in ("full", "quick", "tiny")}
    return Question(
        "T1", "a test", "ping_pong", (RATE,), sizes, tuple(Rival(rival) for rival in rivals), bars,
    )  # fmt: skip


def prints(text: str, code: int = 0) -> Program:
    """A contestant that only prints."""
    script = f"import sys; print({text!r}); sys.exit({code})"
    return Program(lambda: [sys.executable, "-c", script], lambda: "")


@pytest.fixture
def contestants(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, program in {
        "ours": prints('{"count": 10, "seconds": 1.0}'),
        "slow": prints('{"count": 10, "seconds": 4.0}'),
        "lazy": prints('{"count": 9, "seconds": 0.1}'),
        "broken": prints("no json"),
        "dead": prints("", 3),
        "absent": Program(lambda: ["/nonexistent"], lambda: "make bench-peers"),
    }.items():
        monkeypatch.setitem(PROGRAMS, name, program)
    monkeypatch.setattr("bench.program.end_in_order", lambda: None)  # pytest's own signals stay as they are


def run(asked: Question, repetitions: int = 2) -> Outcome:
    return ask(asked, "full", repetitions, lambda what: None)


@pytest.mark.usefixtures("contestants")
def test_a_contestant_that_did_other_work_has_no_figure() -> None:
    outcome = run(question("ours", "lazy"))
    assert "lazy" not in outcome.samples
    assert "did 9 of 10" in outcome.failed["lazy"]
    assert "lazy: FAILED" in table(outcome)


@pytest.mark.usefixtures("contestants")
def test_a_contestant_that_ends_badly_or_says_nothing_is_said_to_have_failed() -> None:
    outcome = run(question("ours", "broken", "dead"))
    assert set(outcome.failed) == {"broken", "dead"}
    assert "ended with 3" in outcome.failed["dead"]
    assert outcome.samples.keys() == {"ours"}


@pytest.mark.usefixtures("contestants")
def test_a_peer_that_is_not_here_is_named_with_the_way_to_get_it() -> None:
    assert "absent: not here (make bench-peers)" in table(run(question("ours", "absent")))


@pytest.mark.usefixtures("contestants")
def test_runs_alternate_so_that_the_machine_meets_all_alike() -> None:
    said: list[str] = []
    ask(question("ours", "slow"), "full", 2, said.append)
    assert said == ["T1 1/2 ours", "T1 1/2 slow", "T1 2/2 ours", "T1 2/2 slow"]


@pytest.mark.usefixtures("contestants")
def test_the_table_judges_the_ratio_of_medians_against_the_bar() -> None:
    outcome = run(question("ours", "slow", bars=(Bar("rate", 4, "slow", True), Bar("rate", 5, "slow", True))))
    assert outcome.samples == {"ours": {"rate": [10.0, 10.0]}, "slow": {"rate": [2.5, 2.5]}}
    lines = table(outcome).splitlines()
    assert "  bar: messages/s at least 4 x slow: 4, met" in lines
    assert "  bar: messages/s at least 5 x slow: 4, NOT MET" in lines


@pytest.mark.usefixtures("contestants")
def test_a_bar_without_its_peer_is_not_judged() -> None:
    assert "not measured" in table(run(question("ours", "absent", bars=(Bar("rate", 4, "absent", True),))))


@pytest.mark.usefixtures("contestants")
def test_results_are_kept_whole_and_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    path = place(MACHINE, tmp_path)
    write(path, MACHINE, [run(question("ours", "slow"))])
    kept = read(path)
    assert kept["machine"] == MACHINE
    assert kept["questions"][0]["samples"]["slow"]["rate"] == [2.5, 2.5]
    assert kept["questions"][0]["params"]["ours"] == {"messages": 10}
    other = json.loads(path.read_text())
    other["questions"][0]["samples"]["ours"]["rate"] = [20.0, 20.0]
    del other["questions"][0]["samples"]["slow"]
    text = compare(kept, other)
    assert "B/A 2.00" in text
    assert "slow: only in A" in text


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"v": 7}')
    with pytest.raises(ValueError, match="not the result of a run"):
        read(path)


@pytest.mark.parametrize("agents", [10, 40, 100, 10_000])
def test_the_ring_is_one_cycle_through_all(agents: int) -> None:
    seen, at = set(), 0
    while at not in seen:
        seen.add(at)
        at = next_link(at, agents)
    assert (len(seen), at) == (agents, 0)


def test_tokens_enter_at_different_places_and_wakes_reach_everybody() -> None:
    assert len(set(spaced(100, 10))) == 10
    assert {pick(turn, 50) for turn in range(2000)} == set(range(50))


def test_sizes_that_a_warm_up_cannot_divide_are_refused() -> None:
    assert Params({"messages": "100"}).warm("messages") == [10, 100]
    with pytest.raises(ValueError, match="multiple of 10"):
        Params({"messages": "15"}).warm("messages")


def test_every_question_has_sizes_for_each_mode_a_first_contestant_of_ours_and_bars_that_name_contestants() -> (
    None
):
    from bench.__main__ import questions

    found: dict[str, Any] = {each.id: each for each in questions()}
    assert len(found) == len(questions())
    for each in found.values():
        assert each.sizes.keys() == {"full", "quick", "tiny"}
        assert each.rivals[0].label == "ours"
        labels = {rival.label for rival in each.rivals}
        for bar in each.bars:
            assert bar.ours in labels
            assert bar.peer is None or bar.peer in labels
            assert bar.measure in {measure.key for measure in each.measures}


@pytest.mark.usefixtures("contestants")
def test_a_size_the_question_has_not_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words, why in (("hops=3", "T1 has no size `hops`; it has messages"), ("messages=many", "not `many`")):
        with pytest.raises(SystemExit):
            main([question("ours")], ["--set", words, "--results", str(tmp_path)])
        assert why in capsys.readouterr().err


@pytest.mark.usefixtures("contestants")
def test_a_program_ends_with_1_if_somebody_failed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--results", str(tmp_path), "--repetitions", "1"]
    assert main([question("ours")], words) == 0
    assert main([question("ours", "dead")], words) == 1
    assert len(list(tmp_path.iterdir())) == 2
    assert "dead: FAILED" in capsys.readouterr().out
