"""How the drill judges: a stop needs its own evidence, an escape is whatever is seen at a decoy, and nothing else is either."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from queenright.cli.exit_codes import LACKS_FEATURE, LOCKED
from queenright.cli.exit_codes import of as exit_code
from queenright.drill.attacks import agents, kit
from queenright.drill.attacks.kit import ATTACKS, PLACES, Attack, NotRun, Stopped, code_of, in_child
from queenright.drill.attacks.shell import judge
from queenright.drill.drill import LIMITS, Drill, chosen
from queenright.drill.report import WIDTH, Report, Row, Use
from queenright.errors import Locked, Malformed, SandboxRefused, Unknown
from queenright.supervisor.drills import SECRET
from queenright.supervisor.sandbox_spec import CELL_LIMITS

CORE = Path(__file__).parents[2] / "core-rs" / "queenright-sandbox" / "src" / "syscalls.rs"

assert agents


# --- the list ---------------------------------------------------------------------------------------------------------


def test_there_are_sixty_attacks_from_every_place_on_every_subject() -> None:
    assert len(ATTACKS) >= 60
    assert {attack.place for attack in ATTACKS.values()} == set(PLACES)
    wanted = {
        "files", "/proc", "ptrace", "signals", "sockets", "metadata", "mounts", "namespaces", "keyrings", "io_uring", "bpf",
        "given", "links", "hostile names", "hostile archives", "envelopes", "dead incarnation", "another's handle",
        "self-approval", "policy", "ledger", "spawn bomb", "mailbox flood", "screen", "bombs",
    }  # fmt: skip
    assert wanted <= {attack.group for attack in ATTACKS.values()}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name)
def test_an_attack_says_what_it_does_why_it_is_harmless_and_what_stops_it(attack: Attack) -> None:
    assert len(attack.what) > 4
    assert len(attack.harmless) > 4
    assert attack.by
    assert attack.stops
    assert re.fullmatch(r"[a-z0-9-]+", attack.name)
    assert (attack.says == "") or attack.leaf


def test_an_attack_without_a_reason_why_it_is_harmless_is_refused() -> None:
    with pytest.raises(ValueError, match="harmless"):

        @kit.attack("files", "cell", "nothing", "EPERM")
        def bad(at: Any) -> str:
            """Does something."""
            return ""

    assert "bad" not in ATTACKS


def test_the_numbers_of_system_calls_are_those_of_the_filter() -> None:
    rows = re.findall(r'\("(\w+)", (\d+), (\d+|NONE)\)', CORE.read_text())
    known = {name: (int(first), None if second == "NONE" else int(second)) for name, first, second in rows}
    shared = known.keys() & kit._NUMBERS.keys()
    assert len(shared) > 40
    assert {name: kit._NUMBERS[name] for name in shared} == {name: known[name] for name in shared}


def test_the_limits_the_bombs_aim_at_are_those_of_a_cell() -> None:
    assert {name: getattr(CELL_LIMITS, name) for name in LIMITS} == LIMITS


def test_only_named_attacks_are_chosen_and_an_unknown_name_is_refused() -> None:
    assert [attack.name for attack in chosen(["read-a-file-outside"])] == ["read-a-file-outside"]
    assert len(chosen([])) == len(ATTACKS)
    with pytest.raises(Unknown, match="no-such"):
        chosen(["no-such"])


# --- what counts as a stop --------------------------------------------------------------------------------------------


class Decoys:
    def __init__(self, *marks: str) -> None:
        self._marks = [[], list(marks)]

    def marks(self) -> list[str]:
        return self._marks.pop(0)


class Client:
    """A ledger in which `rows` stand, and nothing else."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows

    def call(self, method: str, **params: Any) -> Any:
        return {"status": {"ledger_size": 7}, "ledger": {"rows": list(self.rows)}}[method]


def one(outcome: Any, *marks: str, leaf: str = "", client: Client | None = None) -> Row:
    """The row of an attack from outside that returns or raises `outcome`."""

    def run(at: Any) -> str:
        if isinstance(outcome, BaseException):
            raise outcome
        return str(outcome)

    attack = Attack(
        "an-attack",
        "files",
        "client",
        "does",
        "harmless",
        "wall",
        frozenset({"EPERM", "malformed"}),
        run,
        leaf,
    )

    class Paths:
        socket = Path("/nowhere")

    drill = Drill(client or Client(), None, Paths(), None, attacks=[attack], show=None, say=None)  # type: ignore[arg-type]
    return drill._one(attack, Decoys(*marks))  # type: ignore[arg-type]


def test_an_errno_that_the_attack_names_is_a_stop() -> None:
    row = one(PermissionError(1, "no"))
    assert (row.outcome, row.code, row.by, row.attributed) == ("stopped", "EPERM", "wall", "not observable")
    assert one(Malformed("no")).outcome == "stopped"


def test_any_other_error_is_no_stop_but_not_run() -> None:
    assert one(FileNotFoundError(2, "no")).outcome == "not run"
    assert one(NotRun("not here")).outcome == "not run"
    assert one(Stopped("another-code")).outcome == "not run"


def test_a_proof_is_an_escape() -> None:
    assert one("read the decoy").outcome == "ESCAPED"


def test_a_mark_at_a_decoy_is_an_escape_whatever_the_attack_says() -> None:
    row = one(PermissionError(1, "no"), "the decoy file changed")
    assert (row.outcome, row.evidence) == ("ESCAPED", "the decoy file changed")
    assert one(NotRun("no"), "the decoy file changed").outcome == "ESCAPED"


def test_a_stop_that_no_ledger_entry_tells_of_where_one_must_is_not_shown() -> None:
    row = one(PermissionError(1, "no"), leaf="control.refused")
    assert (row.outcome, row.leaf) == ("not run", None)
    assert "no control.refused in the ledger" in row.evidence


def test_an_entry_of_somebody_else_does_not_attribute_an_attack() -> None:
    other = {"index": 9, "entry": b'{"facts": {"pid": 1}}'}
    assert one(PermissionError(1, "no"), leaf="control.refused", client=Client(other)).outcome == "not run"


def test_a_child_that_breaks_is_not_a_stop() -> None:
    def broken() -> str:
        raise KeyError("x")

    with pytest.raises(NotRun, match="KeyError"):
        in_child(broken)


def test_a_child_ended_by_a_signal_is_known_by_its_name() -> None:
    import os
    import signal

    def ended() -> str:
        os.kill(os.getpid(), signal.SIGSYS)
        return ""

    with pytest.raises(OSError, match="SIGSYS") as caught:
        in_child(ended)
    assert code_of(caught.value) == "SIGSYS"


@pytest.mark.parametrize(
    ("out", "err", "wanted"),
    [
        ("", "cat: /x: No such file or directory\n", "ENOENT"),
        ("", "bash: /dev/tcp/127.0.0.1/1: Connection refused\n", "ECONNREFUSED"),
        ("", "mount: permission denied: Operation not permitted\n", "EPERM"),
    ],
)
def test_a_script_is_stopped_by_the_errno_its_programs_named(out: str, err: str, wanted: str) -> None:
    with pytest.raises(Stopped) as caught:
        judge(kit.At({"token": "t0ken"}, "/tmp"), 1, out, err)
    assert caught.value.code == wanted


def test_a_script_that_lacks_its_program_or_says_nothing_is_not_run() -> None:
    at = kit.At({"token": "t0ken"}, "/tmp")
    for err in ("", "sh: 1: unshare: not found\n"):
        with pytest.raises(NotRun):
            judge(at, 127, "", err)
    assert judge(at, 0, "t0ken", "")


# --- the report -------------------------------------------------------------------------------------------------------

ROW = Row(
    "an-attack",
    "files",
    "cell",
    "stopped",
    "mount namespace; Landlock",
    "ENOENT: no",
    "not observable",
    None,
    "ENOENT",
)
REPORT = Report("1", "full", "hard", (ROW,), (Use("compute", True, "computed"),))


def test_a_report_passes_only_if_all_are_stopped_none_not_run_and_everything_works() -> None:
    assert REPORT.passed
    for worse in (
        replace(REPORT, rows=(ROW, replace(ROW, outcome="ESCAPED"))),
        replace(REPORT, rows=(ROW, replace(ROW, outcome="not run"))),
        replace(REPORT, uses=(Use("compute", False, "no"),)),
        replace(REPORT, uses=()),
        replace(REPORT, rows=()),
        replace(REPORT, interrupted="by the operator"),
    ):
        assert not worse.passed, worse


def test_every_line_of_a_report_has_eighty_columns_and_names_what_was_not_stopped() -> None:
    rows = tuple(
        Row(attack.name, attack.group, attack.place, outcome, attack.by, "x" * 300, "", leaf, "E" * 12)
        for attack in ATTACKS.values()
        for outcome, leaf in (("stopped", 123_456), ("ESCAPED", None), ("not run", None))  # type: ignore[assignment]
    )
    lines = list(replace(REPORT, rows=rows).lines())
    assert max(map(len, lines)) <= WIDTH
    assert (
        f"{len(rows)} attacks: {len(ATTACKS)} stopped, {len(ATTACKS)} ESCAPED, {len(ATTACKS)} not run"
        in lines
    )


def test_the_digest_of_a_report_changes_with_any_row() -> None:
    assert REPORT.digest != replace(REPORT, rows=(replace(ROW, evidence="EPERM: no"),)).digest


def test_exit_codes_of_refusals_are_those_of_the_command_line() -> None:
    assert exit_code(SandboxRefused("no", step="overlay")) == LACKS_FEATURE
    assert exit_code(Locked("no")) == LOCKED
    assert SECRET == "drill-decoy"
