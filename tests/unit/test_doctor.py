"""What the doctor says: what is missing, what that costs and what mends it; and then its exit code is 6."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from queenright.doctor import doctor
from queenright.doctor.apparmor import apparmor_profile
from queenright.errors import QueenrightError


def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A launcher whose probe prints `text`."""
    program = tmp_path / "queenright-launch"
    program.write_text(f"#!{sys.executable}\nprint({text!r})\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(doctor, "launcher_path", lambda: program)


def probed(tier: str = "full", /, **absent: str) -> str:
    names = [name for name in doctor._KNOWN if name != "launcher"]
    features = [
        {
            "name": name, "required": not name.startswith(("memory", "bubblewrap", "landlock_", "egress")), "present": name not in absent,
            "step": "clone" if name in absent else "", "errno": 28 if name in absent else 0,
            "message": absent.get(name, ""), "hint": "raise the limit" if name in absent else "",
        }
        for name in names
    ]  # fmt: skip
    landlock = {"kernel": 7, "used": 6, "full": 6}
    return json.dumps(
        {
            "version": "0",
            "root": False,
            "tier": tier,
            "landlock": landlock,
            "max_user_namespaces": 0,
            "features": features,
        }
    )


def test_a_machine_with_everything_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, probed())
    report = doctor.examine()
    assert (report.exit_code, report.tier, report.memory, report.landlock) == (
        0,
        "full",
        "hard",
        "landlock ABI 6 of 6",
    )
    assert report.missing == ()
    assert "NO " not in report.as_text()


def test_what_is_missing_is_named_with_its_cost_and_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, probed("none", user_namespace="No space left", sandbox="No space left"))
    report = doctor.examine()
    assert (report.exit_code, report.tier) == (6, "none")
    assert [feature.name for feature in report.missing] == ["user_namespace", "sandbox"]
    text = report.as_text()
    for word in (
        "NO   user_namespace",
        "step clone: No space left",
        "agents do not run",
        "user.max_user_namespaces",
    ):
        assert word in text
    # The profile an operator writes needs the program's path.
    assert str(tmp_path / "queenright-launch") in text
    assert "fix:   raise the limit" in text
    said = json.loads(report.as_json())
    assert said["exit_code"] == 6
    assert said["features"][1]["fix"]


@pytest.mark.parametrize(
    ("absent", "memory"),
    [((), "hard"), (("memory_cgroup",), "soft"), (("memory_cgroup", "memory_watch"), "none")],
)
def test_memory_without_a_cgroup_is_soft_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...], memory: str
) -> None:
    pretend(tmp_path, monkeypatch, probed(**dict.fromkeys(absent, "not there")))
    report = doctor.examine()
    assert (report.memory, report.exit_code, report.tier) == (memory, 0, "full")
    assert report.as_text().count("(not required)") == len(absent)


@pytest.mark.parametrize("text", ["", "not json"])
def test_a_launcher_that_does_not_answer_is_a_missing_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    pretend(tmp_path, monkeypatch, text)
    report = doctor.examine()
    assert (report.exit_code, report.tier) == (6, "none")
    assert report.features[0].name == "launcher"


def test_a_missing_launcher_is_a_missing_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "launcher_path", lambda: tmp_path / "nowhere")
    report = doctor.examine()
    assert report.exit_code == 6
    assert "reinstall" in report.features[0].fix
    assert "agents do not run" in report.as_text()


def test_where_bubblewrap_helps_out_agents_run_and_the_tier_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, probed("bwrap", user_namespace="not permitted", sandbox="not permitted"))
    report = doctor.examine()
    assert (report.exit_code, report.tier) == (0, "bwrap")
    text = report.as_text()
    assert "sandbox tier    bwrap (bubblewrap makes the namespaces" in text
    assert "NO   user_namespace" in text, "what is missing stays named"


def test_landlock_alone_is_offered_and_never_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = dict.fromkeys(("user_namespace", "sandbox", "bubblewrap"), "not permitted")
    pretend(tmp_path, monkeypatch, probed("none", **absent))
    report = doctor.examine()
    assert (report.exit_code, report.tier) == (6, "none")
    assert "--degraded landlock` would go on" in report.as_text()
    pretend(tmp_path, monkeypatch, probed("none", landlock_strict="too old", **absent))
    text = doctor.examine().as_text()
    assert "would go on" not in text
    assert "no way round it" in text


def test_the_profile_names_the_real_path_and_only_user_namespaces(tmp_path: Path) -> None:
    real, link = tmp_path / "queenright-launch", tmp_path / "link"
    real.touch()
    link.symlink_to(real)
    profile = apparmor_profile(link)
    assert f'profile queenright-launch "{real.resolve()}" flags=(unconfined) {{' in profile
    rules = [line.strip() for line in profile.splitlines() if line.startswith("  ")]
    assert rules == ["userns,", "include if exists <local/queenright-launch>"]


@pytest.mark.parametrize("name", ['a"b', "a*b", "a{b", "a\nb", "a@b", "a\\b"])
def test_a_path_that_means_something_in_a_profile_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(QueenrightError, match="cannot name"):
        apparmor_profile(tmp_path / name)
