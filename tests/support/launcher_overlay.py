"""A command over an overlay: what it changes is held apart, bounded, read by who is meant to, and kept as a version."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

from launching import HERE, MIB, launched, overlay_check, run, shell, workspace

from queenright.supervisor.launcher import Exit, Launcher
from queenright.supervisor.sandbox_spec import executor_spec
from queenright.workspace import versions


async def layered(
    launcher: Launcher, script: str, *, most: int = 4 * MIB, inodes: int = 500, name: str = "workspace"
) -> tuple[Exit, str, int]:
    """A command over an overlay: its end, its words, and its upper layer's directory (the caller closes it)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        spec = shell(launcher, script, name, upper=(most, inodes))
        how, said = await run(launcher, spec, (theirs.fileno(),))
        word, descriptors, _, _ = socket.recv_fds(ours, 16, 2)
    assert (word, len(descriptors)) == (b"upper", 1)
    return how, said, descriptors[0]


@overlay_check
async def a_command_over_an_overlay_changes_nothing_until_it_is_committed() -> None:
    with launched() as launcher:
        place = workspace(launcher)
        how, _, upper = await layered(
            launcher, "mkdir d gone; echo one > d/f; echo x > gone/f; ln -s f d/l; echo kept > k"
        )
        assert (how, os.listdir(place)) == (Exit(0, None), [])
        store = HERE / "store"
        store.mkdir()
        facts = (bytes(32), bytes(32), 1, 1 << 20, 100, 100)
        with versions.opened(store, bytes(32), place) as space:
            done = space.commit_upper(upper, *facts)
        os.close(upper)
        assert (done["version"], done["changed"]) == (1, 6)
        assert (place / "d" / "f").read_text() == "one\n"
        # Everything an overlay marks in a way of its own: a removal, a directory in a removed one's stead, a copy up.
        how, said, upper = await layered(
            launcher,
            "cat k && rm k && rm -r gone && mkdir gone && echo y > gone/g && chmod 750 d && echo two >> d/f",
        )
        assert (how, said) == (Exit(0, None), "kept\n")
        with versions.opened(store, bytes(32), place) as space:
            done = space.commit_upper(upper, *facts)
            assert {(path, kind) for path, kind, _, _ in done["changes"]} == {
                (b"d", "modified"),
                (b"d/f", "modified"),
                (b"gone/f", "deleted"),
                (b"gone/g", "added"),
                (b"k", "deleted"),
            }
            assert (place / "d" / "f").read_text() == "one\ntwo\n"
            assert sorted(os.listdir(place)) == ["d", "gone"]
            space.undo(2, *facts[:3])
        os.close(upper)
        assert sorted(os.listdir(place)) == ["d", "gone", "k"]
        assert os.listdir(place / "gone") == ["f"]


@overlay_check
async def an_upper_layer_is_bounded_in_bytes_and_in_entries() -> None:
    with launched() as launcher:
        how, said, upper = await layered(
            launcher, "dd if=/dev/zero of=big bs=1M count=64 2>&1 | tail -1; ls /proc/self/fd"
        )
        assert os.stat("big", dir_fd=upper).st_size <= 4 * MIB
        assert how == Exit(0, None)
        # The socket that the upper layer was sent over is not the command's.
        assert said.split()[-4:] == ["0", "1", "2", "3"], said
        os.close(upper)
        how, said, upper = await layered(
            launcher, "i=0; while : > f$i; do i=$((i+1)); done 2>/dev/null; echo $i"
        )
        assert 0 < len(os.listdir(upper)) < 500
        os.close(upper)


@overlay_check
async def what_a_command_left_is_read_by_an_executor_that_was_given_it_and_by_no_other() -> None:
    with launched() as launcher:
        _, _, upper = await layered(
            launcher, "echo left > f; mkdir closed; echo s > closed/s; chmod 0 closed closed/s"
        )
        code = (
            "import os, sys\n"
            "f = os.open('f', os.O_RDONLY, dir_fd=3)\n"
            "sys.stdout.write(os.read(f, 9).decode())\n"
            "try: os.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=3)\n"
            "except PermissionError: sys.stdout.write('not written')\n"
        )
        spec = executor_spec(module="json", descriptors=(3,))
        given = replace(spec, argv=(*spec.argv[:3], "-c", code))
        how, said = await run(launcher, given, (upper,))
        assert (how, said) == (Exit(0, None), "left\nnot written"), said
        withheld = replace(given, descriptors=())
        how, said = await run(launcher, withheld, (upper,))
        assert how.code == 1
        assert "PermissionError" in said, said
        os.close(upper)
