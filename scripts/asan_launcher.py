"""`make asan`: the launcher's promises, kept by a launcher built with AddressSanitizer. `asan_launcher.py PROGRAM`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
os.chdir(ROOT)

from launching import CHECKS, ROOT_CHECKS  # noqa: E402

from queenright.supervisor import launcher  # noqa: E402

SECONDS = 100.0
NOT_HERE = {
    "a_hundred_spawns_leak_no_descriptor": "the sanitizer's records of a long life count as data of the sandbox, over its limit",
    "forbidden_user_namespaces_are_named": "it is run below a namespace that forbids them (tests/integration/test_launcher.py)",
}


def kept(program: Path, name: str) -> str:
    """What a child that keeps this promise said on the way, "" if nothing went wrong."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 2)
        os.environ["ASAN_OPTIONS"] = (
            "detect_leaks=0:abort_on_error=1"  # the launcher's memory ends with its process
        )
        launcher.launcher_path = lambda: program
        # The checks took the directory they were imported in; this one is to be left clean.
        for module in list(sys.modules.values()):
            if getattr(module, "HERE", None) == ROOT:
                module.HERE = Path.cwd()  # type: ignore[attr-defined]
        try:
            asyncio.run(asyncio.wait_for({**CHECKS, **ROOT_CHECKS}[name](), SECONDS))
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        text = said.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    return "" if status == 0 and "AddressSanitizer" not in text else text or f"status {status}"


def main() -> int:
    program = Path(sys.argv[1]).resolve()
    import launcher_ending  # noqa: F401 - each adds its checks
    import launcher_making  # noqa: F401
    import launcher_wire  # noqa: F401

    names = [*CHECKS, *(ROOT_CHECKS if os.geteuid() == 0 else ())]
    failed = 0
    for name in names:
        if name in NOT_HERE:
            print(f"left {name}: {NOT_HERE[name]}")
            continue
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            said = kept(program, name)
            os.chdir(ROOT)
        print(f"{'FAIL' if said else 'ok  '} {name}", flush=True)
        if said:
            failed += 1
            print(said[-3000:], flush=True)
    print(f"{len(names) - failed - len(NOT_HERE)} kept, {failed} not, {len(NOT_HERE)} left out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
