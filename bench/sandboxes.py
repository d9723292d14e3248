"""Ours for the questions about sandboxes: the launcher, asked as the supervisor asks it, and nothing else of a supervisor.

Run as `python -m bench.sandboxes command|many|own_wake key=value ...`; prints one JSON object.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]

from bench.work import Params, end_in_order
from queenright.supervisor.launcher import Launcher, Sandbox, launcher_path
from queenright.supervisor.sandbox_spec import command_spec, kernel_uid
from queenright.workspace.workspaces import Quota

PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-c", "pass"]


class _Asked:
    """The launcher's socket without a client's event loop around it: what is measured is the launcher."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        self.pid = os.posix_spawn(launcher_path(), [str(launcher_path())], {}, file_actions=actions)
        theirs.close()
        self.hello = self._hear()["hello"]

    def run(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """Ask, wait until all of it is gone; the exit code of its program. Raises RuntimeError for a refusal."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._control.sendmsg([msgpack.packb(request)], rights)
        said = self._hear()
        if "pid" not in said:
            raise RuntimeError(f"refused: {said}")
        return int(self._hear()["exit"]["code"])

    def _hear(self) -> dict[str, Any]:
        packet, ancillary, _, _ = self._control.recvmsg(65536, socket.CMSG_SPACE(4))
        for _, _, data in ancillary:
            for descriptor in array.array("i", data):
                os.close(descriptor)
        said: dict[str, Any] = msgpack.unpackb(packet)
        return said

    def close(self) -> None:
        self._control.close()
        os.waitpid(self.pid, 0)


def command(params: Params, directory: str, with_python: bool = False) -> dict[str, Any]:
    """One command after the other, each in a sandbox of its own: from asking to the word that all of it is gone."""
    asked = _Asked()
    try:
        place, as_root = Path(directory) / "workspace", asked.hello["root"]
        place.mkdir()
        if as_root:
            os.chown(place, kernel_uid(1), kernel_uid(1))
        # As the supervisor runs an agent's command: over the workspace's newest version, with an upper layer of its quota.
        quota = Quota()
        spec = command_spec(argv=["/bin/true"], workspace=place, slot=1, upper=(quota.bytes, quota.files))
        took: list[int] = []
        for commands in params.warm("messages"):
            took = []
            for number in range(commands):
                request = spec.request(number, 4, as_root=as_root)
                began = time.perf_counter_ns()
                reply, sent = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                code = asked.run(request, [0, 1, 2, sent.fileno()])
                sent.close()
                _, upper, _, _ = socket.recv_fds(reply, 16, 1)
                reply.close()
                if with_python:
                    subprocess.run(PYTHON, check=True)
                took.append(time.perf_counter_ns() - began)
                os.close(upper[0])  # nothing is kept: that is what Y3 measures
                if code != 0:
                    raise RuntimeError(f"/bin/true ended with {code}")
        return {"count": len(took), "latencies_ns": took}
    finally:
        asked.close()


def own_wake(params: Params, directory: str) -> dict[str, Any]:
    """What Y4 is measured by: the same, with `python` followed by a bare start of the interpreter each time."""
    return command(params, directory, params.flag("python"))


def _left(mark: str) -> int:
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found += f"\0{mark}\0".encode() in Path(f"/proc/{entry.name}/cmdline").read_bytes()
            except OSError:  # it has ended
                continue
    return found


def many(params: Params, directory: str) -> dict[str, Any]:
    return asyncio.run(_many(params, directory))


async def _many(params: Params, directory: str) -> dict[str, Any]:
    """All at once: how long until the kernel says of every one that it is gone, from the stop; and what is left."""
    count, mark = params.whole("messages"), f"7{os.getpid()}"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    launcher = Launcher.start()
    try:
        place = Path(directory) / "workspace"
        place.mkdir()
        launcher.give(place, 1)
        spec = command_spec(argv=["/bin/sleep", mark], workspace=place, slot=1, in_place=launcher.in_place)
        null = os.open(os.devnull, os.O_RDWR)
        began = time.perf_counter()
        sandboxes: list[Sandbox] = [await launcher.spawn(spec, [null] * 3) for _ in range(count)]
        made = time.perf_counter() - began
        if _left(mark) != count:
            raise RuntimeError(f"{_left(mark)} of {count} sandboxes are alive")
        began = time.perf_counter()
        launcher.kill_all()
        await asyncio.gather(*(sandbox.wait() for sandbox in sandboxes))
        gone = time.perf_counter() - began
        return {
            "count": count,
            "gone_ms": 1000 * gone,
            "made_ms": 1000 * made / count,
            "orphans": _left(mark),
        }
    finally:
        launcher.close()


def main() -> int:
    end_in_order()
    workload, params = sys.argv[1], Params.of_argv(sys.argv[2:])
    workloads = {"command": command, "many": many, "own_wake": own_wake}
    if workload not in workloads:
        raise SystemExit(f"no workload {workload}")
    with tempfile.TemporaryDirectory(prefix="qr-bench-") as directory:
        os.chmod(directory, 0o755)
        print(json.dumps(workloads[workload](params, directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
