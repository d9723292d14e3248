"""`queenright behaviour test PATH`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from queenright.behaviours import Manifest, read_files
from queenright.errors import Unknown

__all__ = ["PACKAGE_VARIABLE", "run_behaviour_tests"]

PACKAGE_VARIABLE = "QUEENRIGHT_TEST_PACKAGE"
_NO_TESTS = 5  # pytest.ExitCode.NO_TESTS_COLLECTED


def run_behaviour_tests(path: Path | str) -> int:
    """Run the package's own tests in a process of their own; 0 if there are some and all pass, 1 otherwise.

    They run as you, not in a sandbox: it is your code. Raises Malformed for a directory that is no package, Unknown without
    pytest.
    """
    root = Path(path).resolve()
    Manifest.of_files(read_files(root))
    if importlib.util.find_spec("pytest") is None:
        raise Unknown("pytest is not installed", hint="pip install pytest")
    argv = [
        sys.executable, "-m", "pytest", "-p", "queenright.testing.plugin", "-p", "no:cacheprovider",
        "--import-mode=importlib", "-c", os.devnull, f"--rootdir={root}", str(root),
    ]  # fmt: skip
    # Only our plugin: what else happens to be installed here must not decide how a package's tests run.
    ours = {
        PACKAGE_VARIABLE: str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    env = os.environ | ours
    code = subprocess.run(argv, env=env, cwd=root, check=False).returncode
    if code == _NO_TESTS:
        print(f"no tests in {root}: a package without a test is not tested", file=sys.stderr)
    return 0 if code == 0 else 1
