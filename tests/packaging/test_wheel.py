"""The wheel, built from the sdist, installed outside the checkout with no cargo in reach: doctor and demo run from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.isolation
def test_doctor_and_demo_run_from_an_installed_wheel(tmp_path: Path) -> None:
    built = subprocess.run(
        [str(BIN / "maturin"), "build", "--release", "--locked", "--sdist", "--out", str(tmp_path / "dist")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-3000:]
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "cp311-abi3" in wheel.name
    for needed in (
        "queenright/_core.abi3.so", "queenright/_bin/queenright-launch", "queenright/py.typed", "queenright_tui/app.py",
        "queenright_tui/screens/inbox.tcss", "queenright/demo/shop/worker.py", "queenright/demo/sre/behaviour.toml",
        "queenright/demo/intent.toml", "queenright/_core/shared.pyi",
    ):  # fmt: skip
        assert needed in names, needed
    assert not [name for name in names if name.startswith(("tests/", "tui/")) or "__pycache__" in name]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run(
        [str(BIN / "uv"), "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "dumb"}
    environment["TMPDIR"] = os.environ.get("TMPDIR", "/tmp")
    command = str(tmp_path / "venv/bin/queenright")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=400,
        )  # fmt: skip

    doctor = run("doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    demo = run("demo", "--scripted", "--json")
    assert demo.returncode == 0, demo.stdout[-3000:] + demo.stderr[-3000:]
    assert json.loads(demo.stdout)
