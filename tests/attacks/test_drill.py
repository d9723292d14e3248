"""`queenright drill` on a live supervisor: every attack is stopped, everything else works, and nothing of it stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drill_run import drill, left
from people import person
from supervised import Supervised

from queenright.authority.document import INTENT
from queenright.authority.intent_toml import parse_intent
from queenright.clock import SystemClock
from queenright.core import digest
from queenright.drill.attacks import agents  # noqa: F401 - its rooms register their attacks
from queenright.drill.attacks.controls import USABILITY
from queenright.drill.attacks.kit import ATTACKS
from queenright.drill.decoys import Decoys, clear_left
from queenright.drill.outside import Outside
from queenright.drill.package import drill_package
from queenright.errors import Malformed

SUPPORT = Path(__file__).parents[1] / "support"
NEEDED = ("nacl", "cffi", "_cffi_backend", "platformdirs", "click")
FEWEST = 60
SECONDS = 600.0  # a whole drill takes one minute on a quiet machine

assert Outside  # importing it registers the attacks from outside


@pytest.fixture(scope="module", params=["self", pytest.param("user", marks=pytest.mark.root)])
def drilled(request: pytest.FixtureRequest) -> Any:
    with person(request.param, SUPPORT, NEEDED) as who:
        found: dict[str, Any] = json.loads(
            who.passes(SUPPORT / "drill_run.py", "whole", seconds=SECONDS).splitlines()[-1]
        )
        return found


@pytest.mark.isolation
def test_every_attack_on_a_live_supervisor_is_stopped_and_everything_else_works(drilled: Any) -> None:
    report = drilled["report"]
    loose = [row for row in report["attacks"] if row["outcome"] != "stopped"]
    assert loose == [], loose
    assert {row["attack"] for row in report["attacks"]} == set(ATTACKS)
    assert len(ATTACKS) >= FEWEST
    assert {use["name"] for use in report["controls"]} == set(USABILITY)
    assert all(use["works"] for use in report["controls"]), report["controls"]
    assert (drilled["exit"], report["passed"]) == (0, True), drilled["said"]


@pytest.mark.isolation
def test_what_reaches_the_supervisor_is_attributed_to_a_ledger_entry(drilled: Any) -> None:
    for row in drilled["report"]["attacks"]:
        wanted = ATTACKS[row["attack"]].leaf
        assert (row["leaf"] is not None) == bool(wanted), row
        assert row["attributed"] == (f"#{row['leaf']} {wanted}" if wanted else "not observable")


@pytest.mark.isolation
def test_a_drill_is_an_order_spent_once_and_its_report_is_a_leaf(drilled: Any) -> None:
    report = drilled["report"]
    assert [drilled["orders"].count(name) for name in ("drill_begin", "drill_end")] == [1, 1]
    (begun, began, planned), (ended, finished, facts) = drilled["drill_leaves"]
    assert (begun, began, ended, finished) == ("drill.begun", "ana", "drill.ended", "ana")
    assert planned["attacks"] == len([a for a in ATTACKS.values() if a.place != "client"]) + len(USABILITY)
    assert (facts["stopped"], facts["escaped"], facts["not_run"]) == (len(ATTACKS), 0, 0)
    body = json.dumps(report, sort_keys=True, separators=(",", ":")).encode()
    assert facts["report"] == digest("drill-report", body).hex()


@pytest.mark.isolation
def test_nothing_of_a_drill_stays_but_its_record(drilled: Any) -> None:
    assert (drilled["left"], drilled["file"], drilled["secrets"]) == ([], False, [])
    assert (drilled["alive"], drilled["cells"]) == ([], 0)


@pytest.mark.isolation
def test_without_namespaces_a_drill_is_refused_with_6_and_plants_nothing() -> None:
    with person("user" if os.geteuid() == 0 else "self", SUPPORT, NEEDED) as who:
        prefix = (who.python, who.path(SUPPORT / "no_namespaces.py"), "all")
        found = json.loads(who.passes(SUPPORT / "drill_run.py", "refused", prefix=prefix).splitlines()[-1])
    assert found["without"][0] == 6, found
    assert found["degraded"][0] == 6, found
    assert "overlay" in found["degraded"][1] or "commands are refused" in found["degraded"][1], found
    assert (found["left"], found["begun"]) == ([], [])


def test_a_drill_without_a_supervisor_ends_with_5(supervised: Supervised) -> None:
    assert drill(supervised).returncode == 5
    assert left() == []


def test_a_drill_on_a_locked_supervisor_ends_with_7(supervised: Supervised) -> None:
    supervised.up(locked=True)
    assert drill(supervised).returncode == 7
    assert left() == []


def test_a_name_that_is_no_attack_is_refused(supervised: Supervised) -> None:
    done = drill(supervised, "--only", "no-such-attack")
    assert done.returncode == 1
    assert "--list" in done.stderr


def started(supervised: Supervised) -> subprocess.Popen[bytes]:
    """A drill that is under way: its decoys are planted and its swarm lives."""
    command = [sys.executable, "-m", "queenright.cli", "drill", "--state", str(supervised.paths.state), "--key",
               str(supervised.key_file), "--yes", "--only", "run-on-after-its-time"]  # fmt: skip
    environ = dict(os.environ) | {"QUEENRIGHT_CONFIG": str(supervised.base / "config")}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    supervised.until("the drill's agents", lambda: "drill/warden/neighbour" in supervised.agents())
    assert left() != []
    return process


def test_what_a_killed_supervisor_left_of_a_drill_is_cleared_at_its_next_start(
    supervised: Supervised,
) -> None:
    supervised.up()
    process = started(supervised)
    supervised.kill()
    assert process.wait(60) == 1
    assert left() == []
    assert (supervised.paths.state / "drill-decoy").exists()
    supervised.up()
    assert not (supervised.paths.state / "drill-decoy").exists()
    assert supervised.call("secret_list") == []
    (ended,) = supervised.entries("what:drill.ended")
    assert ended["facts"]["why"] == "the supervisor ended meanwhile"
    assert [name for name, row in supervised.agents().items() if row["state"] != "ended"] == []


def test_what_a_killed_drill_left_is_cleared_by_the_next(supervised: Supervised) -> None:
    supervised.up()
    process = started(supervised)
    (place,) = left()
    process.kill()
    process.wait(60)
    assert left() == [place]
    done = drill(supervised, "--only", "read-a-file-outside")
    assert done.returncode == 0, done.stderr
    assert f"removed what a drill left at {place}" in done.stderr
    assert left() == []
    first, second = supervised.entries("what:drill.ended")
    assert (first["facts"]["why"], second["facts"]["why"]) == ("another drill began", "done")
    assert supervised.call("secret_list") == []


def test_a_running_drills_decoys_are_not_cleared_and_show_what_reached_them() -> None:
    with Decoys() as decoys:
        assert str(decoys.place) not in clear_left()
        assert decoys.marks() == []
        Path(decoys.facts["drop"], "there").touch()
        os.kill(decoys.facts["pid"], 10)
        seen: list[str] = []
        while len(seen) < 2:
            seen += decoys.marks()
        assert sorted(seen) == ["`there` was made outside", "the decoy process got signal 10"]
    assert not decoys.place.exists()


WIDER = """
[intent]
purpose = "not a drill"
swarm = "drill"
for = "{life}"
depth = 1
max_agents = 4

[run]
start = "{start}"
packages = ["{package}"]
args = {{attacks = []}}

[[allow]]
do = ["{verb}"]
on = "{resource}"
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"life": "2h"}, "minutes"),
        ({"verb": "svc.restart", "resource": "svc:shop/web"}, "more than files and commands"),
        ({"package": "other", "start": "other.Warden"}, "own attacks"),
    ],
)
def test_a_drills_order_starts_nothing_but_a_drill(
    supervised: Supervised, change: dict[str, str], words: str
) -> None:
    supervised.up()
    usual = {
        "life": "10m",
        "verb": "fs.read",
        "resource": "ws:self",
        "package": "drill",
        "start": "drill.Warden",
    }
    text = WIDER.format(**usual | change)
    with supervised.client() as client:
        intent = parse_intent(text).compile(
            runtime=client.hello.runtime,
            packages={"drill": drill_package()[0], "other": bytes(32)},
            now_ms=SystemClock().wall_ms(),
            rand=os.urandom,
        )
        document = intent.encode()
        with pytest.raises(Malformed, match=words):
            client.call(
                "drill_begin", document=document, signature=supervised.key.sign(INTENT, document), canary=b"x"
            )
    assert supervised.agents() == {}
    assert supervised.call("secret_list") == []
