"""`make screenshots`: the pictures of the README and the docs, drawn by the program itself from a running demo.

The demo is started on a pseudo-terminal with nobody at it, so that its ask stays open; `queenright tui --screenshot` attaches
beside it, as any second client would.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUEENRIGHT = Path(sys.executable).parent / "queenright"
PICTURES = ROOT / "docs/pictures"
SHOTS = [("inbox", "120x36"), ("inbox", "80x24"), ("swarm", "120x36"), ("ledger", "120x36")]
WITHIN_S = 120.0


def main() -> int:
    PICTURES.mkdir(parents=True, exist_ok=True)
    pid, master = pty.fork()
    if pid == 0:
        os.execv(QUEENRIGHT, [str(QUEENRIGHT), "demo", "--fault", "stuck-sessions"])
    try:
        directory = _until(master, rb"(/tmp/qr-demo-[A-Za-z0-9_]+)")
        state = Path(directory) / "state"
        key = Path(directory) / "keys/operator"
        base = [str(QUEENRIGHT), "--state", str(state)]
        _wait(lambda: state / "run/control.sock" if (state / "run/control.sock").exists() else None, master)
        deadline = time.monotonic() + WITHIN_S
        while b'"CRITICAL"' not in _run([*base, "ask", "list", "--json", "--key", str(key)], master):
            if time.monotonic() > deadline:
                raise SystemExit("no ask was raised")
        for screen, size in SHOTS:
            target = PICTURES / f"{screen}-{size}.svg"
            _run(
                [
                    *base,
                    "tui",
                    "--key",
                    str(key),
                    "--start",
                    screen,
                    "--size",
                    size,
                    "--screenshot",
                    str(target),
                ],
                master,
            )
            print(target.relative_to(ROOT), target.stat().st_size, "bytes")
    finally:
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            _drain(master, 0.2)
    return 0


def _wait(find: Callable[[], Path | None], master: int) -> Path:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        _drain(master, 0.2)
        try:
            found = find()
        except OSError:
            continue
        if found is not None:
            return found
    raise SystemExit("the demo made no key")


def _run(argv: list[str], master: int) -> bytes:
    _drain(master, 0.1)
    done = subprocess.run(argv, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    return done.stdout


def _until(master: int, pattern: bytes) -> str:
    seen = b""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        seen += _drain(master, 0.2)
        found = re.search(pattern, seen)
        if found:
            return found[1].decode()
    raise SystemExit(f"the demo never said {pattern!r}")


def _drain(master: int, seconds: float) -> bytes:
    out = b""
    while select.select([master], [], [], seconds)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
        seconds = 0
    return out


if __name__ == "__main__":
    sys.exit(main())
