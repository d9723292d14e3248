"""The launcher travels in the wheel as a program that runs, and never in the sdist as a binary."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = "queenright/_bin/queenright-launch"
# The doctor needs the standard library, msgpack and the package itself, so no other dependency is installed here.
LOOK = "from queenright.doctor.doctor import examine; r = examine(); print(r.as_text()); raise SystemExit(r.exit_code)"


def maturin(*arguments: str, out: Path) -> Path:
    program = Path(sys.executable).parent / "maturin"
    done = subprocess.run(
        [str(program), *arguments, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


def test_the_sdist_holds_the_launchers_source_and_no_binary(tmp_path: Path) -> None:
    with tarfile.open(maturin("sdist", out=tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert "core-rs/queenright-sandbox/src/bin/queenright-launch.rs" in names
    assert "core-rs/queenright-py/build.rs" in names
    assert "Cargo.lock" in names
    assert not [name for name in names if "/_bin/" in name or name.endswith(".so")]


@pytest.mark.isolation
def test_an_installed_wheel_makes_sandboxes_without_cargo(tmp_path: Path) -> None:
    wheel = maturin("build", "--release", "--locked", "--offline", out=tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        mode = archive.getinfo(PROGRAM).external_attr >> 16
    assert mode & 0o111 == 0o111, oct(mode)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    uv = Path(sys.executable).parent / "uv"
    needed = ["msgpack"]
    install = [
        str(uv),
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--no-deps",
        str(wheel),
        *needed,
    ]
    subprocess.run(install, check=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [python, "-c", LOOK], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    installed = next((tmp_path / "venv").glob(f"lib/python*/site-packages/{PROGRAM}"))
    assert os.access(installed, os.X_OK)
