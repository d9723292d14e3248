"""The kernel: calls that change the machine or make a way out."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal

from base import CALLS, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, LIBC, attack, call, each, in_child

PAGE = ctypes.create_string_buffer(4096)
each(
    "call",
    [
        ("unshare user", "unshare", CLONE_NEWUSER), ("unshare mount", "unshare", CLONE_NEWNS),
        ("unshare net", "unshare", CLONE_NEWNET),
        ("mount tmpfs", "mount", b"none", b"/tmp", b"tmpfs", 0, None),
        ("remount", "mount", None, b"/usr", None, 32, None), ("umount", "umount2", b"/proc", 2),
        ("open_tree", "open_tree", -100, b"/", 1), ("fsopen", "fsopen", b"tmpfs", 0),
        ("fspick", "fspick", -100, b"/", 0),
        ("move_mount", "move_mount", -100, b"/tmp", -100, b"/usr", 0), ("fsmount", "fsmount", 0, 0, 0),
        ("mount_setattr", "mount_setattr", -100, b"/usr", 0, PAGE, 32),
        ("pivot_root", "pivot_root", b"/tmp", b"/tmp"),
        ("chroot", "chroot", b"/tmp"), ("setns", "setns", 0, 0), ("keyctl", "keyctl", 0, -3, 0),
        ("add_key", "add_key", b"user", b"k", b"v", 1, -3),
        ("request_key", "request_key", b"user", b"k", None, 0),
        ("bpf", "bpf", 0, PAGE, 64), ("perf_event_open", "perf_event_open", PAGE, 0, -1, -1, 0),
        ("io_uring_setup", "io_uring_setup", 1, PAGE), ("io_uring_enter", "io_uring_enter", 0, 0, 0, 0, 0, 0),
        ("io_uring_register", "io_uring_register", 0, 0, 0, 0), ("userfaultfd", "userfaultfd", 1),
        ("kexec_load", "kexec_load", 0, 0, None, 0), ("kexec_file_load", "kexec_file_load", 0, 0, 0, None, 0),
        ("init_module", "init_module", PAGE, 16, b""), ("finit_module", "finit_module", 0, b"", 0),
        ("syslog", "syslog", 3, PAGE, 16), ("settimeofday", "settimeofday", PAGE, None),
        ("clock_settime", "clock_settime", 0, PAGE), ("adjtimex", "adjtimex", PAGE),
        ("clock_adjtime", "clock_adjtime", 0, PAGE), ("acct", "acct", None),
        ("swapon", "swapon", b"/tmp/x", 0),
        ("reboot", "reboot", 0xFEE1DEAD, 672274793, 0, None), ("sethostname", "sethostname", b"x", 1),
        ("setdomainname", "setdomainname", b"x", 1), ("personality", "personality", 0x0040000),
        ("quotactl", "quotactl", 0, b"/", 0, PAGE), ("iopl", "iopl", 3), ("ioperm", "ioperm", 0, 1, 1),
        ("modify_ldt", "modify_ldt", 0, PAGE, 16), ("vhangup", "vhangup"), ("ustat", "ustat", 0, PAGE),
        ("name_to_handle_at", "name_to_handle_at", -100, b"/usr", PAGE, PAGE, 0),
        ("open_by_handle_at", "open_by_handle_at", 0, PAGE, 0), ("fanotify_init", "fanotify_init", 0, 0),
        ("kcmp", "kcmp", 1, 1, 0, 0, 0), ("memfd_secret", "memfd_secret", 0),
        ("vmsplice", "vmsplice", 1, PAGE, 0, 0),
        ("migrate_pages", "migrate_pages", 0, 0, None, None),
        ("move_pages", "move_pages", 0, 0, None, None, None, 0),
        ("process_madvise", "process_madvise", 0, PAGE, 0, 0, 0),
        ("statmount", "statmount", PAGE, PAGE, 64, 0),
        ("listmount", "listmount", PAGE, PAGE, 1, 0),
        ("process_vm_writev", "process_vm_writev", 1, PAGE, 0, PAGE, 0, 0),
    ],
    lambda row: in_child(lambda: f"returned {call(CALLS[row[1]], *row[2:])}"),
)  # fmt: skip


@attack
def clone_into_a_user_namespace() -> str:
    def attempt() -> str:
        pid = call(56, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        return "cloned"

    return in_child(attempt)


@attack
def clone3_into_a_user_namespace() -> str:
    def attempt() -> str:
        arguments = (ctypes.c_uint64 * 11)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD)
        pid = call(CALLS["clone3"], arguments, 88)
        if pid == 0:
            os._exit(0)
        return "cloned"

    return in_child(attempt)


@attack
def a_call_nobody_knows() -> str:
    return str(call(999))


def machine_code(code: bytes) -> str:
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    result = ctypes.CFUNCTYPE(ctypes.c_long)(address)()
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return f"returned {result}"


@attack
def a_32_bit_call() -> str:
    """mov eax, 20 (getpid of i386); int 0x80; ret: 32-bit numbers would mean other calls to the filter."""
    return in_child(lambda: machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"))


@attack
def an_x32_call() -> str:
    """getpid with the x32 bit."""
    return in_child(lambda: str(call(0x40000000 | 39)))


def forge_input(high: int) -> str:
    """The filter must refuse by the command, before the kernel looks whether there is a terminal."""
    LIBC.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]
    if LIBC.ioctl(0, 0x5412 | high, b"x") == 0:
        return "typed"
    number = ctypes.get_errno()
    if number != errno.EPERM:
        return f"the kernel looked at it: {errno.errorcode[number]}"
    raise OSError(number, "refused")


each("TIOCSTI", [0, 1 << 32, 0xFFFFFFFF << 32], forge_input)
