"""Taking more than its share. Every bomb is capped a little above its limit, and gives back what it took."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import tempfile

from .kit import LIBC, At, attack, in_child

MIB = 1 << 20


def bounded(reached: int, most: int, what: str) -> str:
    if reached <= most:
        raise OSError(11, f"stopped at {reached} {what}")  # EAGAIN
    return f"took {reached} {what}"


def forked(most: int) -> int:
    """How many children there were at once before a fork was refused, or one more than `most`; all of them are gone again.

    Counted in one place: every child waits, so the number that exist is the number that was made.
    """
    wait, release = os.pipe()
    children: list[int] = []
    try:
        while len(children) <= most:
            try:
                pid = os.fork()
            except OSError:
                break
            if pid == 0:
                os.close(release)
                os.read(wait, 1)
                os._exit(0)
            children.append(pid)
    finally:
        os.close(release)
        os.close(wait)
        for pid in children:
            os.waitpid(pid, 0)
    return len(children)


@attack("bombs", "cell", "RLIMIT_NPROC of its own user namespace", "EAGAIN")
def spawn_processes_without_end(at: At) -> str:
    """Fork again and again. Harmless: at most 80 children, which only wait, and are ended at once."""
    most = at.facts["limits"]["processes"]
    return bounded(forked(most + 15), most, "processes")


@attack("bombs", "cell", "RLIMIT_NOFILE", "EMFILE")
def open_files_without_end(at: At) -> str:
    """Open /dev/null again and again. Harmless: at most some more than the limit, in a child that ends at once."""
    most = at.facts["limits"]["open_files"]

    def attempt() -> str:
        for _ in range(most + 1):
            os.open("/dev/null", os.O_RDONLY)
        return f"opened over {most} files"

    return in_child(attempt)


@attack("bombs", "cell", "RLIMIT_DATA; memory cgroup or watch", "ENOMEM")
def reserve_memory_without_end(at: At) -> str:
    """Map more memory than a cell may have. Harmless: in a child, and it is never touched, so nobody's is taken."""
    most = at.facts["limits"]["memory_bytes"]

    def attempt() -> str:
        step = 64 * MIB
        kept = [
            mmap.mmap(-1, step, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(most // step + 1)
        ]
        return f"mapped {len(kept) * step} bytes"

    return in_child(attempt)


@attack("bombs", "cell", "RLIMIT_FSIZE", "EFBIG SIGXFSZ")
def make_a_file_over_the_limit(at: At) -> str:
    """A file in memory of more bytes than one may have. Harmless: it is a hole, and holds nothing."""
    most = at.facts["limits"]["file_bytes"]

    def attempt() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        os.ftruncate(os.memfd_create("drill"), most + 1)
        return f"made a file of over {most} bytes"

    return in_child(attempt)


@attack("bombs", "cell", "a tmpfs of bounded size", "ENOSPC EDQUOT")
def fill_its_own_disk(at: At) -> str:
    """Write into the cell's own /tmp. Harmless: one MiB over its 16, removed at once."""
    most = at.facts["limits"]["tmp_bytes"]
    descriptor, path = tempfile.mkstemp(dir=at.here)
    try:
        block = bytes(MIB)
        written = 0
        while written <= most:
            written += os.write(descriptor, block)
        return f"wrote {written} bytes"
    finally:
        os.close(descriptor)
        os.unlink(path)


@attack("bombs", "cell", "RLIMIT_MEMLOCK", "ENOMEM EPERM EAGAIN")
def lock_memory(at: At) -> str:
    """Keep pages from being swapped. Harmless: one MiB, in a child that ends at once."""

    def attempt() -> str:
        block = mmap.mmap(-1, MIB)
        address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(block)))
        if LIBC.mlock(address, MIB) != 0:
            raise OSError(ctypes.get_errno(), "mlock")
        return "locked a MiB"

    return in_child(attempt)


@attack("bombs", "cell", "no capabilities", "EPERM")
def raise_a_limit(at: At) -> str:
    """Raise its own limit of open files. Harmless: by one, in a child that ends at once."""

    def attempt() -> str:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
        except ValueError as error:  # how the module says EPERM
            raise PermissionError(1, str(error)) from None
        return "raised a limit"

    return in_child(attempt)


@attack("bombs", "cell", "RLIMIT_CORE", "nothing-there")
def dump_core(at: At) -> str:
    """Whether a crash would write its memory to a file. Harmless: its own limit is read."""
    from .kit import Stopped

    if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0):
        raise Stopped("nothing-there", "no core file may be written")
    return "core files may be written"


@attack("bombs", "cell", "no capabilities", "EPERM")
def run_before_everybody(at: At) -> str:
    """Real-time scheduling. Harmless: in a child, which ends at once."""

    def attempt() -> str:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "runs before everybody"

    return in_child(attempt)


@attack("bombs", "cell", "no capabilities", "EPERM EACCES")
def run_before_others(at: At) -> str:
    """A higher priority. Harmless: in a child, which ends at once."""

    def attempt() -> str:
        os.setpriority(os.PRIO_PROCESS, 0, -5)
        return "runs before others"

    return in_child(attempt)
