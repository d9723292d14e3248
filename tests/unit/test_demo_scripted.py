"""The scripted operator answers one kind of ask, in the demo's own directory, and nothing anywhere else."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queenright.cli.ask_file import OpenAsk
from queenright.demo.place import MARKER, SCRIPT
from queenright.demo.scripted import check_place, check_runtime, main, unwanted
from queenright.errors import NotEntitled

RUNTIME = bytes(range(32))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "demo"
    for name in ("state", "keys"):
        (root / name).mkdir(parents=True)
    (root / "keys" / "script").write_text("a key")
    write(root)
    return root


def write(here: Path, **changed: Any) -> None:
    marker = {"root": str(here), "runtime": RUNTIME.hex(), "owner": "SHA256:x"} | changed
    (here / MARKER).write_text(json.dumps(marker))


def test_it_works_in_the_demos_own_directory(root: Path) -> None:
    assert check_place(root / "state", root / "keys" / "script") == RUNTIME


def test_any_other_state_directory_is_refused(root: Path, tmp_path: Path) -> None:
    key = root / "keys" / "script"
    (tmp_path / "mine").mkdir()
    for state in (tmp_path / "mine", root, root / "keys", tmp_path / "nowhere"):
        with pytest.raises(NotEntitled, match="not a demo's state directory"):
            check_place(state, key)


def test_a_link_into_another_directory_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "state").mkdir(parents=True)
    (root / "state").rmdir()
    (root / "state").symlink_to(tmp_path / "mine" / "state")
    with pytest.raises(NotEntitled):
        check_place(root / "state", root / "keys" / "script")


def test_a_key_from_elsewhere_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("somebody's own")
    with pytest.raises(NotEntitled):
        check_place(root / "state", tmp_path / "id_ed25519")


@pytest.mark.parametrize(
    "changed", [{"root": "/elsewhere"}, {"runtime": "00"}, {"runtime": "zz"}, {"runtime": None}]
)
def test_a_marker_of_another_demo_is_refused(root: Path, changed: dict[str, Any]) -> None:
    write(root, **changed)
    with pytest.raises(NotEntitled):
        check_place(root / "state", root / "keys" / "script")


def test_the_program_ends_with_3_where_it_has_no_business(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state", str(tmp_path), "--key", str(tmp_path / "key")]) == 3
    assert "not a demo's state directory" in capsys.readouterr().err


def test_another_supervisor_is_refused() -> None:
    session = SimpleNamespace(operator=SCRIPT, fingerprint="SHA256:x")
    other = cast(Any, SimpleNamespace(hello=SimpleNamespace(runtime=bytes(32)), session=session))
    with pytest.raises(NotEntitled, match="another supervisor"):
        check_runtime(other, RUNTIME, "SHA256:x")


def seen(
    verb: str = "db.session.kill", resource: str = "db:shop/main", count: int = 1, more: int = 0
) -> OpenAsk:
    first = SimpleNamespace(verb=verb, resource=resource)
    return cast(OpenAsk, SimpleNamespace(members=((b"", ""),) * count, more=more, first=first))


def test_only_the_act_the_demo_is_about_is_wanted() -> None:
    assert unwanted(seen()) == ""
    assert "secret.reveal" in unwanted(seen(verb="secret.reveal"))
    assert "db:bank/main" in unwanted(seen(resource="db:bank/main"))
    assert unwanted(seen(count=2))
    assert unwanted(seen(more=1))
