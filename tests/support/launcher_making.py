# ruff: noqa: PT017, SIM115 - run without pytest, as another user
"""What a cell, a command and an executor are, and what they get."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

from launching import (
    AHEAD_DESCRIPTORS,
    DEADLINE,
    HERE,
    check,
    launched,
    python,
    refused,
    root_check,
    run,
    shell,
    start,
    workspace,
)

from queenright.doctor.doctor import examine
from queenright.errors import SandboxRefused
from queenright.supervisor.launcher import Exit, Launcher
from queenright.supervisor.sandbox_spec import (
    COMMAND_LIMITS,
    Bind,
    cell_spec,
    command_spec,
    executor_spec,
    interpreter_binds,
    kernel_uid,
)


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
    "host": os.uname().nodename,
    "others": [os.listdir(path) for path in facts["hidden"]], "parent": os.getppid(), "path": sys.path[-1],
}).encode())
sys.exit(5)
"""
    package = HERE / "package"
    package.mkdir()
    (package / "agents.py").write_text("")
    sockets = [
        [family, kind] for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK) for kind in (1, 2)
    ]
    with launched() as launcher:
        ours, theirs = socket.socketpair()
        spec = python(cell_spec(packages={"ab": package}, slot=7), code)
        sandbox, read = await start(launcher, spec, [theirs.fileno()])
        theirs.close()
        ours.send(json.dumps({"sockets": sockets, "hidden": spec.hide}).encode())
        how = await asyncio.wait_for(sandbox.wait(), DEADLINE)
        words = open(read, "rb").read().decode()
        assert how == Exit(5, None), (how, words)
        said = json.loads(ours.recv(65536))
    assert said["uid"] == 1000
    # Where bubblewrap made the namespaces, its first process is ours and tells how the program ended.
    first = launcher.tier == "full"
    assert (said["pid"], said["parent"]) == ((1, 0) if first else (2, 1))
    assert said["fds"] == [0, 1, 2, 3]
    assert said["env"] == ["HOME", "LANG", "PATH"]
    assert said["packages"] == ["agents.py"]
    assert said["refused"] == sockets
    assert said["others"] == [[]] * len(spec.hide), "other people's Python shows"
    assert "packages" in "".join(spec.hide)
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
        code = "import socket, sys; socket.socket(socket.AF_UNIX).close(); print(sys.version_info[0])"
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
async def a_hundred_spawns_leak_no_descriptor() -> None:
    with launched() as launcher:
        counts = []
        for size in (5, 100):
            for _ in range(size):
                how, _ = await run(launcher, shell(launcher, ":"))
                assert how == Exit(0, None), how
            await refused(launcher, replace(shell(launcher, ":"), cwd="/nowhere"), "cwd")
            counts.append((len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{launcher.pid}/fd"))))
        (ours, theirs), (ours_after, theirs_after) = counts
        assert ours == ours_after, counts
        assert theirs_after - theirs <= AHEAD_DESCRIPTORS, counts


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
            how, said = await run(
                launcher, shell(launcher, "mkdir -p a b; :>a/x; python3 - 2>/dev/null; ln a/x b/x")
            )
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
    report = examine()
    assert (report.exit_code, report.tier) == (6, "none"), report.as_text()
    assert {"user_namespace", "sandbox"} <= {feature.name for feature in report.missing}
    try:
        Launcher.start()
    except SandboxRefused as error:
        assert error.step == "clone"
        assert error.errno != 0
        assert "max_user_namespaces" in error.hint
        assert "bubblewrap is no way round it" in error.message
    else:
        raise AssertionError("a launcher started that can make no sandbox")


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
async def mount_points_may_hold_commas_and_colons() -> None:
    with launched() as launcher:
        place = workspace(launcher, "a,b:c=d e\\f")
        spec = command_spec(argv=["/bin/sh", "-c", ":>made"], workspace=place, slot=1)
        spec = replace(spec, binds=(*spec.binds, Bind("/usr/bin", "/x,y:z w")))
        how, said = await run(launcher, spec)
        assert how == Exit(0, None), said
        assert (place / "made").exists()


@root_check
async def as_root_every_slot_is_a_kernel_uid_of_its_own() -> None:
    with launched() as launcher:
        for slot in (0, 5, 2**28 - 1):
            spec = python(
                cell_spec(packages={}, slot=slot), "import time; print('up', flush=True); time.sleep(1000)"
            )
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
            how, said = await run(
                launcher, replace(spec, binds=(*spec.binds, Bind(directory / "inner", "/shown")))
            )
            assert (how, said) == (Exit(0, None), "seen\n"), said


@check
async def the_doctor_finds_what_the_launcher_uses() -> None:
    report = examine()
    with launched() as launcher:
        assert (report.exit_code, report.tier) == (0, launcher.tier), report.as_text()
        assert report.landlock_abi == launcher.landlock_abi
        assert report.memory == launcher.memory
        assert report.as_root == launcher.as_root
