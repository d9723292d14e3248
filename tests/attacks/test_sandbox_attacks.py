"""Hostile code in a cell and in a command, as root and as an ordinary user: every attack is stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from people import Person, person

SUPPORT = Path(__file__).parents[1] / "support"

pytestmark = pytest.mark.isolation

SCRIPT = SUPPORT / "attack_run.py"
NO_NAMESPACES = SUPPORT / "no_namespaces.py"
# bubblewrap bounds the bytes of a tmpfs and not its files (docs/guarantees.md).
BY_BUBBLEWRAP = frozenset({"fill_tmp_with_inodes"})
# kill(-1) answers 0 when it was allowed to signal nobody of those it tried (kernel/signal.c); each by name is refused.
UNTOLD = frozenset({"signal_everyone"})
# Fewer would mean the probe lost some on the way.
FEWEST_ATTACKS = 170


@pytest.fixture(params=["self", pytest.param("user", marks=pytest.mark.root)])
def someone(request: pytest.FixtureRequest) -> Iterator[Person]:
    with person(request.param, SUPPORT) as who:
        yield who


@pytest.fixture
def ordinary() -> Iterator[Person]:
    """Who makes no sandboxes as root: without our own namespaces agents would be root."""
    with person("user" if os.geteuid() == 0 else "self", SUPPORT) as who:
        yield who


def attacked(who: Person, kind: str, tier: str = "full", refusing: str = "") -> dict[str, Any]:
    prefix = (who.python, who.path(NO_NAMESPACES), refusing) if refusing else ()
    report: dict[str, Any] = json.loads(who.passes(SCRIPT, kind, tier, prefix=prefix).splitlines()[-1])
    return report


@pytest.mark.parametrize("kind", ["cell", "pooled", "command"])
def test_every_attack_from_a_sandbox_is_stopped(someone: Person, kind: str) -> None:
    all_stopped(attacked(someone, kind))


@pytest.mark.parametrize("kind", ["cell", "command"])
def test_every_attack_from_a_sandbox_that_bubblewrap_made_is_stopped(ordinary: Person, kind: str) -> None:
    """The launcher's own clone is refused, and it comes to bubblewrap by itself: the same spec, the same attacks."""
    all_stopped(attacked(ordinary, kind, "bwrap", "clone3"), but=BY_BUBBLEWRAP)


@pytest.mark.parametrize("kind", ["cell", "command"])
def test_every_attack_is_stopped_by_landlock_and_the_filter_alone(ordinary: Person, kind: str) -> None:
    """No namespaces for anybody, and an operator's word: the same attacks."""
    all_stopped(attacked(ordinary, kind, "landlock-strict", "all"), but=UNTOLD)


def all_stopped(report: dict[str, Any], but: frozenset[str] = frozenset()) -> None:
    through = [
        f"{attack['name']}: {attack['how']}"
        for attack in report["attacks"]
        if not attack["stopped"] and attack["name"] not in but
    ]
    assert through == []
    # What is excused does go through: otherwise it must not be excused.
    assert but <= {attack["name"] for attack in report["attacks"] if not attack["stopped"]}
    # Refused by the filter, not by the luck of a wrong argument.
    loose = [
        f"{attack['name']}: {attack['how']}"
        for attack in report["attacks"]
        if attack["name"].startswith(("ptrace", "process_vm_readv")) and not attack["how"].startswith("EPERM")
    ]
    assert loose == []
    assert report["noise"] == []
    assert report["exit"] == [0, None]
    assert report["attacks"][-1]["name"] == "end", "the probe did not come to its end"
    assert len(report["attacks"]) >= FEWEST_ATTACKS
    broken = [name for name, held in report["aftermath"].items() if not held]
    assert broken == []


def test_the_same_attacks_succeed_without_a_sandbox(someone: Person) -> None:
    """A probe that could not find what lies open would prove nothing above."""
    report = attacked(someone, "none")
    through = {attack["name"] for attack in report["attacks"] if not attack["stopped"]}
    for part in (
        "read /", "id_ed25519", "keyring", "symlink to", "hardlink to", "tcp of the host", "udp of the host",
        "an abstract unix socket", "a unix socket of the host", "tcp-socket", "ptrace", "setpriority",
        "environ",
        "find_the_secret_in_the_environment", "find_an_inherited_descriptor", "see_processes_outside",
        "list_the_root",
        "make-a-user-namespace",
    ):  # fmt: skip
        assert any(part in name for name in through), f"{part} did not succeed: {sorted(through)}"
    assert not report["aftermath"]["nobody called"]
