"""A command in bubblewrap with every namespace and a minimal root, or with nothing around it: the same as ours runs.

Run as `sandbox_peer.py command with=bwrap|nothing messages=N`; prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from bench.work import Params, end_in_order

PROGRAM = ["/bin/true"]


def bubblewrap(workspace: str) -> list[str]:
    """All namespaces, no capability, and what ours shows: /usr, its links, five devices, /proc, /tmp, the workspace."""
    words = [
        "/usr/bin/bwrap",
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ]
    words += ["--uid", "1000", "--gid", "1000", "--hostname", "workspace", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in ("ld.so.cache", "alternatives", "ssl"):
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", workspace, "/workspace"]
    return [*words, "--chdir", "/workspace", "--"]


def main() -> int:
    end_in_order()
    if sys.argv[1] != "command":
        raise SystemExit(f"no workload {sys.argv[1]}")
    params = Params.of_argv(sys.argv[2:])
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    with tempfile.TemporaryDirectory(prefix="qr-bench-") as directory:
        around = {"bwrap": bubblewrap(directory), "nothing": []}[params.text("with")]
        argv = [*around, *PROGRAM]
        took: list[int] = []
        for commands in params.warm("messages"):
            took = []
            for _ in range(commands):
                began = time.perf_counter_ns()
                pid = os.posix_spawn(argv[0], argv, {}, file_actions=actions)
                _, status = os.waitpid(pid, 0)
                took.append(time.perf_counter_ns() - began)
                if status != 0:
                    raise RuntimeError(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}")
    print(json.dumps({"count": len(took), "latencies_ns": took}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
