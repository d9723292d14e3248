"""What the launcher promises, one function each. Run as `launcher_checks.py NAME` by whoever the promise is kept for."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgpack
from queenright.errors import SandboxRefused
from queenright.supervisor.launcher import Exit, Launcher, Sandbox, launcher_path
from queenright.supervisor.sandbox_spec import (
    COMMAND_LIMITS,
    Bind,
    SandboxSpec,
    cell_spec,
    command_spec,
    executor_spec,
    interpreter_binds,
    kernel_uid,
)

DEADLINE = 30.0
MIB = 1024 * 1024
HERE = Path.cwd()

CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}
ROOT_CHECKS: dict[str, Callable[[], Awaitable[None]]] = {}


def check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    CHECKS[function.__name__] = function
    return function


def root_check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    ROOT_CHECKS[function.__name__] = function
    return function


@contextlib.contextmanager
def launched(**options: int) -> Iterator[Launcher]:
    launcher = Launcher.start(**options)
    try:
        yield launcher
    finally:
        launcher.close()


def workspace(launcher: Launcher, name: str = "workspace", slot: int = 1) -> Path:
    path = HERE / name
    path.mkdir(exist_ok=True)
    launcher.give(path, slot)
    return path


def python(spec: SandboxSpec, code: str) -> SandboxSpec:
    """A cell's spec that runs `code` instead of its entry."""
    return replace(spec, argv=(*spec.argv[:-1], code))


def shell(launcher: Launcher, script: str, name: str = "workspace", **options: object) -> SandboxSpec:
    place = workspace(launcher, name)
    return command_spec(argv=["/bin/sh", "-c", script], workspace=place, slot=1, **options)  # type: ignore[arg-type]


async def start(launcher: Launcher, spec: SandboxSpec, extra: Sequence[int] = ()) -> tuple[Sandbox, int]:
    """A sandbox and the read end of its output."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        sandbox = await launcher.spawn(spec, [null, write, write, *extra])
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
        os.close(null)
    return sandbox, read


async def run(launcher: Launcher, spec: SandboxSpec, extra: Sequence[int] = ()) -> tuple[Exit, str]:
    sandbox, read = await start(launcher, spec, extra)
    output = await asyncio.wait_for(asyncio.to_thread(lambda: open(read, "rb").read()), DEADLINE)
    return await asyncio.wait_for(sandbox.wait(), DEADLINE), output.decode("utf-8", "replace")


async def refused(launcher: Launcher, spec: SandboxSpec, step: str, fds: int = 3) -> SandboxRefused:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        await launcher.spawn(spec, [null] * fds)
    except SandboxRefused as error:
        assert error.step == step, f"{error.step}: {error}"
        return error
    finally:
        os.close(null)
    raise AssertionError(f"not refused at {step}")


def gone(pidfds: Sequence[int]) -> bool:
    """Whether the processes behind all of them have ended within the deadline."""
    end = time.monotonic() + DEADLINE
    for pidfd in pidfds:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            return False
    return True


@check
async def a_cell_runs_python_with_nothing_but_its_socket() -> None:
    code = """
import json, os, socket, sys
link = socket.socket(fileno=3)
facts = json.loads(link.recv(4096))
sys.path.append("/queenright/lib")
import asyncio, queenright._core.cell
asyncio.run(asyncio.sleep(0))
refused = []
for family, kind in facts["sockets"]:
    try:
        socket.socket(family, kind)
    except PermissionError:
        refused.append([family, kind])
link.send(json.dumps({
    "uid": os.getuid(), "pid": os.getpid(), "fds": sorted(map(int, os.listdir("/proc/self/fd")))[:4],
    "env": sorted(os.environ), "packages": os.listdir("/queenright/behaviours/ab"), "refused": refused,
    "host": os.uname().nodename, "parent": os.getppid(), "path": sys.path[-1],
}).encode())
sys.exit(5)
"""
    package = HERE / "package"
    package.mkdir()
    (package / "agents.py").write_text("")
    sockets = [[family, kind] for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK) for kind in (1, 2)]
    with launched() as launcher:
        ours, theirs = socket.socketpair()
        spec = python(cell_spec(packages={"ab": package}, slot=7), code)
        sandbox, read = await start(launcher, spec, [theirs.fileno()])
        theirs.close()
        ours.send(json.dumps({"sockets": sockets}).encode())
        how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
        words = open(read, "rb").read().decode()
        assert how == Exit(5, None), (how, words)
        said = json.loads(ours.recv(65536))
    assert said["uid"] == 1000
    assert said["pid"] == 1
    assert said["parent"] == 0
    assert said["fds"] == [0, 1, 2, 3]
    assert said["env"] == ["HOME", "LANG", "PATH"]
    assert said["packages"] == ["agents.py"]
    assert said["refused"] == sockets
    assert said["host"] == "cell"


@check
async def a_command_sees_its_workspace_and_its_end_is_told() -> None:
    with launched() as launcher:
        how, said = await run(launcher, shell(launcher, "pwd; echo hello > made; id -u; hostname; exit 7"))
        assert how == Exit(7, None), (how, said)
        assert said.split() == ["/workspace", "1000", "workspace"], said
        assert (HERE / "workspace" / "made").read_text() == "hello\n"
        how, said = await run(launcher, shell(launcher, "kill -9 $$"))
        assert how == Exit(None, signal.SIGKILL), (how, said)
        # What a command leaves running ends with it.
        how, said = await run(launcher, shell(launcher, "sleep 1000 & exit 0"))
        assert how == Exit(0, None), (how, said)


@check
async def a_command_runs_python_too() -> None:
    with launched() as launcher:
        spec = shell(launcher, "", binds=interpreter_binds())
        program = cell_spec(packages={}, slot=1).argv[0]
        code = "import socket, sys; socket.socket(socket.AF_UNIX); socket.socketpair(); print(sys.version_info[0])"
        how, said = await run(launcher, replace(spec, argv=(program, "-I", "-c", code)))
        assert (how, said) == (Exit(0, None), "3\n")


@check
async def a_program_gets_exactly_the_descriptors_it_was_given() -> None:
    with launched() as launcher:
        files = [os.open(HERE, os.O_RDONLY) for _ in range(5)]
        how, said = await run(launcher, shell(launcher, "ls /proc/self/fd"), files)
        for descriptor in files:
            os.close(descriptor)
        # ls itself opens the directory it lists.
        assert how == Exit(0, None)
        assert sorted(map(int, said.split())) == list(range(9)), said
        await refused(launcher, shell(launcher, ":"), "request", fds=2)
        await refused(launcher, shell(launcher, ":"), "request", fds=17)


@check
async def killing_a_fork_bomb_leaves_nothing() -> None:
    bomb = "import os, signal\nsignal.signal(17, signal.SIG_IGN)\nos.write(1, b'x')\nwhile True:\n try: os.fork()\n except OSError: pass\n"
    with launched() as launcher:
        program = cell_spec(packages={}, slot=1).argv[0]
        for kind in ("cell", "command"):
            spec = python(cell_spec(packages={}, slot=1), bomb)
            if kind == "command":
                argv = (program, "-I", "-S", "-c", bomb)
                spec = replace(shell(launcher, "", binds=interpreter_binds()), argv=argv)
            sandbox, read = await start(launcher, spec)
            assert await asyncio.to_thread(os.read, read, 1) == b"x"
            pidfd = os.dup(sandbox.pidfd)
            sandbox.kill()
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how == Exit(None, signal.SIGKILL), how
            assert gone([pidfd])
            os.close(pidfd)
            # The output ends only when no process holds it any more.
            await asyncio.wait_for(asyncio.to_thread(lambda fd: open(fd, "rb").read(), read), DEADLINE)


@check
async def a_hundred_spawns_leak_no_descriptor() -> None:
    with launched() as launcher:
        counts = []
        for size in (5, 100):
            for _ in range(size):
                how, _ = await run(launcher, shell(launcher, ":"))
                assert how == Exit(0, None), how
            await refused(launcher, replace(shell(launcher, ":"), cwd="/nowhere"), "cwd")
            counts.append((len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{launcher.pid}/fd"))))
        assert counts[0] == counts[1], counts


@check
async def capped_landlock_is_used_up_to_the_cap() -> None:
    probe = (
        "import os\n"
        "try: os.listdir('/')\n"
        "except PermissionError: print('closed')\n"
        "os.rename('/tmp/a/x', '/tmp/b/x') if os.path.exists('/tmp/a') else None\n"
    )
    for cap in (1, 2, 6):
        with launched(landlock_abi_cap=cap) as launcher:
            assert launcher.landlock_abi == cap, "this kernel's Landlock is older than the cap"
            how, said = await run(launcher, python(cell_spec(packages={}, slot=1), probe))
            assert (how, said) == (Exit(0, None), "closed\n"), (cap, how, said)
            # Moving a file to another directory is a right that version 2 brought.
            how, said = await run(launcher, shell(launcher, "mkdir -p a b; :>a/x; python3 - 2>/dev/null; ln a/x b/x"))
            assert (how.code == 0) is (cap >= 2), (cap, how, said)
            await run(launcher, shell(launcher, "rm -rf a b"))
    try:
        Launcher.start(landlock_abi_cap=0)
    except SandboxRefused as error:
        assert error.step == "landlock"
    else:
        raise AssertionError("started without Landlock")


@check
async def forbidden_user_namespaces_are_named() -> None:
    """Run where max_user_namespaces is 0."""
    assert Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0"
    with launched() as launcher:
        for spec in (cell_spec(packages={}, slot=1), shell(launcher, "touch ran")):
            error = await refused(launcher, spec, "clone")
            assert error.errno != 0
            assert "max_user_namespaces" in error.hint
        assert not (HERE / "workspace" / "ran").exists()


STAND_IN = """
import asyncio, json, os, sys
sys.path.insert(0, {here!r})
from launcher_checks import *
async def main():
    launcher = Launcher.start()
    cell, _ = await start(launcher, python(cell_spec(packages={{}}, slot=1), "import time; time.sleep(1000)"))
    command, _ = await start(launcher, shell(launcher, "sleep 1000 & sleep 1000"))
    helper = executor_spec(module="http.server", arguments=["0", "--bind", "127.0.0.1"])
    executor, _ = await start(launcher, helper)
    service = await launcher.start_service(
        argv=["/bin/sleep", "1000"], env={{}}, cwd="/", output=os.getcwd() + "/service.log", pidfile=os.getcwd() + "/service.pid")
    print(json.dumps([service.pid, launcher.pid, cell.pid, command.pid, executor.pid]), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@check
async def killing_the_supervisor_leaves_nothing_but_services() -> None:
    code = STAND_IN.format(here=str(Path(__file__).parent))
    stand_in = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stand_in.stdout is not None
    pids = json.loads(await asyncio.wait_for(asyncio.to_thread(stand_in.stdout.readline), DEADLINE))
    service, *rest = [os.pidfd_open(pid) for pid in pids]
    stand_in.kill()
    stand_in.wait()
    assert gone(rest), "a process outlived the supervisor"
    poll = select.poll()
    poll.register(service, select.POLLIN)
    assert not poll.poll(0), "the service died with the supervisor"
    signal.pidfd_send_signal(service, signal.SIGKILL)
    for pidfd in (service, *rest):
        os.close(pidfd)


@check
async def killing_the_launcher_ends_its_sandboxes_and_is_told() -> None:
    with launched() as launcher:
        sandboxes = [(await start(launcher, shell(launcher, "sleep 1000")))[0] for _ in range(3)]
        pidfds = [os.dup(sandbox.pidfd) for sandbox in sandboxes]
        os.kill(launcher.pid, signal.SIGKILL)
        for sandbox in sandboxes:
            assert await asyncio.wait_for(sandbox.wait(), DEADLINE) == Exit(None, signal.SIGKILL)
        assert gone(pidfds)
        await refused(launcher, shell(launcher, ":"), "launcher")


@check
async def closing_the_launcher_ends_its_sandboxes() -> None:
    launcher = Launcher.start()
    sandboxes = [(await start(launcher, shell(launcher, "sleep 1000")))[0] for _ in range(3)]
    pidfds = [os.dup(sandbox.pidfd) for sandbox in sandboxes]
    launcher.kill_all()
    assert await asyncio.wait_for(sandboxes[0].wait(), DEADLINE) == Exit(None, signal.SIGKILL)
    launcher.close()
    assert gone(pidfds)
    for sandbox in sandboxes:
        assert await asyncio.wait_for(sandbox.wait(), DEADLINE) == Exit(None, signal.SIGKILL)
    launcher.close()


@check
async def a_service_outlives_the_launcher_and_is_known_by_pid_and_time() -> None:
    output, pidfile = HERE / "service.log", HERE / "service.pid"
    output.write_text("before\n")
    script = "env; ls /proc/self/fd; readlink /proc/self/fd/0; exec sleep 1000"
    launcher = Launcher.start()
    service = await launcher.start_service(
        argv=["/bin/sh", "-c", script], env={"ONLY": "this"}, cwd=HERE, output=output, pidfile=pidfile
    )
    pidfd = os.pidfd_open(service.pid)
    launcher.close()
    try:
        stat = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[19]) == service.start_time
        assert pidfile.read_text() == f"{service.pid}\n"
        assert os.getsid(service.pid) != os.getsid(0)
        end = time.monotonic() + DEADLINE
        while Path(f"/proc/{service.pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        text = output.read_text()
        assert text.startswith("before\n"), text
        assert "ONLY=this" in text
        assert "HOME=" not in text
        assert "/dev/null" in text
        assert "\n4\n" not in text, text
        soft = Path(f"/proc/{service.pid}/limits").read_text()
        assert f"Max open files            {os.sysconf('SC_OPEN_MAX')}" in soft, soft
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


@check
async def a_service_that_cannot_start_is_refused() -> None:
    with launched() as launcher:
        cases = [
            ("exec", {"argv": ["/nowhere/program"]}),
            ("output", {"output": HERE / "nowhere" / "log"}),
            ("cwd", {"cwd": HERE / "nowhere"}),
            ("pidfile", {"pidfile": HERE / "nowhere" / "pid"}),
            ("request", {"argv": ["relative"]}),
        ]
        for step, change in cases:
            good = {"argv": ["/bin/true"], "env": {}, "cwd": "/", "output": HERE / "log", "pidfile": HERE / "pid"}
            try:
                await launcher.start_service(**{**good, **change})  # type: ignore[arg-type]
            except SandboxRefused as error:
                assert error.step == step, (step, error.step, str(error))
            else:
                raise AssertionError(f"{step}: started")
            assert not (HERE / "pid").exists()


EXECUTOR = """
import json, os, socket, sys
facts = json.loads(sys.argv[1])
said = {"net": False, "read": {}, "write": {}, "raw": True, "env": sorted(os.environ)}
with socket.create_connection(("127.0.0.1", facts["port"]), timeout=5) as link:
    said["net"] = link.recv(2) == b"hi"
for kind, mode in (("read", "rb"), ("write", "ab")):
    for path in facts["paths"]:
        try:
            open(path, mode).close()
            said[kind][path] = True
        except PermissionError:
            said[kind][path] = False
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
except PermissionError:
    said["raw"] = False
try:
    os.kill(facts["friend"], 0)
    said["signal"] = True
except PermissionError:
    said["signal"] = False
print(json.dumps(said))
"""


@check
async def an_executor_reaches_the_network_and_exactly_its_paths() -> None:
    for name in ("shown", "changed", "hidden"):
        (HERE / name).mkdir()
        (HERE / name / "file").write_text(name)
    module = HERE / "shown" / "helper.py"
    module.write_text(EXECUTOR)
    server = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        with contextlib.suppress(OSError):
            server.accept()[0].send(b"hi")

    threading.Thread(target=greet, daemon=True).start()
    paths = {name: str(HERE / name / "file") for name in ("shown", "changed", "hidden")}
    facts = {"port": server.getsockname()[1], "paths": list(paths.values()), "friend": os.getpid()}
    spec = executor_spec(module="queenright", read=[HERE / "shown"], write=[HERE / "changed"], env={"A": "b"})
    spec = replace(spec, argv=(*spec.argv[:2], str(module), json.dumps(facts)))
    with launched() as launcher:
        how, text = await run(launcher, spec)
        assert how == Exit(0, None), text
        said = json.loads(text)
        server.close()
        assert said["net"]
        assert said["read"] == {paths["shown"]: True, paths["changed"]: True, paths["hidden"]: False}
        assert said["write"] == {paths["shown"]: False, paths["changed"]: True, paths["hidden"]: False}
        assert not said["raw"]
        assert said["signal"]
        assert "HOME" not in said["env"]
        await refused(launcher, replace(spec, read=(*spec.read, str(HERE / "nowhere"))), "landlock")
        await refused(launcher, replace(spec, limits=COMMAND_LIMITS), "request")


@check
async def what_a_request_gets_wrong_is_named_and_nothing_runs() -> None:
    with launched() as launcher:
        good = shell(launcher, "touch ran")
        link = HERE / "link"
        link.symlink_to(HERE / "workspace")
        cases = [
            ("source", replace(good, binds=(Bind(HERE / "nowhere", "/x"),))),
            ("request", replace(good, binds=(Bind("/usr", "/proc/x"),))),
            ("request", replace(good, binds=(Bind("/usr", "/a/../b"),))),
            ("request", replace(good, binds=(Bind("/usr", "relative"),))),
            ("request", replace(good, argv=("sh",))),
            ("request", replace(good, argv=())),
            ("exec", replace(good, argv=("/bin/no-such-program",))),
            ("exec", replace(good, argv=("/etc/passwd",))),
            ("cwd", replace(good, cwd="/nowhere")),
            ("request", replace(good, hostname="a b")),
            ("request", replace(good, hostname="h" * 65)),
            ("request", replace(good, env={"A=B": "c"})),
            ("request", replace(good, env={"A": "\0"})),
            ("request", replace(good, limits=replace(good.limits, processes=None))),
            ("request", replace(good, limits=replace(good.limits, tmp_bytes=0))),
            ("bind", replace(good, binds=(*good.binds, Bind("/usr/bin", "/usr/nowhere/x")))),
        ]
        for step, spec in cases:
            await refused(launcher, spec, step)
        assert not (HERE / "workspace" / "ran").exists()
        how, _ = await run(launcher, good)
        assert how == Exit(0, None)
        too_long = replace(good, env={"A": "b" * 70_000})
        await refused(launcher, too_long, "request")


def raw_launcher() -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
    pid = os.posix_spawn(launcher_path(), [str(launcher_path())], {}, file_actions=actions)
    theirs.close()
    ours.settimeout(DEADLINE)
    assert "hello" in msgpack.unpackb(ours.recv(65536))
    return ours, pid


@check
async def malformed_packets_are_answered_and_never_end_the_launcher() -> None:
    control, pid = raw_launcher()
    before = len(os.listdir(f"/proc/{pid}/fd"))
    packets = [
        b"\xff", b"\x80", b"\xc1", b"hello", msgpack.packb([1, 2]), msgpack.packb({"op": "dance", "id": 1}),
        msgpack.packb({"op": "kill"}), msgpack.packb({"op": "kill", "id": -1}), msgpack.packb({"op": "kill", "id": 9}),
        msgpack.packb({"op": "kill", "id": 1, "more": 2}), msgpack.packb({"op": "spawn", "id": 1}),
        msgpack.packb({"op": "kill", "id": 1}) + b"\x00", msgpack.packb({"op": 7, "id": 1}), b"x" * 70_000,
        b"\xdf\xff\xff\xff\xff", b"\x91" * 60_000, b"\xdb\x7f\xff\xff\xff",
    ]  # fmt: skip
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    for packet in packets:
        for extra in ([], rights):
            control.sendmsg([packet], extra)
            answer = msgpack.unpackb(control.recv(65536))
            assert answer["error"]["step"] in ("request", "kill"), (packet[:20], answer)
    control.sendmsg([b""])
    assert msgpack.unpackb(control.recv(65536))["error"]["step"] == "request"
    assert len(os.listdir(f"/proc/{pid}/fd")) == before, "descriptors of refused requests were kept"
    control.close()
    assert os.waitpid(pid, 0)[1] == 0


@check
async def the_launcher_runs_only_for_the_process_that_made_its_socket() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = f"import subprocess, os; os.dup2({theirs.fileno()}, 3); subprocess.run(['{launcher_path()}'], pass_fds=[3])"
    done = subprocess.run([sys.executable, "-c", code], pass_fds=[theirs.fileno()], capture_output=True, text=True)
    theirs.close()
    assert "not this one's parent" in done.stderr, done.stderr
    ours.settimeout(DEADLINE)
    assert ours.recv(10) == b""


@check
async def a_cancelled_spawn_leaves_no_sandbox() -> None:
    with launched() as launcher:
        for _ in range(20):
            task = asyncio.create_task(start(launcher, shell(launcher, "sleep 1000")))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        how, _ = await run(launcher, shell(launcher, ":"))
        assert how == Exit(0, None)
        end = time.monotonic() + DEADLINE
        while launcher._sandboxes:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


@check
async def mount_points_may_hold_commas_and_colons() -> None:
    with launched() as launcher:
        place = workspace(launcher, "a,b:c=d e\\f")
        spec = command_spec(argv=["/bin/sh", "-c", ":>made"], workspace=place, slot=1)
        spec = replace(spec, binds=(*spec.binds, Bind("/usr/bin", "/x,y:z w")))
        how, said = await run(launcher, spec)
        assert how == Exit(0, None), said
        assert (place / "made").exists()


MEMORY = """
import mmap, os, time
blocks = []
for _ in range(8):
    if os.fork() == 0:
        block = mmap.mmap(-1, 40 * 1024 * 1024)
        block.write(b"x" * len(block))
        time.sleep(1000)
time.sleep(1000)
"""


@check
async def memory_over_the_limit_in_many_processes_is_ended_and_told() -> None:
    with launched() as launcher:
        assert launcher.memory in ("hard", "soft")
        program = cell_spec(packages={}, slot=1).argv[0]
        spec = replace(shell(launcher, "", binds=interpreter_binds()), argv=(program, "-I", "-S", "-c", MEMORY))
        limits = replace(spec.limits, memory_bytes=128 * MIB)
        sandbox, read = await start(launcher, replace(spec, limits=limits))
        if launcher.memory == "soft":
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how == Exit(None, signal.SIGKILL, out_of_memory=True), how
        else:
            # The kernel ends one process after the other; the limit holds all the while.
            peak = 0
            end = time.monotonic() + 5
            while time.monotonic() < end and peak < 100 * MIB:
                group = next(Path("/sys/fs/cgroup").glob(f"**/queenright-{launcher.pid}/*/memory.max_usage_in_bytes"), None)
                group = group or next(Path("/sys/fs/cgroup").glob(f"**/queenright-{launcher.pid}/*/memory.peak"), None)
                assert group is not None
                peak = int(group.read_text())
                await asyncio.sleep(0.02)
            assert 100 * MIB <= peak <= 128 * MIB, peak
            sandbox.kill()
            how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
            assert how.signal == signal.SIGKILL
        os.close(read)
    left = list(Path("/sys/fs/cgroup").glob(f"**/queenright-{launcher.pid}"))
    assert left == [], left


@root_check
async def as_root_every_slot_is_a_kernel_uid_of_its_own() -> None:
    with launched() as launcher:
        for slot in (0, 5, 2**28 - 1):
            spec = python(cell_spec(packages={}, slot=slot), "import time; print('up', flush=True); time.sleep(1000)")
            sandbox, read = await start(launcher, spec)
            assert await asyncio.to_thread(os.read, read, 3) == b"up\n"
            status = Path(f"/proc/{sandbox.pid}/status").read_text()
            for line in ("Uid", "Gid"):
                ids = next(words.split()[1:] for words in status.splitlines() if words.startswith(f"{line}:"))
                assert set(ids) == {str(kernel_uid(slot))}, (line, ids)
            assert "\nGroups:\t \n" in status, status
            sandbox.kill()
            await asyncio.wait_for(sandbox.wait(), DEADLINE)
            os.close(read)
        spec = cell_spec(packages={}, slot=1)
        await refused(launcher, replace(spec, slot=None), "request")
        await refused(launcher, replace(spec, slot=2**28), "request")


@root_check
async def as_root_files_below_a_closed_home_can_be_shown() -> None:
    closed = HERE / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner" / "file").write_text("seen")
    (closed / "secret").write_text("unseen")
    other = HERE / "others"
    (other / "inner").mkdir(parents=True)
    (other / "inner" / "file").write_text("seen")
    os.chown(other, 12345, 12345)
    for directory in (closed, other):
        directory.chmod(0o700)
    with launched() as launcher:
        for directory in (closed, other):
            spec = python(cell_spec(packages={}, slot=1), "print(open('/shown/file').read())")
            how, said = await run(launcher, replace(spec, binds=(*spec.binds, Bind(directory / "inner", "/shown"))))
            assert (how, said) == (Exit(0, None), "seen\n"), said


def main() -> None:
    name = sys.argv[1]
    asyncio.run(asyncio.wait_for({**CHECKS, **ROOT_CHECKS}[name](), 100))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
