"""Taking everything: processes, descriptors, memory, disk."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import tempfile

from attacks.limits import forked
from base import ATTACKS, FACTS, LIBC, attack


def bounded(reached: int, limit: int) -> str:
    if reached <= limit:
        raise OSError(errno.EAGAIN, f"stopped at {reached}")
    return f"took {reached}, over {limit}"


@attack
def a_fork_bomb() -> str:
    return bounded(forked(FACTS["processes"] + 50), FACTS["processes"])


@attack
def a_descriptor_bomb() -> str:
    held: list[int] = []
    try:
        while len(held) <= 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for descriptor in held:
        os.close(descriptor)
    return bounded(len(held), FACTS["open_files"])


def fill(directory: str, limit: int) -> str:
    written, paths = 0, []
    try:
        while written <= limit + 32 * 1024 * 1024:
            descriptor, path = tempfile.mkstemp(dir=directory)
            paths.append(path)
            with open(descriptor, "wb", buffering=0) as file:
                for _ in range(16):
                    written += file.write(b"x" * 1024 * 1024)
    except OSError:
        pass
    for path in paths:
        os.unlink(path)
    return bounded(written, limit)


ATTACKS.append(("fill /tmp", lambda: fill("/tmp", FACTS["tmp_bytes"])))
ATTACKS.append(("fill /dev/shm", lambda: fill("/dev/shm", 16 * 1024 * 1024)))


@attack
def fill_tmp_with_inodes() -> str:
    made = 0
    top = tempfile.mkdtemp(dir="/tmp")
    try:
        while made <= 25_000:
            os.close(os.open(f"{top}/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError:
        pass
    for number in range(made):
        os.unlink(f"{top}/{number}")
    os.rmdir(top)
    return bounded(made, 20_000)


@attack
def a_file_over_the_limit() -> str:
    descriptor = os.memfd_create("big")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.ftruncate(descriptor, FACTS["file_bytes"] + 1)
    return "made"


@attack
def all_memory_in_one_process() -> str:
    blocks, size = [], 16 * 1024 * 1024
    try:
        while len(blocks) * size <= 2 * FACTS["memory_bytes"]:
            blocks.append(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except OSError:
        pass
    return bounded(len(blocks) * size, FACTS["memory_bytes"])


@attack
def lock_memory() -> str:
    if LIBC.mlock(mmap_address(), 1024 * 1024) != 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "locked a MiB"


def mmap_address() -> ctypes.c_void_p:
    global _KEPT
    _KEPT = mmap.mmap(-1, 1024 * 1024)
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(_KEPT)))


@attack
def raise_a_limit() -> str:
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_DATA, resource.RLIMIT_CORE):
        soft, hard = resource.getrlimit(limit)
        try:
            resource.setrlimit(limit, (soft, hard + 1))
        except ValueError as error:  # how the module says EPERM
            raise OSError(errno.EPERM, str(error)) from error
    return "raised"


@attack
def dump_core() -> str:
    if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0):
        raise OSError(errno.EPERM, "no core files")
    return "allowed"


@attack
def run_in_real_time() -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "done"


@attack
def run_before_others() -> str:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return "done"


@attack
def open_a_message_queue() -> str:
    LIBC.mq_open.restype = ctypes.c_int
    attributes = (ctypes.c_long * 8)(0, 10, 8192)
    if LIBC.mq_open(b"/queue", os.O_CREAT | os.O_RDWR, 0o600, attributes) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "made"


@attack
def lock_a_lease_on_a_host_file() -> str:
    with open(FACTS["read_only"][0], "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return "leased"


@attack
def signal_everyone() -> str:
    """Last: whatever this reaches ends. Its own namespace holds it alone, or it and its first process."""
    os.kill(-1, 0)
    return "somebody is there"
