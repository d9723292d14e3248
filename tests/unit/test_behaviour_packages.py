"""Behaviour packages: what a manifest says, what may be in a package, and that what is mounted is what was named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queenright.behaviours import Manifest, Packages, new, read_files
from queenright.behaviours.files import IGNORED, MAX_BYTES, check_files, package_digest
from queenright.behaviours.limits import CellLimits
from queenright.clock import ManualClock
from queenright.errors import Conflict, Malformed, Unknown
from queenright.supervisor.cell_start import cell_limits
from queenright.supervisor.sandbox_spec import CELL_LIMITS

GOOD = 'name = "sre"\nversion = "1.0"\nclasses = ["Watcher", "Remedy"]\n'
CODE = b"class Watcher(Agent): ...\nclass Remedy(Agent): ...\n"


def files(manifest: str = GOOD, **more: bytes) -> dict[str, bytes]:
    return {"behaviour.toml": manifest.encode(), "__init__.py": CODE} | more


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path / "behaviours", ManualClock())


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_a_manifest_gives_each_class_what_it_says_of_it() -> None:
    text = GOOD + 'cell = "own"\nmessages = ["Look"]\nactions = ["svc.restart"]\n'
    text += '[class.Remedy]\ncell = "shared"\non_failure = "stop"\ncapabilities = ["restart"]\n'
    manifest = Manifest.parse(text)
    assert manifest.classes["Watcher"].cell == "own"
    remedy = manifest.classes["Remedy"]
    assert (remedy.cell, remedy.on_failure, remedy.capabilities) == ("shared", "stop", frozenset({"restart"}))
    assert manifest.classes["Watcher"].on_failure == "continue"
    assert (manifest.messages, manifest.actions) == (("Look",), ("svc.restart",))


def test_limits_are_the_packages_own_and_the_default_for_what_it_does_not_say() -> None:
    assert Manifest.parse(GOOD).limits == CellLimits()
    found = Manifest.parse(GOOD + "[limits]\nmemory_mib = 128\nturn_s = 60\n").limits
    assert found == CellLimits(memory_mib=128, turn_s=60)
    assert cell_limits(CellLimits()) == CELL_LIMITS  # what the cells in the pool have
    assert cell_limits(found).memory_bytes == 128 * 1024 * 1024


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "`name` is missing"),
        (GOOD.replace("sre", "SRE"), 1, "`name` is 'SRE'"),
        (GOOD.replace("sre", "json"), 1, "name of a module"),
        (GOOD.replace("sre", "queenright"), 1, "name of a module"),
        (GOOD.replace('"1.0"', "1.0"), 2, "`version` is '1.0'"),
        (GOOD.replace('["Watcher", "Remedy"]', "[]"), 3, "at least one behaviour class"),
        (GOOD.replace('"Remedy"', '"remedy"'), 3, "'remedy'"),
        (GOOD.replace('"Remedy"', '"Watcher"'), 3, "twice"),
        (GOOD.replace('["Watcher", "Remedy"]', '"Watcher"'), 3, "a list"),
        (GOOD + 'cell = "mine"\n', 4, "`cell` is 'mine'"),
        (GOOD + "\nextra = 1\n", 5, "unknown key `extra`"),
        (GOOD + "[class.Nobody]\n", 4, "[class.Nobody] is not in `classes`"),
        (GOOD + "[class.Remedy]\n# why\nwhat = 1\n", 6, "unknown key `what`"),
        (GOOD + '[class.Remedy]\non_failure = "panic"\n', 5, "`on_failure` is 'panic'"),
        (GOOD + 'actions = ["Restart Everything"]\n', 4, "'Restart Everything'"),
        (GOOD + "class = 5\n", 4, "`class` is a table"),
        (GOOD + "limits = 5\n", 4, "`limits` is a table"),
        (GOOD + "[limits]\nmemory_mib = 8192\n", 5, "`memory_mib` is '8192'"),
        (GOOD + "[limits]\nopen_files = 64\nprocesses = 3\n", 6, "`processes` is '3'"),
        (GOOD + "[limits]\nfile_mib = true\n", 5, "`file_mib` is 'True'"),
        (GOOD + "[limits]\nturn_s = 0.5\n", 5, "`turn_s` is '0.5'"),
        (GOOD + "[limits]\ncpu = 1\n", 5, "unknown key `cpu`"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(Malformed) as refused:
        Manifest.parse(text)
    assert refused.value.message.startswith(f"behaviour.toml, line {line}: ")
    assert words in refused.value.message


def test_text_that_is_no_toml_is_refused_with_its_place() -> None:
    with pytest.raises(Malformed, match="line 2"):
        Manifest.parse('name = "sre"\nversion = \n')


def test_classes_and_module_must_exist_in_the_files() -> None:
    Manifest.of_files(files())
    with pytest.raises(Malformed, match=r"no `behaviour\.toml`"):
        Manifest.of_files({"x.py": b""})
    with pytest.raises(Malformed, match="neither"):
        Manifest.of_files({"behaviour.toml": GOOD.encode(), "other.py": CODE})
    with pytest.raises(Malformed, match="class Remedy"):
        Manifest.of_files(files() | {"__init__.py": b"class Watcher: ..."})
    with pytest.raises(Malformed, match="not UTF-8"):
        Manifest.of_files(files() | {"behaviour.toml": b"\xff"})


# --- files -----------------------------------------------------------------------------------------------------------


def test_tools_leavings_are_not_part_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "behaviour.toml").write_text(GOOD)
    (tmp_path / "__init__.py").write_bytes(CODE)
    before = package_digest(read_files(tmp_path))
    for name in IGNORED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    (tmp_path / "old.pyc").write_text("x")
    assert package_digest(read_files(tmp_path)) == before


@pytest.mark.parametrize("make", [
    lambda path: os.symlink("/etc/passwd", path),
    lambda path: os.symlink("/etc", path),
    os.mkfifo,
])  # fmt: skip
def test_links_and_devices_are_refused_by_name(tmp_path: Path, make: object) -> None:
    (tmp_path / "behaviour.toml").write_text(GOOD)
    (tmp_path / "sub").mkdir()
    make(tmp_path / "sub" / "odd")  # type: ignore[operator]
    with pytest.raises(Malformed, match="`sub/odd`"):
        read_files(tmp_path)


def test_a_linked_directory_is_not_read_as_a_package(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="link"):
        read_files(tmp_path / "link")


def test_packages_are_bounded_in_bytes_files_and_depth(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(Malformed, match="`big`"):
        read_files(tmp_path)
    (tmp_path / "big").unlink()
    deep = tmp_path
    for _ in range(12):
        deep = deep / "d"
        deep.mkdir()
    (deep / "x").write_text("")
    with pytest.raises(Malformed, match="directories deep"):
        read_files(tmp_path)
    with pytest.raises(Malformed):
        check_files({f"f{n}": b"" for n in range(2001)})


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a//b", "a/./b", "", "a\nb", "a\\b", "x" * 300, "a/" * 12 + "b"]
)
def test_paths_that_lead_out_or_deceive_are_refused(path: str) -> None:
    with pytest.raises(Malformed):
        check_files(files() | {path: b""})


def test_a_file_cannot_lie_under_a_file() -> None:
    with pytest.raises(Malformed, match="lies under a file"):
        check_files(files() | {"a": b"", "a/b": b""})


@pytest.mark.parametrize("name", ["behaviour.lock", "wheels/x.whl"])
def test_locked_dependencies_are_refused_and_not_ignored(name: str) -> None:
    with pytest.raises(Malformed, match="not supported yet"):
        check_files(files() | {name: b""})


def test_the_digest_names_every_path_and_byte() -> None:
    digest = package_digest(files())
    assert package_digest(dict(reversed(files().items()))) == digest
    assert package_digest(files() | {"__init__.py": CODE + b" "}) != digest
    assert package_digest(files() | {"more.py": b""}) != digest
    renamed = {("x.py" if name == "__init__.py" else name): data for name, data in files().items()}
    assert package_digest(renamed) != digest


# --- the store -------------------------------------------------------------------------------------------------------


def test_what_was_added_is_there_read_only_and_verified(packages: Packages) -> None:
    added = packages.add_files(files() | {"sub/data.txt": b"x"})
    assert packages.verified(added.digest) == added == packages.get(added.digest)
    assert added.path.name == added.digest.hex()
    assert read_files(added.path) == files() | {"sub/data.txt": b"x"}
    for path in (added.path, added.path / "sub", added.path / "__init__.py"):
        assert path.stat().st_mode & 0o222 == 0
    assert packages.digests() == {"sre": added.digest}
    assert sorted(added.classes) == ["Remedy", "Watcher"]


def test_adding_twice_is_one_package(packages: Packages) -> None:
    assert packages.add_files(files()) == packages.add_files(files())
    assert len(list(packages)) == 1


def test_a_name_stands_for_the_version_added_last(tmp_path: Path) -> None:
    clock = ManualClock()
    packages = Packages(tmp_path / "b", clock)
    first = packages.add_files(files())
    clock.advance(1000)
    second = packages.add_files(files(GOOD.replace("1.0", "1.1")))
    assert packages.digests() == {"sre": second.digest}
    assert [package.version for package in packages] == ["1.0", "1.1"]
    assert packages.get(first.digest).version == "1.0"


@pytest.mark.parametrize("how", ["changed", "added", "removed", "link"])
def test_a_package_altered_in_the_store_is_never_mounted(packages: Packages, how: str) -> None:
    added = packages.add_files(files() | {"data.txt": b"x"})
    os.chmod(added.path, 0o700)
    target = added.path / "data.txt"
    if how == "changed":
        os.chmod(target, 0o600)
        target.write_bytes(b"y")
    elif how == "added":
        (added.path / "evil.py").write_bytes(b"")
    elif how == "removed":
        target.unlink()
    else:
        target.unlink()
        target.symlink_to("/etc/passwd")
    with pytest.raises(Conflict, match="altered"):
        packages.verified(added.digest)
    with pytest.raises(Conflict, match="altered"):
        packages.add_files(files() | {"data.txt": b"x"})


def test_an_unknown_package_is_named_with_the_way_out(packages: Packages) -> None:
    with pytest.raises(Unknown) as refused:
        packages.get(b"\x07" * 32)
    assert "behaviour add" in refused.value.hint


def test_what_an_interrupted_add_left_behind_is_removed(tmp_path: Path, packages: Packages) -> None:
    root = tmp_path / "behaviours"
    (root / ".incoming-x" / "sub").mkdir(parents=True)
    os.chmod(root / ".incoming-x" / "sub", 0o555)
    added = packages.add_files(files())
    again = Packages(root, ManualClock())
    assert [package.digest for package in again] == [added.digest]
    assert not (root / ".incoming-x").exists()


def test_a_refused_add_leaves_nothing(tmp_path: Path, packages: Packages) -> None:
    with pytest.raises(Malformed):
        packages.add_files(files() | {"../x": b""})
    assert list((tmp_path / "behaviours").iterdir()) == []


# --- the template ----------------------------------------------------------------------------------------------------


def test_a_new_package_can_be_added_and_tested_at_once(tmp_path: Path, packages: Packages) -> None:
    from queenright.testing import run_behaviour_tests

    made = new(tmp_path / "greeter", "night_watch")
    assert [path.name for path in made] == ["behaviour.toml", "night_watch.py", "test_night_watch.py"]
    assert packages.add(tmp_path / "greeter").classes.keys() == {"NightWatch"}
    assert run_behaviour_tests(tmp_path / "greeter") == 0


@pytest.mark.parametrize("name", ["Hello", "2nd", "json", "a-b", "", "test_x"])
def test_a_name_that_cannot_be_a_module_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed):
        new(tmp_path / "x", name)
    assert not (tmp_path / "x").exists()


def test_new_does_not_overwrite(tmp_path: Path) -> None:
    new(tmp_path / "x", "hello")
    with pytest.raises(Conflict):
        new(tmp_path / "x", "hello")
