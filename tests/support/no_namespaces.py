"""Runs a program where the kernel refuses it new user namespaces, as Ubuntu's AppArmor and a container's filter do.

Usage: no_namespaces.py clone3|all PROGRAM [ARGUMENT...]. A seccomp filter hands every clone3 (with `all` also clone and
unshare) to a process outside, which answers EPERM to one that asks for CLONE_NEWUSER and lets every other through.
With `clone3` only those who ask as our launcher does are refused; bubblewrap, which asks by clone, is not: a profile that
names /usr/bin/bwrap does the same. The program keeps its pid, its descriptors and its parent.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
import sys

CLONE_NEWUSER = 0x1000_0000
EPERM = 1
# seccomp(2), seccomp_unotify(2), and classic BPF.
SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
ALLOW, USER_NOTIF = 0x7FFF_0000, 0x7FC0_0000
NOTIF_RECV, NOTIF_SEND = 0xC050_2100, 0xC018_2101
CONTINUE = 1
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
PR_SET_NO_NEW_PRIVS = 38
SECCOMP, CLONE, UNSHARE, CLONE3 = 317, 56, 272, 435  # x86-64
NOTIFICATION = "QIIiIQ6Q"  # id, pid, flags; nr, arch, ip, args
LIBC = ctypes.CDLL(None, use_errno=True)


def listen(calls: list[int]) -> int:
    """Put the filter on this process; the descriptor its calls are answered through."""
    steps = [(LOAD, 0, 0, 0)]
    for index, call in enumerate(calls):
        steps.append((JUMP_EQUAL, len(calls) - index, 0, call))
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, USER_NOTIF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    descriptor = int(LIBC.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, program))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return descriptor


def flags(pid: int, call: int, arguments: tuple[int, ...]) -> int:
    """What a call asks for; clone3's are the first eight bytes of a record in the caller's memory."""
    if call != CLONE3:
        return arguments[0]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(arguments[0])
        return int.from_bytes(memory.read(8), "little")


def answer(listener: int) -> None:
    """Until nobody is left under the filter."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if any(events & select.POLLHUP for _, events in poll.poll()):
            return
        asked = bytearray(80)
        try:
            fcntl.ioctl(listener, NOTIF_RECV, asked)
            number, pid, _, call, _, _, *arguments = struct.unpack(NOTIFICATION, asked)
            forbidden = bool(flags(pid, call, tuple(arguments)) & CLONE_NEWUSER)
            said = (number, 0, -EPERM, 0) if forbidden else (number, 0, 0, CONTINUE)
            fcntl.ioctl(listener, NOTIF_SEND, bytearray(struct.pack("QqiI", *said)))
        except OSError:
            continue  # the caller was killed meanwhile


def main() -> None:
    assert platform.machine() == "x86_64", "the numbers are those of x86-64"
    what, program, *arguments = sys.argv[1:]
    calls = {"clone3": [CLONE3], "all": [CLONE3, CLONE, UNSHARE]}[what]
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        # A grandchild, so that the program does not find a child it never made.
        if os.fork() != 0:
            os._exit(0)
        ours.close()
        _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
        theirs.close()
        (listener,) = array.array("i", ancillary[0][2])
        os.closerange(0, listener)
        os.closerange(listener + 1, 1 << 16)
        answer(listener)
        os._exit(0)
    os.wait()
    theirs.close()
    listener = listen(calls)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    ours.close()
    os.close(listener)
    os.execv(program, [program, *arguments])


main()
