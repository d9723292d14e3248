"""What the attacks share. An attack is stopped when the kernel refuses it with an error (OSError).

FACTS is the JSON that the host side prepared: decoys, listeners, pids, limits. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import platform
import signal
import sys
from collections.abc import Callable

FACTS = json.loads(sys.argv[1])
SECRET = FACTS["secret"].encode()
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ATTACKS: list[tuple[str, Callable[[], str]]] = []
HERE = FACTS["writable"]

# x86-64 numbers (syscall_64.tbl): the probe has no business on a machine whose calls it does not know.
assert platform.machine() == "x86_64", "the attacks know the numbers of x86-64 only"
CALLS = {
    "ptrace": 101, "syslog": 103, "personality": 135, "ustat": 136, "vhangup": 153, "modify_ldt": 154,
    "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172,
    "ioperm": 173, "init_module": 175, "quotactl": 179, "clock_settime": 227, "kexec_load": 246,
    "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272, "vmsplice": 278,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "memfd_secret": 447, "statmount": 457, "listmount": 458,
}  # fmt: skip
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x00020000, 0x40000000


def attack(function: Callable[[], str]) -> Callable[[], str]:
    ATTACKS.append((function.__name__, function))
    return function


def call(number: int, *arguments: object) -> int:
    result = LIBC.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def each(name: str, values: list, function: Callable[..., str]) -> None:
    """One attack a value: none may succeed."""
    for value in values:
        what = value[0] if isinstance(value, tuple) else value
        ATTACKS.append((f"{name} {what}", functools.partial(function, value)))


def in_child(function: Callable[[], str]) -> str:
    """Run what may kill its process. A kill by the filter (SIGSYS) is a stop."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            words = function()
        except OSError as error:
            os.write(write, b"!" + (errno.errorcode.get(error.errno or 0) or "?").encode())
        else:
            os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 4096)
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise OSError(0, signal.Signals(os.WTERMSIG(status)).name)
    if said.startswith(b"!"):
        raise OSError(getattr(errno, said[1:].decode(), 0), said[1:].decode())
    return said.decode()
