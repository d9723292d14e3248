"""A package as a sealed descriptor: the bytes that were hashed, which nobody can change, imported as from a directory."""

from __future__ import annotations

import fcntl
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from queenright.behaviours import Packages
from queenright.cell.bundle import Bundle, read_bundle
from queenright.cell.loader import Directory, load
from queenright.clock import ManualClock
from queenright.core import canonical
from queenright.errors import Conflict, Malformed, SandboxRefused
from queenright.supervisor.bundles import KEPT, SEALS, Bundles
from queenright.supervisor.cell_start import cold_reason
from queenright.wire.bundle import pack_bundle, unpack_bundle

ROOT = "/queenright/behaviours/ab"
FILES = {
    "behaviour.toml": b'name = "bundled"\nversion = "1"\nclasses = ["Deep", "Top"]\n',
    "__init__.py": b"from queenright.agent import Agent\nfrom bundled.inner.leaf import VALUE\n\nclass Top(Agent):\n    value = VALUE\n",
    "deep.py": b"from queenright.agent import Agent\n\nclass Deep(Agent):\n    def fail(self):\n        raise ValueError('on line five')\n",
    "inner/leaf.py": b"VALUE = 7\n",
}


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path / "store", ManualClock())


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.partition(".")[0] == "bundled"]:
        del sys.modules[name]


def told(path: str, bundle: bool) -> dict[str, object]:
    return {"name": "bundled", "digest": b"d", "path": path, "classes": ["Deep", "Top"], "bundle": bundle}


def test_a_bundle_is_what_was_hashed_and_cannot_be_written_by_whoever_has_it(packages: Packages) -> None:
    package = packages.add_files(FILES)
    descriptor = Bundles(packages).get(package)
    assert unpack_bundle(os.pread(descriptor, 1 << 20, 0)) == FILES
    assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == SEALS
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(descriptor, b"x", 0)
    # Opened anew for writing, as its owner: the seal holds where the mode does not.
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(again, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(again, 0)
    os.close(again)


def test_a_package_altered_in_the_store_makes_no_bundle(packages: Packages) -> None:
    package = packages.add_files(FILES)
    target = package.path / "deep.py"
    target.chmod(0o644)
    target.write_bytes(b"class Deep: pass\n")
    with pytest.raises(Conflict, match="altered"):
        Bundles(packages).get(package)


def test_one_descriptor_serves_every_cell_and_old_ones_are_closed(packages: Packages) -> None:
    bundles = Bundles(packages)
    first = packages.add_files(FILES)
    descriptor = bundles.get(first)
    assert bundles.get(first) == descriptor
    for number in range(KEPT):
        bundles.get(packages.add_files(FILES | {"extra.py": b"N = %d\n" % number}))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("native.so", b"\x7fELF", "native.so"),
        ("table.json", b"{}", "table.json"),
        ("look.py", b"HERE = __file__\n", "__file__"),
        ("late.py", b"import importlib.resources\n", "importlib"),
    ],
)
def test_a_package_that_may_look_for_its_files_is_mounted_and_says_why(
    packages: Packages, name: str, content: bytes, why: str
) -> None:
    package = packages.add_files(FILES | {name: content})
    assert why in package.mount
    with pytest.raises(SandboxRefused, match=f"has to be mounted.*{why}"):
        Bundles(packages).get(package)


def test_limits_of_its_own_keep_a_package_from_the_pool_and_are_named(packages: Packages) -> None:
    assert cold_reason(packages.add_files(FILES)) == ""
    limited = FILES["behaviour.toml"] + b"[limits]\nprocesses = 8\n"
    assert cold_reason(packages.add_files(FILES | {"behaviour.toml": limited})) == "limits of its own"
    # How long a turn may take is told to the cell, and is no limit of its sandbox.
    patient = FILES["behaviour.toml"] + b"[limits]\nturn_s = 9\n"
    assert cold_reason(packages.add_files(FILES | {"behaviour.toml": patient})) == ""
    assert "table.json" in cold_reason(packages.add_files(FILES | {"table.json": b"{}"}))


def test_what_a_test_of_a_package_does_says_nothing_of_the_package(packages: Packages) -> None:
    assert packages.add_files(FILES | {"test_it.py": b"HERE = __file__\n", "README.md": b"#"}).mount == ""


@pytest.mark.parametrize("bundle", [True, False])
def test_a_package_imports_alike_from_a_bundle_and_from_a_directory(tmp_path: Path, bundle: bool) -> None:
    descriptors = []
    root = ROOT
    if bundle:
        descriptor = os.memfd_create("bundle")
        os.write(descriptor, pack_bundle(FILES))
        descriptors = [descriptor]
    else:
        root = str(tmp_path)
        for path, data in FILES.items():
            target = tmp_path / path
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
    found = load([told(root, bundle)], descriptors)
    assert sorted(found) == ["bundled.Deep", "bundled.Top"]
    deep, top = found["bundled.Deep"].cls, found["bundled.Top"].cls
    assert top.value == 7  # type: ignore[attr-defined]
    assert sys.modules["bundled.deep"].__file__ == f"{root}/deep.py"
    assert "class Deep(Agent):" in inspect.getsource(deep)
    try:
        deep.fail(None)  # type: ignore[attr-defined]
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))
    assert f'File "{root}/deep.py", line 5, in fail' in shown
    assert "raise ValueError('on line five')" in shown


def test_a_bundle_stands_in_for_no_module_of_pythons_or_of_another_package() -> None:
    bundle = Bundle(ROOT, {"__init__.py": b"", "json.py": b"raise SystemExit\n"})
    assert bundle.find_spec("json", None) is None
    assert bundle.find_spec("other.json", ["/queenright/behaviours/abc"]) is None
    assert bundle.find_spec("bundled.json", [ROOT]) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        canonical({"v": 2, "files": {}}),
        canonical({"v": 1, "files": {"a": "text"}}),
        canonical([1]),
    ],
)
def test_a_descriptor_that_holds_no_bundle_is_refused(data: bytes) -> None:
    descriptor = os.memfd_create("bundle")
    os.write(descriptor, data)
    with pytest.raises(Malformed):
        read_bundle(descriptor, ROOT)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_bundle_without_its_descriptor_and_a_descriptor_without_its_bundle_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(Malformed, match="no descriptor came"):
        load([told(ROOT, True)])
    (tmp_path / "bundled.py").write_text(
        "from queenright.agent import Agent\nclass Top(Agent): pass\nclass Deep(Agent): pass\n"
    )
    with pytest.raises(Malformed, match="1 descriptors came for no package"):
        load([told(str(tmp_path), False)], [os.memfd_create("more")])
    assert Directory(str(tmp_path)).names() == ["bundled.py"]
