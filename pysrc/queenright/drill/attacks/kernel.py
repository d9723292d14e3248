"""Calls that change the machine or open a part of the kernel: each with arguments that cannot take effect.

Without a filter the kernel looks at the arguments and refuses them with another errno than EPERM (or does what harms
nobody): that is the proof that the call got through. With one the answer is EPERM, or the end of the process.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import signal
from collections.abc import Callable
from typing import Any

from .kit import LIBC, At, Attack, NotRun, add, attack, call, in_child, knows

NOWHERE = b"/queenright-drill-there-is-no-such-path"
PAGE = ctypes.create_string_buffer(4096)
NONE = -1
FILTER = "seccomp"
# CLONE_NEWUSER alone and with every other namespace.
NEWUSER = 0x10000000
EVERYTHING = NEWUSER | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000

NO_PATH = "the path is nowhere"
BAD_FLAGS = "its flags are ones that no kernel knows"
BAD_POINTER = "it points at nothing"
BAD_DESCRIPTOR = "its descriptor is -1"
ASKS = "it only asks"
CHILD = "in a child of its own, which ends at once"

# (attack's name, group, why harmless, call, arguments)
ROWS: tuple[tuple[str, str, str, str, tuple[Any, ...]], ...] = (
    ("mount-a-file-system", "mounts", NO_PATH, "mount", (b"none", NOWHERE, b"tmpfs", 0, None)),
    ("unmount", "mounts", NO_PATH, "umount2", (NOWHERE, 0)),
    ("copy-a-mount", "mounts", NO_PATH, "open_tree", (-100, NOWHERE, 0)),
    ("open-a-file-system", "mounts", "there is no file system of that name", "fsopen", (b"queenright-drill", 0)),
    ("make-a-mount", "mounts", BAD_DESCRIPTOR, "fsmount", (NONE, 0, 0)),
    ("pick-a-mount", "mounts", NO_PATH, "fspick", (-100, NOWHERE, 0)),
    ("move-a-mount", "mounts", BAD_FLAGS, "move_mount", (NONE, b"", NONE, b"", 0x7FFFFFFF)),
    ("change-a-mount", "mounts", BAD_FLAGS, "mount_setattr", (NONE, b"", 0x7FFFFFFF, None, 0)),
    ("pivot-the-root", "mounts", NO_PATH, "pivot_root", (NOWHERE, NOWHERE)),
    ("list-mounts", "mounts", ASKS + ", of nothing", "listmount", (None, PAGE, 1, 0)),
    ("look-at-a-mount", "mounts", ASKS + ", of nothing", "statmount", (None, PAGE, 64, 0)),
    ("make-a-user-namespace", "namespaces", CHILD, "unshare", (NEWUSER,)),
    ("make-every-namespace", "namespaces", CHILD, "unshare", (EVERYTHING,)),
    ("enter-a-namespace", "namespaces", BAD_DESCRIPTOR, "setns", (NONE, 0)),
    ("add-a-key", "keyrings", "the key would be larger than any may be", "add_key",
     (b"user", b"drill", b"", ctypes.c_size_t(1 << 30), -3)),
    ("ask-a-keyring", "keyrings", ASKS + " for the session keyring's number", "keyctl", (0, -3, 0)),
    ("set-up-io-uring", "io_uring", BAD_POINTER, "io_uring_setup", (0, None)),
    ("enter-io-uring", "io_uring", BAD_DESCRIPTOR, "io_uring_enter", (NONE, 0, 0, 0, 0, 0)),
    ("register-with-io-uring", "io_uring", BAD_DESCRIPTOR, "io_uring_register", (NONE, 0, 0, 0)),
    ("call-bpf", "bpf", "there is no such command", "bpf", (0x7FFFFFFF, PAGE, 16)),
    ("open-a-performance-counter", "bpf", BAD_POINTER, "perf_event_open", (None, 0, -1, -1, 0)),
    ("open-userfaultfd", "kernel", BAD_FLAGS, "userfaultfd", (0x40000001,)),
    ("load-another-kernel", "kernel", BAD_FLAGS, "kexec_load", (0, 0, None, 0xFFFFFFF)),
    ("load-another-kernel-by-file", "kernel", BAD_FLAGS, "kexec_file_load", (NONE, NONE, 0, None, 0xFFFFFFF)),
    ("load-a-module", "kernel", "it has no bytes", "init_module", (PAGE, 0, b"")),
    ("load-a-module-by-file", "kernel", BAD_DESCRIPTOR, "finit_module", (NONE, b"", 0x7FFFFFFF)),
    ("ask-the-kernels-log", "kernel", ASKS + " how large it is", "syslog", (10, None, 0)),
    ("set-the-time", "kernel", "no time has so many microseconds", "settimeofday",
     ((ctypes.c_long * 2)(0, 2_000_000), None)),
    ("set-a-clock", "kernel", BAD_POINTER, "clock_settime", (0, None)),
    ("steer-the-clock", "kernel", BAD_POINTER, "adjtimex", (None,)),
    ("steer-a-clock", "kernel", BAD_POINTER, "clock_adjtime", (0, None)),
    ("account-for-processes", "kernel", NO_PATH, "acct", (NOWHERE,)),
    ("swap-to-a-file", "kernel", BAD_FLAGS, "swapon", (NOWHERE, 0x7FFFFFFF)),
    ("reboot", "kernel", "without the numbers that mean it", "reboot", (0, 0, 0, None)),
    ("name-the-host", "kernel", "a name of a negative length", "sethostname", (b"", NONE)),
    ("name-the-domain", "kernel", "a name of a negative length", "setdomainname", (b"", NONE)),
    ("ask-for-the-personality", "kernel", ASKS, "personality", (0xFFFFFFFF,)),
    ("ask-for-a-quota", "kernel", "of a kind no kernel knows", "quotactl", (0xFF, None, 0, None)),
    ("take-the-ports", "kernel", "a level no processor has", "iopl", (9,)),
    ("take-a-port", "kernel", "a port no machine has", "ioperm", (1 << 20, 1, 1)),
    ("ask-for-the-descriptor-table", "kernel", ASKS, "modify_ldt", (0, PAGE, 0)),
    ("ask-for-a-handle", "kernel", BAD_FLAGS, "name_to_handle_at", (NONE, b"", None, None, 0x7FFFFFFF)),
    ("watch-every-file", "kernel", BAD_FLAGS, "fanotify_init", (0x7FFFFFFF, 0)),
    ("make-secret-memory", "kernel", BAD_FLAGS, "memfd_secret", (0x7FFFFFFF,)),
    ("give-pages-to-a-pipe", "kernel", BAD_DESCRIPTOR, "vmsplice", (NONE, None, 0, 0)),
    ("move-pages", "kernel", BAD_FLAGS, "move_pages", (0, 0, None, None, None, 0x7FFFFFFF)),
    ("move-all-pages", "kernel", "from and to no node", "migrate_pages", (0, 0, None, None)),
    ("ask-for-a-disks-statistics", "kernel", ASKS + ", of a device that no machine has", "ustat", (0x7FFFFFFF, PAGE)),
    ("advise-another-process", "kernel", BAD_FLAGS, "process_madvise", (NONE, None, 0, 0, 0xFF)),
)  # fmt: skip


def through(name: str, arguments: tuple[Any, ...]) -> Callable[[At], str]:
    def attempt() -> str:
        try:
            return f"it returned {call(name, *arguments)}"
        except OSError as error:
            # The filter says ENOSYS only above the numbers of this table: below it that is the kernel, which has no such call.
            if error.errno == errno.EPERM:
                raise
            return f"the kernel looked at it: {errno.errorcode.get(error.errno or 0, error.errno)}"

    return lambda at: in_child(attempt)


for _name, _group, _harmless, _call, _arguments in ROWS:
    if knows(_call):
        add(
            Attack(
                name=_name,
                group=_group,
                place="cell",
                what=f"Call {_call}.",
                harmless=_harmless,
                by=FILTER,
                stops=frozenset({"EPERM", "SIGSYS"}),
                run=through(_call, _arguments),
            )
        )


@attack("namespaces", "cell", FILTER, "EPERM SIGSYS")
def be_born_in_a_user_namespace(at: At) -> str:
    """clone with CLONE_NEWUSER. Harmless: the child ends at once."""

    def attempt() -> str:
        pid = call("clone", NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "a child was born in a user namespace"

    return in_child(attempt)


@attack(
    "namespaces", "cell", FILTER + ": its flags cannot be read, so it is answered as unknown", "ENOSYS EPERM"
)
def be_born_in_a_user_namespace_by_clone3(at: At) -> str:
    """clone3 with CLONE_NEWUSER. Harmless: the child ends at once."""

    def attempt() -> str:
        arguments = (ctypes.c_uint64 * 11)(NEWUSER, 0, 0, 0, signal.SIGCHLD)
        pid = call("clone3", arguments, 88)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "a child was born in a user namespace"

    return in_child(attempt)


@attack("kernel", "cell", FILTER, "EPERM SIGSYS")
def hang_up_the_terminal(at: At) -> str:
    """vhangup. Harmless: in a child of a session of its own, which has no terminal."""

    def attempt() -> str:
        if os.getsid(0) != os.getpid():
            os.setsid()
        return f"it returned {call('vhangup')}"

    return in_child(attempt)


def typed(command: int) -> str:
    LIBC.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]
    descriptor = os.open("/dev/null", os.O_RDWR)
    try:
        if LIBC.ioctl(descriptor, command, b"x") == 0:
            return "the kernel took it"
        number = ctypes.get_errno()
        if number == errno.ENOTTY:
            return "the kernel looked whether it is a terminal"
        raise OSError(number, "ioctl")
    finally:
        os.close(descriptor)


@attack("screen", "cell", FILTER, "EPERM")
def type_into_a_terminal(at: At) -> str:
    """TIOCSTI. Harmless: at /dev/null, which is no terminal."""
    return typed(0x5412)


@attack("screen", "cell", FILTER, "EPERM")
def type_into_a_terminal_with_high_bits(at: At) -> str:
    """TIOCSTI in a number whose upper half the kernel ignores. Harmless: at /dev/null, which is no terminal."""
    return typed(0x5412 | 1 << 32)


@attack("screen", "cell", FILTER, "EPERM")
def paste_into_a_console(at: At) -> str:
    """TIOCLINUX. Harmless: at /dev/null, which is no console."""
    return typed(0x541C)


if platform.machine() == "x86_64":

    @attack("kernel", "cell", FILTER, "SIGSYS")
    def call_by_32_bit_numbers(at: At) -> str:
        """int 0x80: the same number would mean another call to the filter. Harmless: it asks for its own process id."""

        def attempt() -> str:
            memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            memory.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
            address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            found = ctypes.CFUNCTYPE(ctypes.c_long)(address)()
            if found != os.getpid():
                raise NotRun(f"a 32-bit getpid returned {found}")
            return "a 32-bit call was answered"

        return in_child(attempt)

    @attack("kernel", "cell", FILTER, "SIGSYS")
    def call_by_x32_numbers(at: At) -> str:
        """The x32 bit. Harmless: it asks for its own process id."""

        def attempt() -> str:
            found = LIBC.syscall(ctypes.c_long(0x40000000 | 39))
            # A kernel without x32 says ENOSYS itself: the filter has let the number through all the same.
            return f"the kernel looked at it: {found}"

        return in_child(attempt)
