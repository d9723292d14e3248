"""What the launcher answers to wrong requests."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
from dataclasses import replace

import msgpack
from launching import (
    AHEAD_DESCRIPTORS,
    DEADLINE,
    HERE,
    MIB,
    check,
    launched,
    refused,
    run,
    shell,
)

from queenright.supervisor.launcher import Exit, launcher_path
from queenright.supervisor.sandbox_spec import (
    Bind,
    Overlay,
)


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
            ("request", replace(good, hide=("/a/..",))),
            ("hide", replace(good, hide=("/usr/nowhere",))),
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
            # The reply of an overlay is none of the command's own three descriptors.
            ("request", replace(good, binds=(), overlay=Overlay(HERE / "workspace", "/workspace", MIB, 10))),
        ]
        for step, spec in cases:
            # What is wrong inside the root is found by who builds it.
            by_bubblewrap = launcher.tier == "bwrap" and step in ("hide", "bind")
            await refused(launcher, spec, "bwrap" if by_bubblewrap else step)
        assert not (HERE / "workspace" / "ran").exists()
        how, _ = await run(launcher, good)
        assert how == Exit(0, None)
        too_long = replace(good, env={"A": "b" * 70_000})
        await refused(launcher, too_long, "request")


@check
async def what_no_spec_of_ours_says_is_refused_by_name() -> None:
    """Requests as only another client could write them: each answer names the field and the value."""
    control, pid = raw_launcher()
    place = workspace_of_nobody()
    good = {
        "op": "spawn", "id": 1, "kind": "command", "argv": ["/bin/true"], "env": {}, "cwd": "/",
        "binds": [], "hide": [], "landlock": None, "fds": 3, "hostname": "x",
        "limits": {"memory_bytes": 1 << 28, "open_files": 64, "file_bytes": 1, "processes": 8, "tmp_bytes": 1 << 20},
        "uid_slot": 1 if os.geteuid() == 0 else None,
    }  # fmt: skip

    def bind(src: object, dst: object = "/x") -> dict[str, object]:
        return {"binds": [{"src": src, "dst": dst, "writable": False}]}

    helper = {
        "kind": "executor", "uid_slot": None, "hostname": None,
        "limits": {**good["limits"], "processes": None, "tmp_bytes": None},  # type: ignore[dict-item]
    }  # fmt: skip
    cases: list[tuple[str, str, dict[str, object]]] = [
        ("request", "bind src \"a/b\"", bind("a/b")),
        ("request", "bind src \"\"", bind("")),
        ("request", "bind src \"/a\\0b\"", bind("/a\0b")),
        ("source", "/nowhere/at/all", bind("/nowhere/at/all")),
        ("source", f"{place}/link", bind(f"{place}/link")),
        ("request", "bind dst \"/x/../y\"", bind("/usr", "/x/../y")),
        ("request", "bind dst \"/a\\0b\"", bind("/usr", "/a\0b")),
        ("request", "cwd \"tmp\"", {"cwd": "tmp"}),
        ("request", "cwd \"/t\\0p\"", {"cwd": "/t\0p"}),
        ("request", "argv[0] \"true\"", {"argv": ["true"]}),
        ("request", "argv \"a\\0b\"", {"argv": ["/bin/true", "a\0b"]}),
        ("request", "env \"A\"", {"env": {"A": "\0"}}),
        ("request", "hostname \"\\u{1b}[2J\"", {"hostname": "\x1b[2J"}),
        ("request", "landlock.read \"etc\"", {**helper, "landlock": {"read": ["etc"], "write": [], "descriptors": []}}),
        ("request", "landlock.write \"/e\\0\"", {**helper, "landlock": {"read": [], "write": ["/e\0"], "descriptors": []}}),
        ("landlock", "/nowhere", {**helper, "landlock": {"read": ["/nowhere"], "write": [], "descriptors": []}}),
        ("request", "\\u{1b}", {"argv": ["\x1b" * 60_000]}),
        ("request", "not a request", {"cwd": b"/\xff"}),
        ("request", "not a request", {"limits": {}}),
    ]  # fmt: skip
    null = os.open(os.devnull, os.O_RDWR)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 3))]
    for step, word, change in cases:
        control.sendmsg([msgpack.packb({**good, **change})], rights)
        answer = msgpack.unpackb(control.recv(65536))
        assert answer["error"]["step"] == step, (change, answer)
        named = word in answer["error"]["message"] or word == "not a request"
        assert named, (word, answer)
        assert len(answer["error"]["message"]) <= 1024
    control.sendmsg([msgpack.packb(good)], rights)
    answer = msgpack.unpackb(control.recv(65536))
    assert "pid" in answer, answer
    control.close()
    assert os.waitpid(pid, 0)[1] == 0


def workspace_of_nobody() -> str:
    (HERE / "link").symlink_to("/usr")
    return str(HERE)


@check
async def a_path_that_is_not_text_is_refused_by_name() -> None:
    with launched() as launcher:
        name = os.fsdecode(b"/caf\xe9")
        await refused(launcher, replace(shell(launcher, ":"), binds=(Bind(name, "/x"),)), "request")
        how, _ = await run(launcher, shell(launcher, ":"))
        assert how == Exit(0, None)


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
        msgpack.packb({"op": "kill"}), msgpack.packb({"op": "kill", "id": -1}),
        msgpack.packb({"op": "kill", "id": 9}),
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
    kept = len(os.listdir(f"/proc/{pid}/fd")) - before
    assert kept <= AHEAD_DESCRIPTORS, (
        f"{kept} descriptors of {40 * len(packets)} in refused requests were kept"
    )
    control.close()
    assert os.waitpid(pid, 0)[1] == 0


@check
async def the_launcher_runs_only_for_the_process_that_made_its_socket() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    run_it = f"subprocess.run(['{launcher_path()}'], pass_fds=[3])"
    code = f"import subprocess, os; os.dup2({theirs.fileno()}, 3); {run_it}"
    done = subprocess.run(
        [sys.executable, "-c", code], pass_fds=[theirs.fileno()], capture_output=True, text=True
    )
    theirs.close()
    assert "not this one's parent" in done.stderr, done.stderr
    ours.settimeout(DEADLINE)
    assert ours.recv(10) == b""
