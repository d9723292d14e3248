"""Who runs the isolation tests: whoever runs pytest and, from root, an ordinary user fresh to the machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Above what distributions give to people and services, below the subordinate ranges.
FIRST_FRESH_UID = 61_234
SYSTEM_PYTHON = "/usr/bin/python3"
SECONDS = 120.0


@dataclass(frozen=True)
class Person:
    """Runs scripts with an interpreter and a package it can read.

    `uid` is None for the one who runs pytest.
    """

    name: str
    python: str
    library: str | None
    home: Path
    uid: int | None

    @property
    def is_root(self) -> bool:
        return self.uid is None and os.geteuid() == 0

    def path(self, script: Path) -> str:
        """Where a script of this folder is for this one."""
        return str(script if self.library is None else Path(self.library) / script.name)

    def run(
        self, script: Path, *arguments: str, prefix: tuple[str, ...] = (), seconds: float = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of this folder to its end; its output is captured."""
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.home), "LANG": "C.UTF-8"}
        if self.library is not None:
            environment["PYTHONPATH"] = self.library
        identity = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        return subprocess.run(
            [*prefix, self.python, self.path(script), *arguments],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            **identity,
        )

    def passes(
        self, script: Path, *arguments: str, prefix: tuple[str, ...] = (), seconds: float = SECONDS
    ) -> str:
        """Run it and fail the test with all it said unless it exits 0."""
        done = self.run(script, *arguments, prefix=prefix, seconds=seconds)
        if done.returncode != 0:
            pytest.fail(
                f"{self.name}: {arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}",
                pytrace=False,
            )
        return done.stdout


def _unused_uid() -> int:
    used = set()
    for entry in os.scandir("/proc"):
        with contextlib.suppress(FileNotFoundError):  # it ended meanwhile
            if entry.name.isdigit():
                used.add(entry.stat().st_uid)
    return next(uid for uid in range(FIRST_FRESH_UID, FIRST_FRESH_UID + 1000) if uid not in used)


def _copy(name: str, library: Path) -> None:
    """A package's directory, or a module's one file."""
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    origin = Path(found.origin).resolve()
    if found.submodule_search_locations is None:
        shutil.copy(origin, library)
    else:
        shutil.copytree(origin.parent, library / name, ignore=shutil.ignore_patterns("__pycache__"))


@contextlib.contextmanager
def person(name: str, scripts: Path, more: tuple[str, ...] = ()) -> Iterator[Person]:
    """`self`, or `user`: a fresh uid with the system's python and a copy of the package, and of `more` beside it.

    Skips `user` unless root.
    """
    if name == "self":
        with tempfile.TemporaryDirectory(prefix="queenright-self-") as home:
            yield Person(name, sys.executable, None, Path(home).resolve(), None)
        return
    if os.geteuid() != 0:
        pytest.skip("starting another uid needs root; everything ran as this user instead")
    uid = _unused_uid()
    with tempfile.TemporaryDirectory(prefix="queenright-user-", ignore_cleanup_errors=True) as top:
        os.chmod(top, 0o755)
        library, home = Path(top).resolve() / "lib", Path(top).resolve() / "home"
        library.mkdir()
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        for package in ("queenright", "msgpack", *more):
            _copy(package, library)
        if more:
            about = Path(str(importlib.metadata.distribution("queenright")._path))  # type: ignore[attr-defined]
            shutil.copytree(about, library / about.name)
            # Executors are started without this environment's variables: they find the package through a venv.
            subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", library / "venv"], check=True)
            (site,) = (library / "venv" / "lib").glob("python3*/site-packages")
            (site / "library.pth").write_text(f"{library}\n")
        shutil.copytree(scripts, library, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        python = str(library / "venv" / "bin" / "python") if more else SYSTEM_PYTHON
        yield Person(name, python, str(library), home, uid)
